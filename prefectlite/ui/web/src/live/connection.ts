import { createClient } from 'graphql-ws';
import type { TadaDocumentNode } from 'gql.tada';
import { useSyncExternalStore } from 'react';
import { connectionClosed } from '../session/session';
import { base } from '../shell/base';

/** idle: nothing on this page listens. */
export type Status = 'idle' | 'connecting' | 'live' | 'reconnecting';

const FIRST_WAIT = 300;
const LONGEST_WAIT = 10_000;
const PONG_WITHIN = 6_000;

let status: Status = 'idle';
let connected = false;
let lost = false;
let listeners = 0;
let pongTimer: number | undefined;
const watchers = new Set<() => void>();
const waiting = new Set<() => void>();

/** Says anew how things stand, after anything it is made of has changed. */
function restate() {
  const next = listeners === 0 ? 'idle' : connected ? 'live' : lost ? 'reconnecting' : 'connecting';
  if (next === status) return;
  status = next;
  for (const watcher of watchers) watcher();
}

function address(): string {
  const url = new URL('graphql', base);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return url.href;
}

// One socket for the whole page. Its own retries are off: they would repeat the first `after`, ours ask for the newest.
const client = createClient({
  url: address,
  lazyCloseTimeout: 3_000,
  retryAttempts: 0,
  keepAlive: 15_000,
  on: {
    connected: () => {
      connected = true;
      lost = false;
      restate();
      retryNow();
    },
    closed: (event) => {
      window.clearTimeout(pongTimer);
      connected = false;
      lost = listeners > 0;
      restate();
      if (lost) connectionClosed((event as CloseEvent).code);
    },
    ping: (received) => {
      // A network that went away silently closes nothing; a missing answer does.
      if (!received) pongTimer = window.setTimeout(() => client.terminate(), PONG_WITHIN);
    },
    pong: () => window.clearTimeout(pongTimer),
  },
});

function retryNow() {
  for (const retry of [...waiting]) retry();
}
window.addEventListener('online', retryNow);
document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && retryNow());

/**
 * Listens until the returned function is called, through any number of lost connections; `variables` is asked again for
 * each connection, so that `after` can name the newest item received.
 */
export function subscribe<Result, Variables extends Record<string, unknown>>(
  document: TadaDocumentNode<Result, Variables>,
  variables: () => Variables,
  next: (result: Result) => void,
): () => void {
  let stopped = false;
  let attempts = 0;
  let startedAt = 0;
  let timer: number | undefined;
  let unsubscribe = () => {};

  const start = () => {
    window.clearTimeout(timer);
    waiting.delete(start);
    startedAt = performance.now();
    unsubscribe = client.subscribe<Result>(
      { query: document as unknown as string, variables: variables() },
      {
        next: (message) => {
          if (message.data) next(message.data);
          else console.error('A subscription answered with an error.', message.errors);
        },
        error: (reason) => {
          if (Array.isArray(reason)) console.error('A subscription was refused.', reason);
          again();
        },
        complete: again,
      },
    );
  };
  const again = () => {
    if (stopped) return;
    if (performance.now() - startedAt > LONGEST_WAIT) attempts = 0;
    const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** attempts) * (0.7 + Math.random() * 0.6);
    attempts += 1;
    waiting.add(start);
    timer = window.setTimeout(start, wait);
  };

  listeners += 1;
  restate();
  start();
  return () => {
    stopped = true;
    listeners -= 1;
    window.clearTimeout(timer);
    waiting.delete(start);
    unsubscribe();
    restate();
  };
}

/** How the live connection is doing, for the dot in the header. */
export function useStatus(): Status {
  return useSyncExternalStore(
    (watcher) => {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
    () => status,
  );
}
