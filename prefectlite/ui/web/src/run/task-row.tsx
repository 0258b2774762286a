import { useId, useState } from 'react';
import { Duration } from '../shell/times';
import { isFinished, isRunning, toneOf } from '../states/state';
import { byTone, finishedOf, StateBar, StateLegend } from '../states/state-bar';
import { StateLabel } from '../states/state-label';
import { ChildrenList } from './children-list';
import { countsOf, isSpread, shownState, totalOf } from './line';
import { TimelineBar } from './timeline-bar';
import type { TaskLine } from './use-run';

interface TaskRowProps {
  flowRunId: string;
  line: TaskLine;
  label: string;
  began: number | null;
  ended: number | null;
}

/** One task: its state, name, place in the run's time and duration; a mapped one has a progress bar and can be opened. */
export function TaskRow({ flowRunId, line, label, began, ended }: TaskRowProps) {
  const [open, setOpen] = useState(false);
  const listId = useId();
  const spread = isSpread(line);
  const state = shownState(line);
  const counts = countsOf(line);
  const total = totalOf(line);
  const finished = finishedOf(counts);
  const { taskRun } = line;
  const ownStart = taskRun?.start_time ?? null;
  const ownEnd = spread && !isFinished(state) ? null : (taskRun?.end_time ?? null);

  return (
    <>
      <tr role="row" data-task={line.task.id} className={`tone-${toneOf(state)}`}>
        <td role="cell" className="cell-state">
          <StateLabel state={state} />
        </td>
        <td role="cell" className="cell-name">
          <span className="task-name">
            {label}
            {spread && (
              <button
                type="button"
                className="disclosure"
                aria-expanded={open}
                aria-controls={listId}
                aria-label={`Children of ${label}`}
                onClick={() => setOpen(!open)}
              >
                <span className="number">
                  {finished.toLocaleString('en')} of {total.toLocaleString('en')}
                </span>
                <svg viewBox="0 0 16 16" aria-hidden="true">
                  <path d="m4.5 6.5 3.5 3.5 3.5-3.5" />
                </svg>
              </button>
            )}
          </span>
          {!spread && toneOf(state) === 'failed' && taskRun?.state_message && (
            <span className="row-message">{taskRun.state_message}</span>
          )}
        </td>
        <td role="cell" className="cell-line">
          {spread ? (
            <div className="spread">
              <StateBar label={`Progress of ${label}`} counts={byTone(counts)} finished={finished} total={total} />
              <StateLegend counts={byTone(counts)} />
            </div>
          ) : (
            <TimelineBar state={state} start={ownStart} end={ownEnd} began={began} ended={ended} />
          )}
        </td>
        <td role="cell" className="cell-duration">
          {spread ? (
            <span className="muted">–</span>
          ) : (
            <Duration start={ownStart} end={ownEnd} running={isRunning(state)} />
          )}
        </td>
      </tr>
      {open && (
        <tr role="row" className="children-row">
          <td role="cell" colSpan={4} id={listId}>
            <ChildrenList flowRunId={flowRunId} taskId={line.task.id} label={label} counts={line.counts} />
          </td>
        </tr>
      )}
    </>
  );
}
