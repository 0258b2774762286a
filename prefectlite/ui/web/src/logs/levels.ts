/** The levels one can choose as the least to show; null shows all, also levels of other names. */
export const LEVELS: readonly { least: string | null; words: string }[] = [
  { least: null, words: 'All levels' },
  { least: 'INFO', words: 'Info and above' },
  { least: 'WARNING', words: 'Warnings and errors' },
  { least: 'ERROR', words: 'Errors only' },
];

const ORDER = ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'];

/** The names of the levels from `least` up. */
export function levelsFrom(least: string): string[] {
  return ORDER.slice(Math.max(0, ORDER.indexOf(least)));
}
