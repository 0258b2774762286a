import type { FlowRow } from '../api/documents';
import { Link } from '../shell/router';
import { wordsOf } from '../states/state';
import { StateIcon } from '../states/state-icon';

/** The last runs of a flow as a row of signs, the newest at the right. */
export function RecentRuns({ flow }: { flow: FlowRow }) {
  if (flow.flow_runs.length === 0) return <span className="recent muted">never ran</span>;
  return (
    <span className="recent" role="group" aria-label={`Last runs of ${flow.name}`}>
      {flow.flow_runs.toReversed().map((run) => (
        <Link key={run.id} to={`/runs/${run.id}`} title={`${run.name}: ${wordsOf(run.state)}`}>
          <StateIcon state={run.state} title={`${run.name}: ${wordsOf(run.state)}`} />
        </Link>
      ))}
    </span>
  );
}
