import { useEffect, useState } from 'react';
import { CHILDREN, type TaskRunCount } from '../api/documents';
import { useQuery } from '../api/use-query';
import { useThrottled } from '../live/throttle';
import { ErrorNotice } from '../shell/notice';
import { Pager } from '../shell/pager';
import { Duration } from '../shell/times';
import { isRunning, statesWith, TONE_WORDS, TONES, type Tone } from '../states/state';
import { byTone } from '../states/state-bar';
import { StateLabel } from '../states/state-label';

const PAGE_SIZE = 25;
const REFETCH_EVERY = 500;

interface ChildrenListProps {
  flowRunId: string;
  taskId: string;
  label: string;
  counts: TaskRunCount[];
}

/** The children of a mapped task, a page at a time; the page is read again when the counts have changed. */
export function ChildrenList({ flowRunId, taskId, label, counts }: ChildrenListProps) {
  const [tone, setTone] = useState<Tone | 'all'>('all');
  const [offset, setOffset] = useState(0);
  const { data, error, loading, refetch } = useQuery(CHILDREN, {
    where: {
      flow_run_id: { _eq: flowRunId },
      task_id: { _eq: taskId },
      map_index: { _gte: 0 },
      ...(tone === 'all' ? {} : { state: { _in: statesWith(tone) } }),
    },
    limit: PAGE_SIZE,
    offset,
  });
  const refetchSoon = useThrottled(refetch, REFETCH_EVERY);
  const signature = counts.map(({ state, count }) => `${state}${count}`).join();
  useEffect(refetchSoon, [refetchSoon, signature]);

  const tones = byTone(counts);
  const all = counts.reduce((sum, { count }) => sum + count, 0);
  return (
    <div className="children">
      <label className="select">
        <span>Show</span>
        <select
          aria-label={`State of the children of ${label}`}
          value={tone}
          onChange={(event) => {
            setTone(event.target.value as Tone | 'all');
            setOffset(0);
          }}
        >
          <option value="all">all states ({all.toLocaleString('en')})</option>
          {TONES.filter((each) => tones[each] || each === tone).map((each) => (
            <option key={each} value={each}>
              {TONE_WORDS[each].toLowerCase()} ({(tones[each] ?? 0).toLocaleString('en')})
            </option>
          ))}
        </select>
      </label>
      <ErrorNotice message={error} retry={() => void refetch()} />
      <ul aria-label={`Children of ${label}`} aria-busy={loading && data === null}>
        {data?.task_run.map((child) => (
          <li key={child.id}>
            <span className="child-index number">{child.map_index}</span>
            <StateLabel state={child.state} />
            <span className="child-message">{child.name ?? child.state_message}</span>
            <Duration start={child.start_time} end={child.end_time} running={isRunning(child.state)} />
          </li>
        ))}
      </ul>
      {data?.task_run.length === 0 && <p className="muted">None in this state.</p>}
      <Pager
        label={`Pages of the children of ${label}`}
        offset={offset}
        size={PAGE_SIZE}
        total={tone === 'all' ? all : (tones[tone] ?? 0)}
        onMove={setOffset}
      />
    </div>
  );
}
