import { memo } from 'react';
import type { LogLine } from '../api/documents';
import { clockTime, fullTime, moment } from '../shell/time';
import type { LogBlock } from './log-buffer';
import type { TaskNames } from './task-names';

function Line({ line, names }: { line: LogLine; names: TaskNames }) {
  const at = moment(line.timestamp) ?? 0;
  const task = line.task_run_id ? (names.get(line.task_run_id) ?? line.name) : line.name;
  return (
    <div className="log-line" role="listitem" data-level={line.level}>
      <time dateTime={line.timestamp} title={fullTime(at)}>
        {clockTime(at)}
      </time>
      <span className="log-level">{line.level}</span>
      <span className="log-task" title={line.name}>
        {task}
      </span>
      <span className="log-message">{line.message}</span>
    </div>
  );
}

interface BlockProps {
  block: LogBlock;
  names: TaskNames;
  namesVersion: number;
}

/** A hundred lines; drawn again only when they or the names in them have changed, and not at all while out of sight. */
export const Block = memo(function Block({ block, names }: BlockProps) {
  return (
    <div className="log-block" role="presentation">
      {block.lines.map((line) => (
        <Line key={line.seq} line={line} names={names} />
      ))}
    </div>
  );
});
