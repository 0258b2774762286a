import { useRef, useState } from 'react';
import { ErrorNotice } from '../shell/notice';
import { LEVELS } from './levels';
import { Block } from './log-block';
import { useLogs } from './use-logs';

const NEAR_END = 24;

/**
 * The logs of a run, following the newest line until one scrolls back. The scrolled box is laid out from its end, so that
 * the browser itself stays at the end, and stays put when older lines come in above.
 */
export function LogsPanel({ flowRunId }: { flowRunId: string }) {
  const [least, setLeast] = useState<string | null>(null);
  const [following, setFollowing] = useState(true);
  const box = useRef<HTMLDivElement>(null);
  const atEnd = () => !box.current || Math.abs(box.current.scrollTop) < NEAR_END;
  const logs = useLogs(flowRunId, least, () => !atEnd());
  const empty = logs.buffer.blocks.length === 0;

  return (
    <section className="panel logs" aria-labelledby="logs-title">
      <header className="logs-head">
        <h2 id="logs-title">Logs</h2>
        <label className="select">
          <span className="visually-hidden">Least level</span>
          <select
            aria-label="Log level"
            value={least ?? ''}
            onChange={(event) => setLeast(event.target.value || null)}
          >
            {LEVELS.map(({ least: value, words }) => (
              <option key={words} value={value ?? ''}>
                {words}
              </option>
            ))}
          </select>
        </label>
      </header>
      <ErrorNotice message={logs.error} retry={logs.reload} />
      <div
        ref={box}
        className="log-box"
        role="log"
        aria-label="Log lines"
        aria-live="off"
        tabIndex={0}
        onScroll={() => setFollowing(atEnd())}
      >
        <div className="log-lines" role="list" aria-busy={logs.loading}>
          {logs.buffer.earlier && (
            <p className="log-earlier" role="presentation">
              <button type="button" className="button small" onClick={() => void logs.loadEarlier()}>
                Load earlier lines
              </button>
            </p>
          )}
          {logs.buffer.blocks.map((block) => (
            <Block
              key={block.key}
              block={block}
              names={logs.names}
              namesVersion={logs.names.lackIn(block.lines) ? logs.namesVersion : -1}
            />
          ))}
          {empty && !logs.loading && !logs.error && (
            <p className="log-empty muted">{least ? 'No lines of this level.' : 'Nothing has been logged yet.'}</p>
          )}
        </div>
      </div>
      {!following && (
        <button type="button" className="button small log-follow" onClick={() => box.current?.scrollTo({ top: 0 })}>
          Follow the newest
        </button>
      )}
    </section>
  );
}
