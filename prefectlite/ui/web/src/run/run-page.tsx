import { LogsPanel } from '../logs/logs-panel';
import { ErrorNotice } from '../shell/notice';
import { NotFound } from '../shell/not-found';
import { useTitle } from '../shell/title';
import { useFavicon } from '../states/favicon';
import { wordsOf } from '../states/state';
import { RunFacts } from './run-facts';
import { RunHeader } from './run-header';
import { TaskTable } from './task-table';
import { useRun } from './use-run';

/** One flow run: how it is doing, its tasks and its logs. */
export function RunPage({ id }: { id: string }) {
  const { run, missing, lines, error, refetch } = useRun(id);
  useTitle(run ? `${run.name} · ${wordsOf(run.state)}` : 'Run');
  useFavicon(run?.state ?? null);

  if (missing) return <NotFound what="run" />;
  if (!run) {
    return (
      <div className="run-page">
        <ErrorNotice message={error} retry={() => void refetch()} />
        {!error && <div className="panel placeholder" aria-busy="true" />}
      </div>
    );
  }
  return (
    <div className="run-page">
      <RunHeader run={run} lines={lines} />
      <ErrorNotice message={error} retry={() => void refetch()} />
      <div className="run-columns">
        <div className="run-main">
          <TaskTable run={run} lines={lines} />
          <LogsPanel flowRunId={id} />
        </div>
        <RunFacts run={run} />
      </div>
    </div>
  );
}
