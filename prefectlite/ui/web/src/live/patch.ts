import type { StateChange } from '../api/documents';
import { isFinished } from '../states/state';

interface Stateful {
  version: number;
  state: string;
  state_message: string | null;
  start_time: string | null;
  end_time: string | null;
}

/** The row as it is after a change; the row itself when it already knows that version. */
export function patched<Row extends Stateful>(row: Row, change: StateChange | undefined): Row {
  if (!change || change.version <= row.version) return row;
  const finished = isFinished(change.state);
  return {
    ...row,
    version: change.version,
    state: change.state,
    state_message: change.message,
    start_time: row.start_time ?? (change.state === 'Running' || finished ? change.timestamp : null),
    end_time: finished ? change.timestamp : null,
  };
}

/** The newest change of each run, with `changes` taken in; at most `limit` of them are kept, the oldest go first. */
export function overlaid(
  known: ReadonlyMap<string, StateChange>,
  changes: readonly StateChange[],
  keyOf: (change: StateChange) => string,
  limit = 2000,
): ReadonlyMap<string, StateChange> {
  const next = new Map(known);
  for (const change of changes) {
    const key = keyOf(change);
    const before = next.get(key);
    if (before && before.version >= change.version) continue;
    next.delete(key);
    next.set(key, change);
  }
  for (const key of next.keys()) {
    if (next.size <= limit) break;
    next.delete(key);
  }
  return next;
}
