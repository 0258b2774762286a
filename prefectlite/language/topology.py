"""Who waits for whom: what can be asked about tasks and the edges between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from prefectlite.errors import FlowCycleError, FlowValidationError
from prefectlite.language.edge import Edge

if TYPE_CHECKING:
    from prefectlite.language.task import Task


class Topology:
    """Tasks with their slugs, and the edges between them, in the order they were added."""

    def __init__(self) -> None:
        self.slugs: dict[Task, str] = {}
        self._into: dict[Task, dict[Edge, None]] = {}
        self._from: dict[Task, dict[Edge, None]] = {}
        self._keyed: dict[Task, dict[str, Edge]] = {}  # the edges in `_into` that have a key, by it

    @property
    def tasks(self) -> set[Task]:
        """All tasks."""
        return set(self.slugs)

    @property
    def edges(self) -> set[Edge]:
        """All edges."""
        return {edge for edges in self._into.values() for edge in edges}

    def edges_to(self, task: Task) -> set[Edge]:
        """The edges that end at `task`. Raises FlowValidationError, as all these do, for a task not here."""
        return set(self._into[self._known(task)])

    def edges_from(self, task: Task) -> set[Edge]:
        """The edges that begin at `task`."""
        return set(self._from[self._known(task)])

    def incoming(self, task: Task) -> list[Edge]:
        """The edges that end at `task`, in the order they were added."""
        return list(self._into[self._known(task)])

    def all_upstream_edges(self) -> dict[Task, set[Edge]]:
        """For every task the edges that end at it."""
        return {task: set(edges) for task, edges in self._into.items()}

    def all_downstream_edges(self) -> dict[Task, set[Edge]]:
        """For every task the edges that begin at it."""
        return {task: set(edges) for task, edges in self._from.items()}

    def upstream_tasks(self, task: Task) -> set[Task]:
        """The tasks `task` waits for."""
        return {edge.upstream_task for edge in self._into[self._known(task)]}

    def downstream_tasks(self, task: Task) -> set[Task]:
        """The tasks that wait for `task`."""
        return {edge.downstream_task for edge in self._from[self._known(task)]}

    def root_tasks(self) -> set[Task]:
        """The tasks that wait for none."""
        return {task for task, edges in self._into.items() if not edges}

    def terminal_tasks(self) -> set[Task]:
        """The tasks none waits for."""
        return {task for task, edges in self._from.items() if not edges}

    def parameters(self) -> set[Task]:
        """The parameters."""
        return {task for task in self.slugs if task.is_parameter}

    def get_tasks(
        self,
        name: str | None = None,
        slug: str | None = None,
        tags: Iterable[str] | None = None,
        task_type: type[Any] | None = None,
    ) -> list[Task]:
        """The tasks with this name, slug of their own, type and all of these tags, in the order they were added."""
        wanted = set(tags or ())
        return [
            task
            for task in self.slugs
            if (name is None or task.name == name)
            and (slug is None or task.slug == slug)
            and wanted <= task.tags
            and (task_type is None or isinstance(task, task_type))
        ]

    def sorted_tasks(self, root_tasks: Iterable[Task] | None = None) -> tuple[Task, ...]:
        """All tasks, or `root_tasks` and those that wait for them, each after those it waits for and as they were added.

        Raises FlowCycleError, with the path, if that cannot be.
        """
        chosen = self._reached_from(root_tasks or ()) or self.slugs
        waiting = {task: sum(up in chosen for up in {e.upstream_task for e in self._into[task]}) for task in chosen}
        ready = deque(task for task, count in waiting.items() if not count)
        order: list[Task] = []
        while ready:
            task = ready.popleft()
            order.append(task)
            for downstream in {e.downstream_task: None for e in self._from[task]}:
                waiting[downstream] -= 1
                if not waiting[downstream]:
                    ready.append(downstream)
        if len(order) < len(chosen):
            raise FlowCycleError(f"Cycle found; flows must be acyclic! {self._cycle(set(chosen) - set(order))}")
        return tuple(order)

    def __iter__(self) -> Iterator[Task]:
        return iter(self.sorted_tasks())

    def _reached_from(self, roots: Iterable[Task]) -> dict[Task, None]:
        reached = {self._known(task): None for task in roots}
        waiting = list(reached)
        while waiting:
            for edge in self._from[waiting.pop()]:
                if edge.downstream_task not in reached:
                    reached[edge.downstream_task] = None
                    waiting.append(edge.downstream_task)
        return reached

    def _cycle(self, stuck: set[Task]) -> str:
        task = next(task for task in self.slugs if task in stuck)
        path: list[Task] = []
        while task not in path:
            path.append(task)
            task = next(up for up in self.upstream_tasks(task) if up in stuck)
        names = [t.name for t in [*path[path.index(task) :], task]]
        return " → ".join(reversed(names))

    def _known(self, task: Task) -> Task:
        if task not in self.slugs:
            raise FlowValidationError(f"Task {task} was not found in Flow {self!r}")
        return task

    def _open(self, task: Task) -> None:
        self._into[task], self._from[task], self._keyed[task] = {}, {}, {}

    def _link(self, edge: Edge) -> bool:
        """Whether the edge was not there before; it is now."""
        is_new = edge not in self._into[edge.downstream_task]
        self._into[edge.downstream_task][edge] = self._from[edge.upstream_task][edge] = None
        if edge.key is not None:
            self._keyed[edge.downstream_task][edge.key] = edge
        return is_new

    def _unlink(self, edge: Edge) -> None:
        del self._into[edge.downstream_task][edge], self._from[edge.upstream_task][edge]
        if edge.key is not None:
            del self._keyed[edge.downstream_task][edge.key]

    def _take_out(self, task: Task) -> tuple[list[Edge], list[Edge]]:
        """The edges into and from `task`, which are gone with it."""
        incoming, outgoing = list(self._into[task]), list(self._from[task])
        for edge in incoming + outgoing:
            self._unlink(edge)
        del self._into[task], self._from[task], self._keyed[task]
        return incoming, outgoing

    def _state(self) -> dict[str, Any]:
        """A copy of all that changes of the graph change."""
        return {
            "slugs": dict(self.slugs),
            "_into": {task: dict(edges) for task, edges in self._into.items()},
            "_from": {task: dict(edges) for task, edges in self._from.items()},
            "_keyed": {task: dict(edges) for task, edges in self._keyed.items()},
        }
