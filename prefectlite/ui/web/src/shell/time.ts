import { useSyncExternalStore } from 'react';

let now = Date.now();
let interval: number | undefined;
const watchers = new Set<() => void>();

function watch(watcher: () => void): () => void {
  watchers.add(watcher);
  if (interval === undefined) {
    now = Date.now();
    interval = window.setInterval(() => {
      now = Date.now();
      for (const each of watchers) each();
    }, 1000);
  }
  return () => {
    watchers.delete(watcher);
    if (watchers.size === 0) {
      window.clearInterval(interval);
      interval = undefined;
    }
  };
}

const never = () => () => {};

/** The time in milliseconds, renewed every second while `ticking`; all components share one timer. */
export function useNow(ticking = true): number {
  return useSyncExternalStore(ticking ? watch : never, () => (interval === undefined ? (now = fresh(now)) : now));
}

/** A value that is not older than a second and yet the same from one call to the next, as React asks. */
function fresh(last: number): number {
  const current = Date.now();
  return current - last > 1000 ? current : last;
}

/** Milliseconds since 1970 of a timestamp of the API; null stays null. */
export function moment(timestamp: string | null | undefined): number | null {
  return timestamp ? Date.parse(timestamp) : null;
}

/**
 * A length of time in at most two units: 40 ms, 1.24 s, 14.3 s, 2 m 05 s, 1 h 02 m, 3 d 4 h; `whole` leaves out parts of
 * seconds.
 */
export function lengthOf(milliseconds: number, whole = false): string {
  const seconds = Math.max(0, milliseconds) / 1000;
  if (seconds < 1 && !whole) return seconds < 0.001 ? '< 1 ms' : `${Math.round(milliseconds)} ms`;
  if (seconds < 60) return `${whole ? Math.floor(seconds) : seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  const total = Math.round(seconds);
  const [days, hours, minutes] = [Math.floor(total / 86400), Math.floor(total / 3600) % 24, Math.floor(total / 60) % 60];
  const two = (n: number) => String(n).padStart(2, '0');
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${two(minutes)} m`;
  return `${minutes} m ${two(total % 60)} s`;
}

/** How far a moment is from now: just now, 40 s ago, in 4 min, 3 h ago, 2 d ago. */
export function distance(then: number, from: number): string {
  const seconds = Math.round((from - then) / 1000);
  const far = Math.abs(seconds);
  if (far < 5) return 'just now';
  const words =
    far < 60 ? `${far} s`
    : far < 3600 ? `${Math.floor(far / 60)} min`
    : far < 86400 ? `${Math.floor(far / 3600)} h`
    : `${Math.floor(far / 86400)} d`;
  return seconds >= 0 ? `${words} ago` : `in ${words}`;
}

const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'long' });

/** Date, time and zone, for people. */
export function fullTime(then: number): string {
  return FULL.format(then);
}

/** The time of day with milliseconds, for log lines. */
export function clockTime(then: number): string {
  const date = new Date(then);
  const two = (n: number) => String(n).padStart(2, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}
