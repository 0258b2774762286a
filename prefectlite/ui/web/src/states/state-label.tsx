import { toneOf, wordsOf } from './state';
import { StateIcon } from './state-icon';

/** A state as icon and word in its colour. */
export function StateLabel({ state }: { state: string }) {
  return (
    <span className={`state-label tone-${toneOf(state)}`} data-state={state}>
      <StateIcon state={state} />
      <span>{wordsOf(state)}</span>
    </span>
  );
}
