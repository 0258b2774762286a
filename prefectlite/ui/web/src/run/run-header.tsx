import { useMemo } from 'react';
import type { Run } from '../api/documents';
import { useMayOperate } from '../session/session';
import { Link } from '../shell/router';
import { Ago, Duration } from '../shell/times';
import { isFinished, isRunning, toneOf, wordsOf } from '../states/state';
import { byTone, finishedOf, StateBar, StateLegend } from '../states/state-bar';
import { StateIcon } from '../states/state-icon';
import { CancelButton } from './cancel-button';
import { countsOf, totalOf } from './line';
import type { TaskLine } from './use-run';

/** The run's name, state and message, its progress over all tasks, and what can be done with it. */
export function RunHeader({ run, lines }: { run: Run; lines: TaskLine[] }) {
  const counts = useMemo(() => lines.flatMap(countsOf), [lines]);
  const total = useMemo(() => lines.reduce((sum, line) => sum + totalOf(line), 0), [lines]);
  const mayOperate = useMayOperate();
  const tone = toneOf(run.state);
  return (
    <header className={`run-header panel tone-${tone}`}>
      <div className="run-header-top">
        <div className="run-title">
          <p className="crumbs">
            <Link to="/">Runs</Link>
            <span aria-hidden="true">/</span>
            <Link to={`/?flow=${encodeURIComponent(run.flow.name)}`}>{run.flow.name}</Link>
            <span className="muted">version {run.flow.version}</span>
          </p>
          <h1>{run.name}</h1>
        </div>
        {mayOperate && !isFinished(run.state) && <CancelButton run={run} />}
      </div>
      <div className="run-state" role="status" aria-label="Run state">
        <span className={`run-state-name tone-${tone}`} data-state={run.state}>
          <StateIcon state={run.state} />
          {wordsOf(run.state)}
        </span>
        {run.state_message && <span className="run-message">{run.state_message}</span>}
      </div>
      <dl className="run-times">
        <div>
          <dt>Duration</dt>
          <dd>
            <Duration start={run.start_time} end={run.end_time} running={isRunning(run.state)} />
          </dd>
        </div>
        <div>
          <dt>{run.start_time ? 'Started' : 'Scheduled'}</dt>
          <dd>
            <Ago at={run.start_time ?? run.scheduled_start_time} />
          </dd>
        </div>
        <div>
          <dt>Task runs</dt>
          <dd className="number">
            {finishedOf(counts).toLocaleString('en')} of {total.toLocaleString('en')}
          </dd>
        </div>
        <div className="run-times-legend">
          <dt>By state</dt>
          <dd>
            <StateLegend counts={byTone(counts)} />
          </dd>
        </div>
      </dl>
      <StateBar label="Progress of the run" counts={byTone(counts)} finished={finishedOf(counts)} total={total} />
    </header>
  );
}
