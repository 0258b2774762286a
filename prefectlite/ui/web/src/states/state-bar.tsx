import { isFinished, TONE_WORDS, TONES, toneOf, type Tone } from './state';
import { StateIcon } from './state-icon';

export type ToneCounts = Partial<Record<Tone, number>>;

/** Sums counts of states into counts of tones. */
export function byTone(counts: Iterable<{ state: string; count: number }>): ToneCounts {
  const sums: ToneCounts = {};
  for (const { state, count } of counts) sums[toneOf(state)] = (sums[toneOf(state)] ?? 0) + count;
  return sums;
}

/** How many of these are over. */
export function finishedOf(counts: Iterable<{ state: string; count: number }>): number {
  let finished = 0;
  for (const { state, count } of counts) if (isFinished(state)) finished += count;
  return finished;
}

interface StateBarProps {
  label: string;
  counts: ToneCounts;
  finished: number;
  total: number;
}

/** A progress bar made of one segment for each tone; what is not in `counts` is left empty. */
export function StateBar({ label, counts, finished, total }: StateBarProps) {
  return (
    <div
      className="state-bar"
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={total}
      aria-valuenow={finished}
      aria-valuetext={`${finished.toLocaleString('en')} of ${total.toLocaleString('en')} finished`}
    >
      {TONES.map((tone) => {
        const count = counts[tone] ?? 0;
        if (count === 0 || tone === 'pending') return null;
        return (
          <span
            key={tone}
            className={`state-bar-part tone-${tone}`}
            style={{ width: `${(100 * count) / Math.max(total, 1)}%` }}
          />
        );
      })}
    </div>
  );
}

/** The counts of a bar in icons, numbers and words. */
export function StateLegend({ counts }: { counts: ToneCounts }) {
  return (
    <ul className="state-legend" aria-label="Count by state">
      {TONES.filter((tone) => counts[tone]).map((tone) => (
        <li key={tone} className={`tone-${tone}`}>
          <StateIcon tone={tone} />
          <span className="number">{counts[tone]!.toLocaleString('en')}</span>
          <span className="state-legend-word">{TONE_WORDS[tone].toLowerCase()}</span>
        </li>
      ))}
    </ul>
  );
}
