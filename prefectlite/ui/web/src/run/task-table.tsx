import { useMemo, useState } from 'react';
import type { Run } from '../api/documents';
import { moment } from '../shell/time';
import { TaskRow } from './task-row';
import type { TaskLine } from './use-run';

const FIRST = 100;

/** The tasks of the run in graph order; mapped ones are one row each. */
export function TaskTable({ run, lines }: { run: Run; lines: TaskLine[] }) {
  const [shown, setShown] = useState(FIRST);
  const repeated = useMemo(() => {
    const seen = Map.groupBy(lines, (line) => line.task.name);
    return new Set([...seen].filter(([, group]) => group.length > 1).map(([name]) => name));
  }, [lines]);
  const began = moment(run.start_time);
  const ended = moment(run.end_time);

  return (
    <section className="panel tasks" aria-labelledby="tasks-title">
      <h2 id="tasks-title">
        Tasks <span className="number muted">{lines.length.toLocaleString('en')}</span>
      </h2>
      <table role="table" className="table task-table" aria-labelledby="tasks-title">
        <thead role="rowgroup">
          <tr role="row">
            <th role="columnheader">State</th>
            <th role="columnheader">Task</th>
            <th role="columnheader">Timeline</th>
            <th role="columnheader" className="cell-duration">
              Duration
            </th>
          </tr>
        </thead>
        <tbody role="rowgroup">
          {lines.slice(0, shown).map((line) => (
            <TaskRow
              key={line.task.id}
              flowRunId={run.id}
              line={line}
              label={repeated.has(line.task.name) ? line.task.slug : line.task.name}
              began={began}
              ended={ended}
            />
          ))}
        </tbody>
      </table>
      {lines.length > shown && (
        <p className="more">
          <button type="button" className="button small" onClick={() => setShown(shown + 5 * FIRST)}>
            Show more tasks
          </button>
          <span className="muted">{(lines.length - shown).toLocaleString('en')} not shown</span>
        </p>
      )}
    </section>
  );
}
