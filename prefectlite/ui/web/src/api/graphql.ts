import type { initGraphQLTada } from 'gql.tada';
import type { introspection } from '../graphql-env.d.ts';

interface Setup {
  introspection: introspection;
  disableMasking: true;
  scalars: {
    uuid: string;
    UUID: string;
    timestamptz: string;
    DateTime: string;
    interval: string;
    bigint: number;
    jsonb: unknown;
    JSON: unknown;
  };
}

/**
 * Types a GraphQL document from the schema. Only the types come from gql.tada: at run time a document stays the text it
 * is, so that no GraphQL parser has to be shipped.
 */
export const graphql = ((source: string, fragments: readonly unknown[] = []) =>
  [source, ...fragments].join('\n')) as unknown as ReturnType<typeof initGraphQLTada<Setup>>;

export type { ResultOf, VariablesOf } from 'gql.tada';
