import { isFinished, toneOf } from '../states/state';
import type { TaskLine } from './use-run';

interface StateCount {
  state: string;
  count: number;
}

/** Whether a task was spread over children, so that its row stands for many task runs. */
export function isSpread({ task, taskRun, counts }: TaskLine): boolean {
  return task.mapped && (taskRun?.state === 'Mapped' || counts.length > 0);
}

/** How many task runs a line stands for; children that have no row yet are known from the parent's details. */
export function totalOf(line: TaskLine): number {
  if (!isSpread(line)) return 1;
  const known = line.counts.reduce((sum, { count }) => sum + count, 0);
  const details = line.taskRun?.state_details as { n_map_states?: unknown } | null | undefined;
  const announced = typeof details?.n_map_states === 'number' ? details.n_map_states : 0;
  return Math.max(known, announced);
}

/** The states of the task runs a line stands for; those without a row yet are pending. */
export function countsOf(line: TaskLine): StateCount[] {
  if (!isSpread(line)) return [{ state: line.taskRun?.state ?? 'Pending', count: 1 }];
  const waiting = totalOf(line) - line.counts.reduce((sum, { count }) => sum + count, 0);
  return waiting > 0 ? [...line.counts, { state: 'Pending', count: waiting }] : line.counts;
}

/**
 * The state a line is shown in. A mapped task run is Mapped as soon as it is spread; a person asks how its children are:
 * running until all are over, then failed if one failed.
 */
export function shownState(line: TaskLine): string {
  const own = line.taskRun?.state ?? 'Pending';
  if (!isSpread(line) || own !== 'Mapped') return own;
  const counts = countsOf(line);
  if (counts.some(({ state }) => !isFinished(state))) {
    return counts.some(({ state }) => state !== 'Pending') || totalOf(line) === 0 ? 'Running' : 'Pending';
  }
  return counts.find(({ state }) => toneOf(state) === 'failed')?.state ?? own;
}
