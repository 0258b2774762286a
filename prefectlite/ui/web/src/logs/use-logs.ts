import { useCallback, useEffect, useEffectEvent, useMemo, useRef, useState } from 'react';
import { LOG_LINES, LOGS, type LogLine } from '../api/documents';
import { messageOf, request } from '../api/transport';
import { subscribe } from '../live/connection';
import { frameBatch } from '../live/frame-batch';
import { useThrottled } from '../live/throttle';
import { levelsFrom } from './levels';
import { appended, EMPTY, prepended, type LogBuffer } from './log-buffer';
import { TaskNames } from './task-names';

const PAGE = 500;
const LOOK_UP_EVERY = 400;
const DRAW_EVERY = 120;

interface Logs {
  buffer: LogBuffer;
  names: TaskNames;
  /** Changes whenever names were learnt, for components that are drawn again only when told. */
  namesVersion: number;
  loading: boolean;
  error: string | null;
  reload: () => void;
  loadEarlier: () => Promise<void>;
}

const ofRun = (flowRunId: string) => ({ flow_run_id: { _eq: flowRunId } });

/**
 * The newest log lines of a run from `least` up, followed live; `reading()` says that somebody has scrolled back, so that
 * nothing is dropped there.
 */
export function useLogs(flowRunId: string, least: string | null, reading: () => boolean): Logs {
  const [buffer, setBuffer] = useState<LogBuffer>(EMPTY);
  const [loading, setLoading] = useState(true);
  const [error, setError] = useState<string | null>(null);
  const [attempt, setAttempt] = useState(0);
  const [namesVersion, setNamesVersion] = useState(0);
  const names = useMemo(() => new TaskNames(), []);
  const nameless = useRef<Set<string>>(new Set());

  const fetchPage = useCallback(
    async (before: number | null) => {
      const where = {
        ...ofRun(flowRunId),
        ...(before === null ? {} : { seq: { _lt: before } }),
        ...(least === null ? {} : { level: { _in: levelsFrom(least) } }),
      };
      const { log } = await request(LOGS, { where, limit: PAGE });
      names.learn(log.map((line) => line.task_run));
      return log.reverse();
    },
    [flowRunId, least, names],
  );

  const lookUpSoon = useThrottled(async () => {
    const wanted = [...nameless.current];
    nameless.current.clear();
    if (await names.lookUp(wanted)) setNamesVersion((version) => version + 1);
  }, LOOK_UP_EVERY);

  const take = useEffectEvent((lines: LogLine[]) => {
    const shown = least === null ? lines : lines.filter((line) => levelsFrom(least).includes(line.level));
    if (shown.length === 0) return;
    const keep = reading();
    setBuffer((now) => appended(now, shown, keep));
    for (const { task_run_id: id } of shown) if (id && !names.get(id)) nameless.current.add(id);
    if (nameless.current.size > 0) lookUpSoon();
  });

  useEffect(() => {
    let stop = () => {};
    let left = false;
    setLoading(true);
    setBuffer(EMPTY);
    const follow = (after: number) => {
      let newest = after;
      const batch = frameBatch<LogLine>((lines, lost) => {
        if (lost) setAttempt((n) => n + 1);
        else take(lines);
      }, DRAW_EVERY);
      const unsubscribe = subscribe(
        LOG_LINES,
        () => ({ flow_run_id: flowRunId, after: newest }),
        ({ logs: { lagged, ...line } }) => {
          if (lagged) setAttempt((n) => n + 1);
          newest = Math.max(newest, line.seq);
          batch.add(line);
        },
      );
      return () => {
        unsubscribe();
        batch.stop();
      };
    };
    const load = async () => {
      // With a level chosen, the last line shown may be long ago: following then starts where the log ended before.
      const { log } = least === null ? { log: [] } : await request(LOGS, { where: ofRun(flowRunId), limit: 1 });
      return { lines: await fetchPage(null), end: log[0]?.seq ?? 0 };
    };
    load()
      .then(({ lines, end }) => {
        if (left) return;
        setBuffer({ ...appended(EMPTY, lines, true), earlier: lines.length === PAGE });
        setError(null);
        stop = follow(Math.max(end, lines.at(-1)?.seq ?? 0));
      })
      .catch((reason: unknown) => {
        if (!left) setError(messageOf(reason));
      })
      .finally(() => {
        if (!left) setLoading(false);
      });
    return () => {
      left = true;
      stop();
    };
  }, [flowRunId, least, fetchPage, attempt]);

  const first = buffer.blocks[0]?.lines[0]?.seq ?? null;
  const loadEarlier = async () => {
    if (first === null) return;
    try {
      const lines = await fetchPage(first);
      setBuffer((now) => (now.blocks[0]?.lines[0]?.seq === first ? prepended(now, lines, lines.length === PAGE) : now));
    } catch (reason) {
      setError(messageOf(reason));
    }
  };

  return { buffer, names, namesVersion, loading, error, reload: () => setAttempt((n) => n + 1), loadEarlier };
}
