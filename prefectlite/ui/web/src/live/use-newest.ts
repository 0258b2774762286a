import { NEWEST } from '../api/documents';
import { useQuery } from '../api/use-query';

const NOTHING = {};

/**
 * The newest sequence number of the record, read once; null until it is known. Read it before a page's own query and
 * subscribe behind it: what is committed between the two is then delivered again rather than missed.
 */
export function useNewest(): { newest: number | null; error: string | null } {
  const { data, error } = useQuery(NEWEST, NOTHING);
  if (data === null) return { newest: null, error };
  return { newest: Math.max(0, ...[...data.flow_run_state, ...data.task_run_state].map((row) => row.seq)), error };
}
