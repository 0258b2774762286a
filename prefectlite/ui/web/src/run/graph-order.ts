import type { Edge, Task } from '../api/documents';

/** The tasks so that each comes after all its upstream tasks, else in the order given. Tasks in a cycle come last. */
export function graphOrder(tasks: readonly Task[], edges: readonly Edge[]): Task[] {
  const place = new Map(tasks.map((task, index) => [task.id, index]));
  const downstream = tasks.map(() => [] as number[]);
  const missing = tasks.map(() => 0);
  const seen = new Set<string>();
  for (const { upstream_task_id: up, downstream_task_id: down } of edges) {
    const [from, to] = [place.get(up), place.get(down)];
    const key = `${up} ${down}`; // two tasks may be joined by several edges, one for each argument
    if (from === undefined || to === undefined || seen.has(key)) continue;
    seen.add(key);
    downstream[from]!.push(to);
    missing[to]! += 1;
  }
  const ordered: Task[] = [];
  let ready = tasks.map((_, index) => index).filter((index) => missing[index] === 0);
  while (ready.length > 0) {
    const next: number[] = [];
    for (const index of ready) {
      ordered.push(tasks[index]!);
      for (const to of downstream[index]!) if (--missing[to]! === 0) next.push(to);
    }
    ready = next.sort((a, b) => a - b);
  }
  const placed = new Set(ordered);
  return [...ordered, ...tasks.filter((task) => !placed.has(task))];
}
