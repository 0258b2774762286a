import { TASK_RUN_NAMES, type LogLine, type TaskRunName } from '../api/documents';
import { request } from '../api/transport';

const AT_ONCE = 200;

/** What log lines call the task run they come from: "load_row [12]" for a child of a mapped task. */
export function labelOf({ name, map_index, task }: TaskRunName): string {
  if (map_index < 0) return task.name;
  return name ? `${task.name} [${name}]` : `${task.name} [${map_index}]`;
}

/** The labels of the task runs met so far; what is not known is looked up in batches, once. */
export class TaskNames {
  private readonly known = new Map<string, string>();
  private readonly asked = new Set<string>();

  get(taskRunId: string): string | undefined {
    return this.known.get(taskRunId);
  }

  /** Whether a name is missing in these lines, so that they must be drawn again when names are learnt. */
  lackIn(lines: readonly LogLine[]): boolean {
    return lines.some(({ task_run_id: id }) => id !== null && !this.known.has(id));
  }

  learn(taskRuns: Iterable<TaskRunName | null>) {
    for (const taskRun of taskRuns) if (taskRun) this.known.set(taskRun.id, labelOf(taskRun));
  }

  /** Looks up those of these that are unknown; true when some were found. */
  async lookUp(taskRunIds: Iterable<string | null>): Promise<boolean> {
    const unknown = [...new Set(taskRunIds)].filter(
      (id): id is string => id !== null && !this.known.has(id) && !this.asked.has(id),
    );
    for (const id of unknown) this.asked.add(id);
    let found = false;
    for (let i = 0; i < unknown.length; i += AT_ONCE) {
      const ids = unknown.slice(i, i + AT_ONCE);
      try {
        const { task_run: taskRuns } = await request(TASK_RUN_NAMES, { ids });
        this.learn(taskRuns);
        found ||= taskRuns.length > 0;
      } catch {
        for (const id of ids) this.asked.delete(id); // the lines that come next try again
      }
    }
    return found;
  }
}
