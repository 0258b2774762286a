import { useEffect, useEffectEvent, useMemo } from 'react';

type Run = () => Promise<unknown> | void;

/**
 * Calls `run` at most once in `interval` milliseconds and never while its last call is unfinished: at once when it
 * rested, else as soon as both are over. However slow the server, answers are thus used rather than overtaken.
 */
export function throttle(run: Run, interval: number) {
  let timer: number | undefined;
  let last = -Infinity;
  let running = false;
  let again = false;
  let cancelled = false;
  const fire = async () => {
    timer = undefined;
    last = performance.now();
    running = true;
    try {
      await run();
    } finally {
      running = false;
      if (again && !cancelled) call();
      again = false;
    }
  };
  const call = () => {
    if (running) again = true;
    else timer ??= window.setTimeout(() => void fire(), Math.max(0, last + interval - performance.now()));
  };
  const cancel = () => {
    cancelled = true;
    window.clearTimeout(timer);
  };
  return { call, cancel };
}

/** A throttled form of `run` that always calls its newest version and stops with the component. */
export function useThrottled(run: Run, interval: number): () => void {
  const newest = useEffectEvent(run);
  const made = useMemo(() => ({ call: () => {} }), []);
  useEffect(() => {
    const { call, cancel } = throttle(() => newest(), interval);
    made.call = call;
    return cancel;
  }, [interval, made]);
  return useMemo(() => () => made.call(), [made]);
}
