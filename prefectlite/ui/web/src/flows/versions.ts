import type { FlowRow } from '../api/documents';

/** Of each flow only the newest version, in the order given. */
export function newestVersions(flows: FlowRow[]): FlowRow[] {
  const newest = new Map<string, FlowRow>();
  for (const flow of flows) {
    const known = newest.get(flow.version_group_id);
    if (!known || known.version < flow.version) newest.set(flow.version_group_id, flow);
  }
  return [...newest.values()];
}
