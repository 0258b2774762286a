import type { Run } from '../api/documents';
import { fullTime, moment } from '../shell/time';

function Moment({ at }: { at: string | null }) {
  const then = moment(at);
  return then === null ? <span className="muted">–</span> : <time dateTime={at!}>{fullTime(then)}</time>;
}

/** What does not change while the run goes on: parameters, flow, times, id. */
export function RunFacts({ run }: { run: Run }) {
  const parameters = Object.entries((run.parameters ?? {}) as Record<string, unknown>);
  return (
    <aside className="run-facts">
      <section className="panel" aria-labelledby="parameters-title">
        <h2 id="parameters-title">Parameters</h2>
        {parameters.length === 0 ? (
          <p className="muted">None</p>
        ) : (
          <dl className="facts">
            {parameters.map(([name, value]) => (
              <div key={name}>
                <dt>
                  <code>{name}</code>
                </dt>
                <dd>
                  <code>{JSON.stringify(value, null, 1)?.replace(/\n\s*/g, ' ')}</code>
                </dd>
              </div>
            ))}
          </dl>
        )}
      </section>
      <section className="panel" aria-labelledby="details-title">
        <h2 id="details-title">Details</h2>
        <dl className="facts">
          <div>
            <dt>Flow</dt>
            <dd>
              {run.flow.name}, version {run.flow.version}
            </dd>
          </div>
          {run.flow.project && (
            <div>
              <dt>Project</dt>
              <dd>{run.flow.project.name}</dd>
            </div>
          )}
          <div>
            <dt>Scheduled</dt>
            <dd>
              <Moment at={run.scheduled_start_time} />
            </dd>
          </div>
          <div>
            <dt>Started</dt>
            <dd>
              <Moment at={run.start_time} />
            </dd>
          </div>
          <div>
            <dt>Ended</dt>
            <dd>
              <Moment at={run.end_time} />
            </dd>
          </div>
          <div>
            <dt>Run id</dt>
            <dd>
              <code className="id">{run.id}</code>
            </dd>
          </div>
        </dl>
      </section>
    </aside>
  );
}
