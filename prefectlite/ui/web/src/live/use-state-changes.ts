import { useEffect, useEffectEvent } from 'react';
import { STATE_CHANGES, type StateChange } from '../api/documents';
import { subscribe } from './connection';
import { frameBatch } from './frame-batch';

/**
 * Hands over the state changes of one flow run and its task runs, or of all flow runs when `flowRunId` is null, in
 * batches of one animation frame. Starts behind `after`; waits while that is null. `lost` means: read the record again.
 */
export function useStateChanges(
  flowRunId: string | null,
  after: number | null,
  onChanges: (changes: StateChange[], lost: boolean) => void,
) {
  const flush = useEffectEvent(onChanges);
  useEffect(() => {
    if (after === null) return;
    let newest = after;
    const batch = frameBatch<StateChange>((changes, lost) => flush(changes, lost || changes.some((c) => c.lagged)));
    const stop = subscribe(
      STATE_CHANGES,
      () => ({ flow_run_id: flowRunId, after: newest }),
      ({ state_changes: change }) => {
        newest = Math.max(newest, change.seq);
        batch.add(change);
      },
    );
    return () => {
      stop();
      batch.stop();
    };
  }, [flowRunId, after]);
}
