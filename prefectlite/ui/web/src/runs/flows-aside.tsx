import { useState } from 'react';
import type { FlowRow } from '../api/documents';
import { RecentRuns } from '../flows/recent-runs';
import { StartRunDialog } from '../flows/start-run-dialog';
import { useMayOperate } from '../session/session';
import { ErrorNotice } from '../shell/notice';
import { Link } from '../shell/router';

const SHOWN = 12;

interface FlowsAsideProps {
  flows: FlowRow[] | null;
  error: string | null;
  shown: string;
  onShow: (flow: string) => void;
}

/** The flows beside the runs: each with its last runs, a way to list only its runs, and a way to start it. */
export function FlowsAside({ flows, error, shown, onShow }: FlowsAsideProps) {
  const mayOperate = useMayOperate();
  const [starting, setStarting] = useState<FlowRow | null>(null);
  return (
    <aside className="flows-aside" aria-labelledby="aside-title">
      <h2 id="aside-title">Flows</h2>
      <ErrorNotice message={error} />
      {flows?.length === 0 && <p className="muted">No flow is known yet.</p>}
      <ul className="flow-cards">
        {flows?.slice(0, SHOWN).map((flow) => (
          <li key={flow.id} className="flow-card">
            <button
              type="button"
              className="flow-card-name"
              aria-pressed={shown === flow.name}
              title={shown === flow.name ? 'Show the runs of all flows' : `Show only the runs of ${flow.name}`}
              onClick={() => onShow(shown === flow.name ? '' : flow.name)}
            >
              {flow.name}
            </button>
            <RecentRuns flow={flow} />
            {mayOperate && (
              <button
                type="button"
                className="button small"
                aria-label={`Run ${flow.name}`}
                onClick={() => setStarting(flow)}
              >
                Run
              </button>
            )}
          </li>
        ))}
      </ul>
      {flows && flows.length > SHOWN && <Link to="/flows">All {flows.length} flows</Link>}
      {starting && <StartRunDialog flow={starting} onClose={() => setStarting(null)} />}
    </aside>
  );
}
