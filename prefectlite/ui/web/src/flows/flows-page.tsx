import { useMemo, useState } from 'react';
import { FLOWS, type FlowRow } from '../api/documents';
import { useQuery } from '../api/use-query';
import { useMayOperate } from '../session/session';
import { ErrorNotice } from '../shell/notice';
import { Link, navigate } from '../shell/router';
import { useTitle } from '../shell/title';
import { parametersOf } from './parameter';
import { RecentRuns } from './recent-runs';
import { StartRunDialog } from './start-run-dialog';
import { newestVersions } from './versions';

const NOTHING = {};

function FlowItem({ flow, mayRun }: { flow: FlowRow; mayRun: boolean }) {
  const parameters = parametersOf(flow.parameters);
  return (
    <li className="panel flow-item">
      <div className="flow-item-text">
        <h2>
          <Link to={`/?flow=${encodeURIComponent(flow.name)}`} title={`Runs of ${flow.name}`}>
            {flow.name}
          </Link>
        </h2>
        <p className="muted">
          {flow.project?.name ?? 'No project'} · version {flow.version}
        </p>
        {flow.description && <p>{flow.description}</p>}
        {parameters.length > 0 && (
          <ul className="flow-parameters" aria-label={`Parameters of ${flow.name}`}>
            {parameters.map((parameter) => (
              <li key={parameter.name}>
                <code>
                  {parameter.name}
                  {parameter.required ? '' : ` = ${JSON.stringify(parameter.default ?? null)}`}
                </code>
              </li>
            ))}
          </ul>
        )}
      </div>
      <RecentRuns flow={flow} />
      {mayRun && (
        <Link to={`/flows/${flow.id}`} className="button primary" aria-label={`Run ${flow.name}`}>
          Run
        </Link>
      )}
    </li>
  );
}

/** All flows in their newest version; with a flow's id, the form that starts it lies over the list. */
export function FlowsPage({ flowId }: { flowId: string | null }) {
  useTitle('Flows');
  const { data, error, loading, refetch } = useQuery(FLOWS, NOTHING);
  const mayRun = useMayOperate();
  const [sought, setSought] = useState('');
  const flows = useMemo(() => data && newestVersions(data.flow), [data]);
  const shown = flows?.filter((flow) => flow.name.toLowerCase().includes(sought.trim().toLowerCase()));
  const starting = flowId === null ? undefined : data?.flow.find((flow) => flow.id === flowId);

  return (
    <div className="flows-page">
      <h1>Flows</h1>
      <div className="filters" role="search" aria-label="Filter flows">
        <div className="search">
          <svg viewBox="0 0 16 16" aria-hidden="true">
            <circle cx="7" cy="7" r="4.5" />
            <path d="m10.4 10.4 3.4 3.4" />
          </svg>
          <input
            type="search"
            data-filter
            aria-label="Filter by flow name"
            aria-keyshortcuts="/"
            placeholder="Flow name"
            value={sought}
            onChange={(event) => setSought(event.target.value)}
          />
          <kbd aria-hidden="true">/</kbd>
        </div>
      </div>
      <ErrorNotice message={error} retry={() => void refetch()} />
      {flowId !== null && !mayRun && <ErrorNotice message="To start runs, the role operator or admin is needed." />}
      {flowId !== null && mayRun && data && !starting && <ErrorNotice message="There is no such flow; it may have a newer version." />}
      {shown?.length === 0 && (
        <div className="panel empty">
          <p>
            {sought ? 'No flow has this in its name.' : 'No flow is known yet. Register one, or run one from a script.'}
          </p>
        </div>
      )}
      {!flows && <div className="panel placeholder" aria-busy={loading} />}
      <ul className="flow-list">
        {shown?.map((flow) => (
          <FlowItem key={flow.id} flow={flow} mayRun={mayRun} />
        ))}
      </ul>
      {starting && mayRun && <StartRunDialog key={starting.id} flow={starting} onClose={() => leave(starting.id)} />}
    </div>
  );
}

/** Closing the form leads back to the list, unless a started run has led on already. */
function leave(flowId: string) {
  if (window.location.pathname.endsWith(`/flows/${flowId}`)) navigate('/flows', { replace: true });
}
