interface PagerProps {
  label: string;
  offset: number;
  size: number;
  total: number;
  onMove: (offset: number) => void;
}

/** Steps through pages of `size`; nothing when one page holds all. */
export function Pager({ label, offset, size, total, onMove }: PagerProps) {
  if (total <= size && offset === 0) return null;
  const last = Math.min(offset + size, total);
  const number = (n: number) => n.toLocaleString('en');
  return (
    <nav className="pager" aria-label={label}>
      <button
        type="button"
        className="button small"
        disabled={offset === 0}
        onClick={() => onMove(Math.max(0, offset - size))}
      >
        <span aria-hidden="true">‹ </span>Previous
      </button>
      <span className="number muted">
        {total === 0 ? '0' : `${number(offset + 1)}–${number(last)}`} of {number(total)}
      </span>
      <button type="button" className="button small" disabled={last >= total} onClick={() => onMove(offset + size)}>
        Next<span aria-hidden="true"> ›</span>
      </button>
    </nav>
  );
}
