import { graphql, type ResultOf, type VariablesOf } from './graphql';

/** The newest place in the record: a subscription started after it misses nothing that is read later. */
export const NEWEST = graphql(`
  query newest {
    flow_run_state(order_by: [{ seq: desc }], limit: 1) { seq }
    task_run_state(order_by: [{ seq: desc }], limit: 1) { seq }
  }
`);

const RUN_ROW = graphql(`
  fragment run_row on flow_run {
    id name version state state_message scheduled_start_time start_time end_time created
    flow { id name version }
  }
`);

export const RUNS = graphql(
  `
  query runs(
    $where: flow_run_bool_exp, $limit: Int, $offset: Int, $all: flow_run_bool_exp, $waiting: flow_run_bool_exp,
    $running: flow_run_bool_exp, $success: flow_run_bool_exp, $failed: flow_run_bool_exp, $cancelled: flow_run_bool_exp
  ) {
    flow_run(where: $where, order_by: [{ created: desc }, { id: desc }], limit: $limit, offset: $offset) { ...run_row }
    all: flow_run_aggregate(where: $all) { aggregate { count } }
    waiting: flow_run_aggregate(where: $waiting) { aggregate { count } }
    running: flow_run_aggregate(where: $running) { aggregate { count } }
    success: flow_run_aggregate(where: $success) { aggregate { count } }
    failed: flow_run_aggregate(where: $failed) { aggregate { count } }
    cancelled: flow_run_aggregate(where: $cancelled) { aggregate { count } }
  }
`,
  [RUN_ROW],
);

export const FLOWS = graphql(`
  query flows {
    flow(where: { archived: { _eq: false } }, order_by: [{ name: asc }, { version: desc }], limit: 500) {
      id name version version_group_id description parameters
      project { name }
      flow_runs(order_by: [{ created: desc }], limit: 8) { id name state }
    }
  }
`);

const TASK_RUN_ROW = graphql(`
  fragment task_run_row on task_run {
    id task_id map_index name version state state_message state_details start_time end_time
  }
`);

export const RUN = graphql(
  `
  query run($id: uuid!) {
    flow_run_by_pk(id: $id) {
      id name version state state_message scheduled_start_time start_time end_time created parameters
      flow {
        id name version description
        project { name }
        tasks { id name slug mapped }
        edges { upstream_task_id downstream_task_id }
      }
    }
    task_run(where: { flow_run_id: { _eq: $id }, map_index: { _eq: -1 } }) { ...task_run_row }
    task_run_counts(flow_run_id: $id) { task_id state count }
  }
`,
  [TASK_RUN_ROW],
);

export const COUNTS = graphql(`
  query counts($id: uuid!) {
    task_run_counts(flow_run_id: $id) { task_id state count }
  }
`);

export const CHILDREN = graphql(
  `
  query children($where: task_run_bool_exp, $limit: Int, $offset: Int) {
    task_run(where: $where, order_by: [{ map_index: asc }], limit: $limit, offset: $offset) { ...task_run_row }
  }
`,
  [TASK_RUN_ROW],
);

export const LOGS = graphql(`
  query logs($where: log_bool_exp, $limit: Int) {
    log(where: $where, order_by: [{ seq: desc }], limit: $limit) {
      seq task_run_id timestamp level name message
      task_run { id name map_index task { name } }
    }
  }
`);

export const TASK_RUN_NAMES = graphql(`
  query task_run_names($ids: [uuid!]) {
    task_run(where: { id: { _in: $ids } }) { id name map_index task { name } }
  }
`);

export const CREATE_FLOW_RUN = graphql(`
  mutation create_flow_run($input: create_flow_run_input!) {
    create_flow_run(input: $input) { id }
  }
`);

export const CANCEL_FLOW_RUN = graphql(`
  mutation cancel_flow_run($input: cancel_flow_run_input!) {
    cancel_flow_run(input: $input) { state }
  }
`);

export const STATE_CHANGES = graphql(`
  subscription state_changes($flow_run_id: uuid, $after: bigint) {
    state_changes(flow_run_id: $flow_run_id, after: $after) {
      seq kind flow_run_id task_run_id task_id map_index version state message timestamp lagged
    }
  }
`);

export const LOG_LINES = graphql(`
  subscription log_lines($flow_run_id: uuid!, $after: bigint) {
    logs(flow_run_id: $flow_run_id, after: $after) {
      seq task_run_id timestamp level name message lagged
    }
  }
`);

export type RunRow = ResultOf<typeof RUNS>['flow_run'][number];
export type RunsVariables = VariablesOf<typeof RUNS>;
export type FlowRow = ResultOf<typeof FLOWS>['flow'][number];
export type Run = NonNullable<ResultOf<typeof RUN>['flow_run_by_pk']>;
export type Task = Run['flow']['tasks'][number];
export type Edge = Run['flow']['edges'][number];
export type TaskRunRow = ResultOf<typeof RUN>['task_run'][number];
export type TaskRunCount = ResultOf<typeof COUNTS>['task_run_counts'][number];
export type StateChange = ResultOf<typeof STATE_CHANGES>['state_changes'];
export type LogLine = Omit<ResultOf<typeof LOG_LINES>['logs'], 'lagged'>;
export type TaskRunName = ResultOf<typeof TASK_RUN_NAMES>['task_run'][number];
