import { distance, fullTime, lengthOf, moment, useNow } from './time';

/** How long ago or how soon, with the full date on hover. */
export function Ago({ at }: { at: string | null }) {
  const then = moment(at);
  const now = useNow(then !== null);
  if (then === null) return <span className="muted">–</span>;
  return (
    <time dateTime={at!} title={fullTime(then)}>
      {distance(then, now)}
    </time>
  );
}

/** How long something took; while it has no end it counts the seconds. */
export function Duration({ start, end, running }: { start: string | null; end: string | null; running: boolean }) {
  const began = moment(start);
  const ended = moment(end);
  const ticking = began !== null && ended === null && running;
  const now = useNow(ticking);
  if (began === null || (ended === null && !running)) return <span className="muted">–</span>;
  return <span className="number">{lengthOf((ended ?? now) - began, ticking)}</span>;
}
