import { useCallback, useEffect, useRef, useState } from 'react';
import type { TadaDocumentNode } from 'gql.tada';
import { messageOf, request } from './transport';

export interface Query<Result> {
  /** The newest answer; while another one is on its way, the one before. */
  data: Result | null;
  error: string | null;
  loading: boolean;
  /** Asks again; settles, never failing, when the answer is there or was overtaken. */
  refetch: () => Promise<void>;
}

/**
 * The answer to a query, asked again when the variables change; `null` variables ask nothing. Answers that were overtaken
 * by a later question are dropped.
 */
export function useQuery<Result, Variables>(
  document: TadaDocumentNode<Result, Variables>,
  variables: Variables | null,
): Query<Result> {
  const [data, setData] = useState<Result | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [loading, setLoading] = useState(variables !== null);
  const running = useRef<AbortController | null>(null);
  const key = JSON.stringify(variables);

  const refetch = useCallback(async () => {
    const asked = JSON.parse(key) as Variables | null;
    running.current?.abort();
    if (asked === null) return;
    const controller = new AbortController();
    running.current = controller;
    setLoading(true);
    try {
      const answer = await request(document, asked, controller.signal);
      if (controller.signal.aborted) return;
      setData(answer);
      setError(null);
    } catch (reason) {
      if (controller.signal.aborted) return;
      setError(messageOf(reason));
    }
    setLoading(false);
  }, [document, key]);

  useEffect(() => {
    void refetch();
    return () => running.current?.abort();
  }, [refetch]);

  return { data, error, loading, refetch };
}
