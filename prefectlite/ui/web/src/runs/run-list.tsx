import { memo } from 'react';
import type { RunRow } from '../api/documents';
import { Link } from '../shell/router';
import { Ago, Duration } from '../shell/times';
import { isRunning, toneOf } from '../states/state';
import { StateLabel } from '../states/state-label';

const Row = memo(function Row({ run }: { run: RunRow }) {
  const tone = toneOf(run.state);
  const started = run.start_time ?? run.scheduled_start_time;
  return (
    <tr role="row" data-run={run.id} className={`tone-${tone}`}>
      <td role="cell" className="cell-state">
        <StateLabel state={run.state} />
      </td>
      <td role="cell" className="cell-name">
        <Link to={`/runs/${run.id}`} className="row-link">
          {run.name}
        </Link>
        {tone === 'failed' && run.state_message && <span className="row-message">{run.state_message}</span>}
      </td>
      <td role="cell" className="cell-flow">
        {run.flow.name}
      </td>
      <td role="cell" className="cell-started">
        <Ago at={started} />
      </td>
      <td role="cell" className="cell-duration">
        <Duration start={run.start_time} end={run.end_time} running={isRunning(run.state)} />
      </td>
    </tr>
  );
});

interface RunListProps {
  rows: RunRow[] | null;
  filtered: boolean;
  busy: boolean;
}

/** The table of runs. On narrow screens its rows become cards, hence the roles, which that styling would take away. */
export function RunList({ rows, filtered, busy }: RunListProps) {
  if (rows === null) return <div className="panel placeholder" aria-busy={busy} />;
  if (rows.length === 0) {
    return (
      <div className="panel empty">
        <p>
          {filtered ? 'No run passes this filter.' : 'Nothing has run yet. Start a flow here, or run one from a script.'}
        </p>
      </div>
    );
  }
  return (
    <table role="table" className="panel table runs-table" aria-label="Flow runs" aria-busy={busy}>
      <thead role="rowgroup">
        <tr role="row">
          <th role="columnheader">State</th>
          <th role="columnheader">Run</th>
          <th role="columnheader">Flow</th>
          <th role="columnheader">Started</th>
          <th role="columnheader" className="cell-duration">
            Duration
          </th>
        </tr>
      </thead>
      <tbody role="rowgroup">
        {rows.map((run) => (
          <Row key={run.id} run={run} />
        ))}
      </tbody>
    </table>
  );
}
