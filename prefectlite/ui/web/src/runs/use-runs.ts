import { useMemo, useState } from 'react';
import { RUNS, type RunRow, type StateChange } from '../api/documents';
import { useQuery } from '../api/use-query';
import { overlaid, patched } from '../live/patch';
import { useThrottled } from '../live/throttle';
import { useNewest } from '../live/use-newest';
import { useStateChanges } from '../live/use-state-changes';
import { GROUPS, variablesOf, type Group, type RunsFilter } from './filter';

const REFETCH_EVERY = 700;
const NO_CHANGES: ReadonlyMap<string, StateChange> = new Map();

interface Runs {
  rows: RunRow[] | null;
  counts: Record<Group, number> | null;
  error: string | null;
  loading: boolean;
  refetch: () => Promise<void>;
}

/**
 * The runs that pass the filter, kept up to date: a row is changed in place at once; what may add, move or remove rows,
 * and the counts, are read again at most every 700 ms while changes arrive. `onChange` hears of every batch.
 */
export function useRuns(filter: RunsFilter, onChange: () => void): Runs {
  const { newest, error: newestError } = useNewest();
  const variables = newest === null ? null : variablesOf(filter);
  const { data, error, loading, refetch } = useQuery(RUNS, variables);
  const [changes, setChanges] = useState(NO_CHANGES);
  const refetchSoon = useThrottled(refetch, REFETCH_EVERY);

  useStateChanges(null, newest, (batch) => {
    setChanges((known) => overlaid(known, batch, (change) => change.flow_run_id));
    refetchSoon();
    onChange();
  });

  const rows = useMemo(() => data?.flow_run.map((row) => patched(row, changes.get(row.id))) ?? null, [data, changes]);
  const counts = useMemo(() => {
    if (!data) return null;
    return Object.fromEntries(GROUPS.map((g) => [g, data[g].aggregate?.count ?? 0])) as Record<Group, number>;
  }, [data]);

  return { rows, counts, error: error ?? newestError, loading: loading || newest === null, refetch };
}
