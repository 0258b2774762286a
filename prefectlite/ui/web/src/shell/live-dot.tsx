import { useStatus } from '../live/connection';

const WORDS = { idle: '', connecting: 'Connecting', live: 'Live', reconnecting: 'Reconnecting' };

/** Says whether what the page shows is followed live; empty on pages that follow nothing. */
export function LiveDot() {
  const status = useStatus();
  return (
    <span className="live-dot" role="status" aria-label="Live connection" data-status={status}>
      {WORDS[status] && (
        <>
          <span className="live-dot-light" aria-hidden="true" />
          <span className="live-dot-word">{WORDS[status]}</span>
        </>
      )}
    </span>
  );
}
