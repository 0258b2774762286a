"""What a terminal shows of a run: each task's state, and the children of mapped ones counted."""

from __future__ import annotations

from collections import Counter

import msgspec

from prefectlite.language.graph import Graph
from prefectlite.live.events import StateChange
from prefectlite.records import FlowRunRow, StateRecord
from prefectlite.repository.database import Database
from prefectlite.shown import printable
from prefectlite.states import BY_NAME, FINISHED, Failed


class TaskView:
    """One task of the run."""

    def __init__(self, name: str, is_mapped: bool) -> None:
        self.name, self.is_mapped = printable(name), is_mapped  # a name must not move the cursor
        self.state = "Pending"
        self.message: str | None = None
        self.width: int | None = None  # number of children, once known
        self.children: dict[int, str] = {}
        self.counts: Counter[str] = Counter()

    @property
    def finished(self) -> int:
        """How many children have ended."""
        return sum(count for state, count in self.counts.items() if state in FINISHED)

    @property
    def failed(self) -> int:
        """How many children have failed."""
        return sum(count for state, count in self.counts.items() if issubclass(BY_NAME[state], Failed))

    def enter(self, index: int, state: StateRecord) -> None:
        """Take a state in: the task's own, or that of its child `index`."""
        if index < 0:
            self.state, self.message = state.name, state.message
            if state.name == "Mapped" and state.details:
                self.width = msgspec.json.decode(state.details).get("n_map_states")
            return
        if index in self.children:
            self.counts[self.children[index]] -= 1
        self.children[index] = state.name
        self.counts[state.name] += 1


class Change:
    """What one piece of news changed."""

    def __init__(self, task: TaskView | None, index: int, state: StateRecord) -> None:
        self.task, self.index, self.state = task, index, state


class RunView:
    """A run and its tasks, in the order they can run."""

    def __init__(self, graph: Graph, task_ids: dict[str, str], run: FlowRunRow) -> None:
        self.flow_name, self.run_name, self.run_id = printable(graph.name), printable(run.name), run.id
        self.tasks: dict[str, TaskView] = {}
        for task in graph.sorted_tasks():
            is_mapped = any(edge.mapped for edge in graph.incoming(task))
            self.tasks[task_ids[graph.slugs[task]]] = TaskView(task.name, is_mapped)
        self.names: dict[str, str] = {}

    def apply(self, event: StateChange) -> Change:
        """Take a piece of news in."""
        if event.kind == "flow_run" or event.task_id not in self.tasks:
            return Change(None, -1, event.state)
        task = self.tasks[event.task_id]
        index = -1 if event.map_index is None else event.map_index
        task.enter(index, event.state)
        if event.task_run_id is not None:
            self.names[event.task_run_id] = task.name if index < 0 else f"{task.name}[{index}]"
        return Change(task, index, event.state)

    async def read_again(self, database: Database) -> None:
        """Take the run's states from the record, after news was lost."""
        rows = await database.read(
            "SELECT task_id, map_index, state, state_timestamp, state_message, state_start_time, state_details"
            " FROM task_run WHERE flow_run_id = $1",
            (self.run_id,),
        )
        for task_id, index, *state in rows:
            if task_id in self.tasks:
                self.tasks[task_id].enter(index, StateRecord("", *state))
