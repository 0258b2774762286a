import type { TadaDocumentNode } from 'gql.tada';
import { askWho, OWN_PAGE } from '../session/session';
import { base } from '../shell/base';

/** What the API refused, in its own words, or that it could not be reached. */
export class ApiFailure extends Error {}

interface Answer<Result> {
  data?: Result | null;
  errors?: { message: string; extensions?: { code?: string } }[];
}

/** The data of a query or mutation. Raises ApiFailure for any error in the answer and when there is none. */
export async function request<Result, Variables>(
  document: TadaDocumentNode<Result, Variables>,
  variables: Variables,
  signal?: AbortSignal,
): Promise<Result> {
  let answer: Answer<Result>;
  let response: Response;
  try {
    response = await fetch(new URL('graphql', base), {
      method: 'POST',
      headers: { ...OWN_PAGE, 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify({ query: document, variables }),
      signal: signal ?? null,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiFailure('The server cannot be reached. Is it running?');
  }
  try {
    answer = (await response.json()) as Answer<Result>;
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiFailure(`The server answered ${response.status} ${response.statusText}.`.replace(' .', '.'));
  }
  if (answer.errors?.some((error) => error.extensions?.code === 'UNAUTHENTICATED')) void askWho();
  if (answer.errors?.length) throw new ApiFailure(answer.errors.map((error) => error.message).join('\n'));
  if (!answer.data) throw new ApiFailure(`The server answered ${response.status} without data.`);
  return answer.data;
}

/** An error as a person may read it. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
