/** How a state is shown: its colour family, which is also how states are summed up in bars. */
export type Tone = 'success' | 'skipped' | 'cancelled' | 'failed' | 'running' | 'waiting' | 'pending';

/** The tones in the order they follow each other in a bar: what is done first. */
export const TONES: readonly Tone[] = ['success', 'skipped', 'cancelled', 'failed', 'running', 'waiting', 'pending'];

export const TONE_WORDS: Record<Tone, string> = {
  success: 'Success',
  skipped: 'Skipped',
  cancelled: 'Cancelled',
  failed: 'Failed',
  running: 'Running',
  waiting: 'Waiting',
  pending: 'Pending',
};

const TONE_OF: Record<string, Tone> = {
  Pending: 'pending',
  Submitted: 'pending',
  Scheduled: 'waiting',
  Queued: 'waiting',
  Paused: 'waiting',
  Resume: 'waiting',
  Retrying: 'waiting',
  ClientFailed: 'waiting',
  Running: 'running',
  Cancelling: 'running',
  Finished: 'success',
  Looped: 'success',
  Success: 'success',
  Cached: 'success',
  Mapped: 'success',
  Skipped: 'skipped',
  Cancelled: 'cancelled',
  Failed: 'failed',
  TimedOut: 'failed',
  TriggerFailed: 'failed',
  ValidationFailed: 'failed',
};

/** The tone of a state's name; an unknown name is shown as pending. */
export function toneOf(state: string): Tone {
  return TONE_OF[state] ?? 'pending';
}

/** The names of all states with one of these tones. */
export function statesWith(...tones: Tone[]): string[] {
  return Object.keys(TONE_OF).filter((name) => tones.includes(TONE_OF[name]!));
}

const OVER: readonly Tone[] = ['success', 'skipped', 'cancelled', 'failed'];

/** Whether a run in this state has ended. */
export function isFinished(state: string): boolean {
  return OVER.includes(toneOf(state));
}

/** Whether a run in this state is at work, so that its duration grows. */
export function isRunning(state: string): boolean {
  return toneOf(state) === 'running';
}

/** A state's name as words: TimedOut is read as "Timed out". */
export function wordsOf(state: string): string {
  const spaced = state.replace(/([a-z])([A-Z])/g, '$1 $2');
  return spaced.charAt(0) + spaced.slice(1).toLowerCase();
}
