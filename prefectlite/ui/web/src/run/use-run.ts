import { useEffect, useMemo, useState } from 'react';
import {
  COUNTS,
  RUN,
  type Run,
  type StateChange,
  type Task,
  type TaskRunCount,
  type TaskRunRow,
} from '../api/documents';
import { request } from '../api/transport';
import { useQuery } from '../api/use-query';
import { overlaid, patched } from '../live/patch';
import { useThrottled } from '../live/throttle';
import { useNewest } from '../live/use-newest';
import { useStateChanges } from '../live/use-state-changes';
import { isFinished } from '../states/state';
import { graphOrder } from './graph-order';

const COUNTS_EVERY = 250;
const REFETCH_EVERY = 500;
const MOST_TASKS = 20_000;
const NO_CHANGES: ReadonlyMap<string, StateChange> = new Map();

/** A task of the flow with its task run, if it has one, and how many of its runs are in which state. */
export interface TaskLine {
  task: Task;
  taskRun: TaskRunRow | null;
  counts: TaskRunCount[];
}

export interface LiveRun {
  run: Run | null;
  missing: boolean;
  lines: TaskLine[];
  newest: number | null;
  error: string | null;
  refetch: () => Promise<void>;
}

/**
 * A flow run with its tasks in graph order, followed live. The tasks' own runs are changed in place; children of mapped
 * tasks never reach this page one by one, their counts are read again at most four times a second.
 */
export function useRun(id: string): LiveRun {
  const { newest, error: newestError } = useNewest();
  const { data, error, refetch } = useQuery(RUN, newest === null ? null : { id });
  const [changes, setChanges] = useState(NO_CHANGES);
  const counts = useCounts(id, data?.task_run_counts ?? null);
  const refetchSoon = useThrottled(refetch, REFETCH_EVERY);

  useStateChanges(id, newest, (batch, lost) => {
    const own = batch.filter((change) => change.kind === 'flow_run' || (change.map_index ?? -1) < 0);
    if (own.length > 0) setChanges((known) => overlaid(known, own, keyOf, MOST_TASKS));
    if (own.length < batch.length || own.some((change) => change.kind === 'task_run')) counts.refetchSoon();
    // Only a full answer holds how many children there are, and the exact times of a run that has ended.
    if (lost || own.some((c) => c.state === 'Mapped' || (c.kind === 'flow_run' && isFinished(c.state)))) refetchSoon();
  });

  const run = useMemo(() => {
    const row = data?.flow_run_by_pk ?? null;
    return row && patched(row, changes.get(row.id));
  }, [data, changes]);

  const tasks = useMemo(() => {
    const flow = data?.flow_run_by_pk?.flow;
    return flow ? graphOrder(flow.tasks, flow.edges) : [];
  }, [data]);

  const lines = useMemo(
    () => linesOf(tasks, data?.task_run ?? [], counts.counts, changes),
    [tasks, data, counts.counts, changes],
  );

  return {
    run,
    missing: data !== null && data.flow_run_by_pk === null,
    lines,
    newest,
    error: error ?? newestError,
    refetch,
  };
}

function keyOf(change: StateChange): string {
  return change.task_run_id ?? change.flow_run_id;
}

/** The counts of the newest of two sources: the page's own query, and the counts alone while changes arrive. */
function useCounts(id: string, fromPage: TaskRunCount[] | null) {
  const [counts, setCounts] = useState<TaskRunCount[]>([]);
  useEffect(() => {
    if (fromPage) setCounts(fromPage);
  }, [fromPage]);

  const refetchSoon = useThrottled(async () => {
    try {
      setCounts((await request(COUNTS, { id })).task_run_counts);
    } catch {
      // the next change asks again, and the live dot shows a server that is away
    }
  }, COUNTS_EVERY);
  return { counts, refetchSoon };
}

function linesOf(
  tasks: Task[],
  rows: TaskRunRow[],
  counts: TaskRunCount[],
  changes: ReadonlyMap<string, StateChange>,
): TaskLine[] {
  const byTask = new Map(rows.map((row) => [row.task_id, patched(row, changes.get(row.id))]));
  for (const change of changes.values()) {
    if (change.task_id && !byTask.has(change.task_id)) byTask.set(change.task_id, rowFrom(change));
  }
  const ofTask = Map.groupBy(counts, (count) => count.task_id);
  return tasks.map((task) => ({ task, taskRun: byTask.get(task.id) ?? null, counts: ofTask.get(task.id) ?? [] }));
}

/** The row of a task run that began after the page was read. */
function rowFrom(change: StateChange): TaskRunRow {
  const blank: TaskRunRow = {
    id: change.task_run_id!,
    task_id: change.task_id!,
    map_index: change.map_index ?? -1,
    name: null,
    version: -1,
    state: change.state,
    state_message: null,
    state_details: null,
    start_time: null,
    end_time: null,
  };
  return patched(blank, change);
}
