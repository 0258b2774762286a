import type { LogLine } from '../api/documents';

const BLOCK = 100;
const MOST_BLOCKS = 20;

/** A run of lines that is drawn, and skipped when it has not changed, as one. */
export interface LogBlock {
  key: number;
  lines: readonly LogLine[];
}

/** The part of a log that is held in the page: its newest blocks, oldest first. Immutable. */
export interface LogBuffer {
  blocks: readonly LogBlock[];
  /** Whether there is more in the record before the first line. */
  earlier: boolean;
  newest: number;
}

export const EMPTY: LogBuffer = { blocks: [], earlier: false, newest: 0 };

/**
 * The buffer with lines behind it; lines it has already are left out. Beyond 2,000 lines the oldest blocks go, unless
 * `keep` says that somebody is reading there.
 */
export function appended(buffer: LogBuffer, lines: readonly LogLine[], keep: boolean): LogBuffer {
  const fresh = lines.filter((line) => line.seq > buffer.newest);
  if (fresh.length === 0) return buffer;
  const blocks = [...buffer.blocks];
  let from = 0;
  const last = blocks.at(-1);
  if (last && last.lines.length < BLOCK) {
    from = BLOCK - last.lines.length;
    blocks[blocks.length - 1] = { key: last.key, lines: [...last.lines, ...fresh.slice(0, from)] };
  }
  for (; from < fresh.length; from += BLOCK) {
    blocks.push({ key: (blocks.at(-1)?.key ?? 0) + 1, lines: fresh.slice(from, from + BLOCK) });
  }
  const excess = keep ? 0 : Math.max(0, blocks.length - MOST_BLOCKS);
  return {
    blocks: blocks.slice(excess),
    earlier: buffer.earlier || excess > 0,
    newest: fresh.at(-1)!.seq,
  };
}

/** The buffer with older lines before it. */
export function prepended(buffer: LogBuffer, lines: readonly LogLine[], earlier: boolean): LogBuffer {
  const blocks: LogBlock[] = [];
  const first = buffer.blocks[0]?.key ?? 1;
  const count = Math.ceil(lines.length / BLOCK);
  for (let i = 0; i < count; i += 1) {
    blocks.push({ key: first - count + i, lines: lines.slice(i * BLOCK, (i + 1) * BLOCK) });
  }
  return { ...buffer, blocks: [...blocks, ...buffer.blocks], earlier };
}
