import { useSyncExternalStore } from 'react';
import { base } from '../shell/base';

export type Role = 'viewer' | 'agent' | 'operator' | 'admin';

/** Who uses the pages. Without `auth` the server asks for no tokens, and everybody may do everything. */
export interface User {
  name: string;
  role: Role;
  auth: boolean;
}

export type Standing =
  | { kind: 'asking' }
  | { kind: 'in'; user: User }
  /** `ended`: somebody was logged in on this page before. */
  | { kind: 'out'; ended: boolean; message: string | null }
  | { kind: 'unknown'; message: string };

/** Own pages show with this header that they ask; its value tells the server where they live, behind whatever proxy. */
export const OWN_PAGE = { 'x-prefectlite': base.pathname };
const UNREACHABLE = 'The server cannot be reached. Is it running?';
const FORBIDDEN = 4403;
const LINK = /^#token=([\w-]+)$/;

let standing: Standing = { kind: 'asking' };
let asking: Promise<void> | null = null;
const watchers = new Set<() => void>();

function stand(next: Standing) {
  if (JSON.stringify(next) === JSON.stringify(standing)) return;
  standing = next;
  for (const watcher of watchers) watcher();
}

async function send(method: string, content?: object): Promise<Response> {
  const headers = content ? { ...OWN_PAGE, 'content-type': 'application/json' } : OWN_PAGE;
  const body = content ? JSON.stringify(content) : null;
  return fetch(new URL('api/session', base), { method, headers, body, cache: 'no-store' });
}

async function refusalIn(response: Response): Promise<string> {
  try {
    const { errors } = (await response.json()) as { errors: { message: string }[] };
    return `${errors[0]!.message}.`;
  } catch {
    return `The server answered ${response.status} ${response.statusText}`.trimEnd() + '.';
  }
}

async function ask(message: string | null): Promise<void> {
  try {
    const response = await send('GET');
    if (response.ok) stand({ kind: 'in', user: (await response.json()) as User });
    else if (response.status === 401) stand({ kind: 'out', ended: standing.kind === 'in', message });
    else if (standing.kind !== 'in') stand({ kind: 'unknown', message: await refusalIn(response) });
  } catch {
    if (standing.kind !== 'in') stand({ kind: 'unknown', message: UNREACHABLE });
  }
}

/** Ask the server who uses the pages. To be called at the beginning and whenever it seems that a login has ended. */
export function askWho(): Promise<void> {
  asking ??= begin().finally(() => (asking = null));
  return asking;
}

window.addEventListener('hashchange', () => LINK.test(window.location.hash) && void askWho());

/** The live connection was closed with `code`: perhaps because the login has ended, which also keeps it from being opened. */
export function connectionClosed(code: number) {
  if (code === FORBIDDEN || (standing.kind === 'in' && standing.user.auth)) void askWho();
}

/** The link that `serve --auth` prints has a key behind the `#`, which browsers send nowhere: it is exchanged and gone. */
async function begin(): Promise<void> {
  const link = LINK.exec(window.location.hash)?.[1];
  if (link === undefined) return ask(null);
  window.history.replaceState(null, '', window.location.pathname + window.location.search);
  // Only links that the server made are taken from an address: with a token, anybody could make others log in as them.
  const message = await logIn({ link }).catch(() => UNREACHABLE);
  return ask(message);
}

/** Logs in with a token that was typed; null, or why not. */
export async function logInWith(token: string): Promise<string | null> {
  try {
    const message = await logIn({ token });
    if (message === null) await ask(null);
    return message;
  } catch {
    return UNREACHABLE;
  }
}

async function logIn(shown: { token: string } | { link: string }): Promise<string | null> {
  const response = await send('POST', shown);
  return response.ok ? null : refusalIn(response);
}

/** Logs out; null, or why that failed. */
export async function logOut(): Promise<string | null> {
  try {
    const response = await send('DELETE');
    if (!response.ok) return await refusalIn(response);
  } catch {
    return UNREACHABLE;
  }
  stand({ kind: 'out', ended: false, message: null });
  return null;
}

function watch(watcher: () => void): () => void {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

/** How things stand between this page and the server. */
export function useStanding(): Standing {
  return useSyncExternalStore(watch, () => standing);
}

/** Whether the user may run and stop flows; what they may not do is not offered, and the server would refuse it. */
export function useMayOperate(): boolean {
  const now = useStanding();
  return now.kind === 'in' && (now.user.role === 'operator' || now.user.role === 'admin');
}
