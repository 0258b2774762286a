import type { ReactNode } from 'react';
import { toneOf, type Tone } from './state';

const check = <path d="M4.6 8.3 7 10.6l4.4-5" />;
const cross = <path d="m5.4 5.4 5.2 5.2m0-5.2-5.2 5.2" />;
const disc = <circle className="fill" cx="8" cy="8" r="7" />;
const ring = <circle cx="8" cy="8" r="6.2" />;

/** One shape for each tone, so that colour is never the only sign. */
const OF_TONE: Record<Tone, ReactNode> = {
  success: <>{disc}<g className="mark">{check}</g></>,
  skipped: <>{ring}<path d="m5 5.6 2.6 2.4L5 10.4m3.4-4.8L11 8l-2.6 2.4" /></>,
  cancelled: <>{ring}<path d="m3.8 12.2 8.4-8.4" /></>,
  failed: <><path className="fill" d="M5.2 1h5.6L15 5.2v5.6L10.8 15H5.2L1 10.8V5.2Z" /><g className="mark">{cross}</g></>,
  running: <><circle className="track" cx="8" cy="8" r="6.2" /><path className="turn" d="M8 1.8A6.2 6.2 0 0 1 14.2 8" /><circle className="fill" cx="8" cy="8" r="2.4" /></>,
  waiting: <>{ring}<path d="M8 4.6V8l2.4 1.6" /></>,
  pending: <circle className="dotted" cx="8" cy="8" r="6.2" />,
};

const OF_STATE: Record<string, ReactNode> = {
  Paused: <>{ring}<path d="M6.3 5.6v4.8m3.4-4.8v4.8" /></>,
  Retrying: <path d="M13.4 6.2A5.8 5.8 0 1 0 13.8 9M13.9 2.6v3.8h-3.8" />,
  TimedOut: <>{<path className="fill" d="M5.2 1h5.6L15 5.2v5.6L10.8 15H5.2L1 10.8V5.2Z" />}<g className="mark"><path d="M8 4.4V8l2.4 1.8" /></g></>,
  Cached: <>{ring}{check}</>,
  Mapped: <><rect className="fill" x="1.5" y="1.5" width="5.4" height="5.4" rx="1.2" /><rect className="fill" x="9.1" y="1.5" width="5.4" height="5.4" rx="1.2" /><rect className="fill" x="1.5" y="9.1" width="5.4" height="5.4" rx="1.2" /><rect className="fill" x="9.1" y="9.1" width="5.4" height="5.4" rx="1.2" /></>,
  TriggerFailed: <><path d="M5.2 1.8h5.6l3.4 3.4v5.6l-3.4 3.4H5.2l-3.4-3.4V5.2Z" />{cross}</>,
};

/** The sign of a state; without text beside it, give it a `title`. */
export function StateIcon({ state, tone, title }: { state?: string; tone?: Tone; title?: string }) {
  const shown = tone ?? toneOf(state ?? '');
  return (
    <svg
      className={`state-icon tone-${shown}`}
      viewBox="0 0 16 16"
      {...(title ? { role: 'img', 'aria-label': title } : { 'aria-hidden': true })}
    >
      {title && <title>{title}</title>}
      {(state && OF_STATE[state]) ?? OF_TONE[shown]}
    </svg>
  );
}
