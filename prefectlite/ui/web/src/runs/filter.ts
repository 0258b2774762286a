import type { RunsVariables } from '../api/documents';
import { statesWith } from '../states/state';

export const PAGE_SIZE = 25;

export const GROUPS = ['all', 'running', 'waiting', 'success', 'failed', 'cancelled'] as const;
export type Group = (typeof GROUPS)[number];

export const GROUP_WORDS: Record<Group, string> = {
  all: 'All',
  running: 'Running',
  waiting: 'Waiting',
  success: 'Success',
  failed: 'Failed',
  cancelled: 'Cancelled',
};

const STATES: Record<Exclude<Group, 'all'>, string[]> = {
  running: statesWith('running'),
  waiting: statesWith('waiting', 'pending'),
  success: statesWith('success', 'skipped'),
  failed: statesWith('failed'),
  cancelled: statesWith('cancelled'),
};

/** What the list of runs shows; it lives in the address. */
export interface RunsFilter {
  group: Group;
  flow: string;
  page: number;
}

/** The filter an address holds; what it does not understand is left out. */
export function filterOf(search: URLSearchParams): RunsFilter {
  const group = search.get('state') as Group;
  const page = Number(search.get('page') ?? 1);
  return {
    group: GROUPS.includes(group) ? group : 'all',
    flow: search.get('flow') ?? '',
    page: Number.isInteger(page) && page > 0 ? page : 1,
  };
}

/** The address of the list with this filter; defaults are not written. */
export function addressWith({ group, flow, page }: RunsFilter): string {
  const search = new URLSearchParams();
  if (group !== 'all') search.set('state', group);
  if (flow) search.set('flow', flow);
  if (page > 1) search.set('page', String(page));
  return search.size ? `/?${search}` : '/';
}

/** Whether a run in this state belongs to the group. */
export function isIn(group: Group, state: string): boolean {
  return group === 'all' || STATES[group].includes(state);
}

/** The question to the API that a filter means: the page's rows and how many runs each group has. */
export function variablesOf({ group, flow, page }: RunsFilter): RunsVariables {
  const ofFlow = flow ? { flow: { name: { _ilike: `%${flow}%` } } } : {};
  const where = (which: Group) => (which === 'all' ? ofFlow : { ...ofFlow, state: { _in: STATES[which] } });
  return {
    where: where(group),
    limit: PAGE_SIZE,
    offset: (page - 1) * PAGE_SIZE,
    all: where('all'),
    waiting: where('waiting'),
    running: where('running'),
    success: where('success'),
    failed: where('failed'),
    cancelled: where('cancelled'),
  };
}
