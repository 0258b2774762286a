import { useSyncExternalStore, type AnchorHTMLAttributes, type MouseEvent } from 'react';
import { base } from './base';

export interface Place {
  /** Path inside the UI, beginning with a slash. */
  path: string;
  search: URLSearchParams;
}

const watchers = new Set<() => void>();
let place = here();

function here(): Place {
  const { pathname, search } = window.location;
  const inside = pathname.startsWith(base.pathname) ? pathname.slice(base.pathname.length) : pathname.slice(1);
  return { path: `/${inside.replace(/\/+$/, '')}`, search: new URLSearchParams(search) };
}

function moved() {
  place = here();
  for (const watcher of watchers) watcher();
}
window.addEventListener('popstate', moved);

/** The address in the browser for a path inside the UI. */
export function addressOf(to: string): string {
  return base.pathname + to.replace(/^\//, '');
}

/** Goes to a path inside the UI; `replace` leaves no step to go back to, for filters that change as one types. */
export function navigate(to: string, options: { replace?: boolean } = {}) {
  const address = addressOf(to);
  if (options.replace) window.history.replaceState(null, '', address);
  else window.history.pushState(null, '', address);
  moved();
}

/** Where the UI is, followed through every navigation. */
export function usePlace(): Place {
  return useSyncExternalStore(
    (watcher) => {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
    () => place,
  );
}

type LinkProps = AnchorHTMLAttributes<HTMLAnchorElement> & { to: string };

/** A link inside the UI; with a modifier key or another button the browser opens it as it opens any link. */
export function Link({ to, onClick, ...rest }: LinkProps) {
  const follow = (event: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(event);
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    navigate(to);
  };
  return <a href={addressOf(to)} onClick={follow} {...rest} />;
}
