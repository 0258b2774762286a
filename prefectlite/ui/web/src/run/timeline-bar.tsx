import { moment, useNow } from '../shell/time';
import { isRunning, toneOf } from '../states/state';

interface TimelineBarProps {
  state: string;
  start: string | null;
  end: string | null;
  began: number | null;
  ended: number | null;
}

/** When in the run's time a task ran: a bar from its start to its end, growing while it runs. */
export function TimelineBar({ state, start, end, began, ended }: TimelineBarProps) {
  const running = isRunning(state);
  const now = useNow(began !== null && ended === null);
  const from = moment(start);
  if (began === null || from === null) return <span className="timeline" aria-hidden="true" />;
  const until = moment(end) ?? (running ? now : from);
  const whole = Math.max((ended ?? now) - began, 1);
  const left = Math.min(Math.max((from - began) / whole, 0), 0.995);
  const width = Math.min(Math.max((until - from) / whole, 0), 1 - left);
  return (
    <span className="timeline" aria-hidden="true">
      <span
        className={`timeline-bar tone-${toneOf(state)}`}
        style={{ left: `${left * 100}%`, width: `${width * 100}%` }}
      />
    </span>
  );
}
