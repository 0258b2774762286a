"""A graph of tasks: what a flow is, before anything runs."""

from __future__ import annotations

import keyword
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from prefectlite.contexts import active_case, active_resource
from prefectlite.errors import DuplicateSlugError, FlowCycleError, FlowError, FlowValidationError

if TYPE_CHECKING:
    from prefectlite.language.task import Task


class Edge:
    """`downstream` waits for `upstream` and, with a `key`, receives its result as that argument of `run`.

    With `mapped` it receives one element per child. Immutable; equal when all five fields are.
    """

    __slots__ = ("_hash", "downstream_task", "flattened", "key", "mapped", "upstream_task")

    def __init__(
        self,
        upstream_task: Task,
        downstream_task: Task,
        key: str | None = None,
        mapped: bool = False,
        flattened: bool = False,
    ) -> None:
        if upstream_task is downstream_task:
            raise FlowError(f"Edges can not connect a task to itself: {upstream_task}")
        if key is not None and (not key.isidentifier() or keyword.iskeyword(key)):
            raise FlowError(f"The key of an edge must be a valid argument name, not {key!r}")
        self.upstream_task, self.downstream_task, self.key = upstream_task, downstream_task, key
        self.mapped, self.flattened = mapped, flattened
        self._hash = hash((id(upstream_task), id(downstream_task), key, mapped, flattened))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Edge) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:  # the hash is made of addresses: elsewhere it is another one
        return Edge, (self.upstream_task, self.downstream_task, self.key, self.mapped, self.flattened)

    def _fields(self) -> tuple[int, int, str | None, bool, bool]:
        return id(self.upstream_task), id(self.downstream_task), self.key, self.mapped, self.flattened

    def __repr__(self) -> str:
        extra = (f" {self.key}" if self.key else "") + (" mapped" if self.mapped else "")
        return f"<Edge{extra}: {self.upstream_task.name} to {self.downstream_task.name}>"


class Graph:
    """Tasks and the edges between them, in the order they were added.

    `constants[task][key]` are arguments known when the flow is written; they are not nodes.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.variable_name: str | None = None  # under which its module holds it, where it was loaded from one
        self.slugs: dict[Task, str] = {}
        self.constants: dict[Task, dict[str, Any]] = defaultdict(dict)
        self._into: dict[Task, dict[Edge, None]] = {}
        self._from: dict[Task, dict[Edge, None]] = {}
        self._taken: set[str] = set()
        self._counters: dict[str, int] = defaultdict(int)
        self._reference_tasks: tuple[Task, ...] = ()
        self.revision = 0  # grows with every change, so that what is derived from the graph can be kept until then

    # -- building ---------------------------------------------------------------------------------------------------

    def add_task(self, task: Task) -> Task:
        """`task`, now part of the graph under a slug of its own; adding it again changes nothing."""
        if isinstance(task, type) or getattr(task, "is_task", False) is not True:
            raise TypeError(f"Tasks must be instances of Task, not {task!r}")
        if task in self.slugs:
            return task
        self.slugs[task] = self._slug_for(task)
        self._into[task], self._from[task] = {}, {}
        self.revision += 1
        for block in (active_case.get(), active_resource.get()):
            if block is not None:
                block.add_task(task, self)
        return task

    def add_edge(
        self,
        upstream_task: Task,
        downstream_task: Task,
        key: str | None = None,
        mapped: bool = False,
        flattened: bool = False,
    ) -> Edge:
        """A new edge; both tasks join the graph if they were not part of it."""
        if downstream_task.is_parameter:
            raise FlowError(f"Parameters must be root tasks and can not have upstream dependencies: {downstream_task}")
        edge = Edge(upstream_task, downstream_task, key, mapped, flattened)
        self.add_task(upstream_task)
        self.add_task(downstream_task)
        if key is not None:
            self.constants[downstream_task].pop(key, None)
            for old in [e for e in self._into[downstream_task] if e.key == key and e != edge]:
                raise FlowError(f"Argument {key!r} of task {downstream_task} is bound to {old.upstream_task} already")
        self._into[downstream_task][edge] = None
        self._from[upstream_task][edge] = None
        self.revision += 1
        return edge

    def set_reference_tasks(self, tasks: Iterable[Task]) -> None:
        """Let these tasks alone decide the final state of a run; none of them: the terminal tasks do again."""
        chosen = tuple(tasks)
        if unknown := [t for t in chosen if t not in self.slugs]:
            raise FlowValidationError(f"reference tasks must be part of the flow {self.name!r}: {unknown}")
        self._reference_tasks = chosen
        self.revision += 1

    def _slug_for(self, task: Task) -> str:
        if task.slug:
            if task.slug in self._taken:
                raise DuplicateSlugError(
                    f'A task with the slug "{task.slug}" already exists in this flow ({self.name!r}):'
                    " give one of them another slug or name"
                )
            slug = task.slug
        else:
            prefix = "-".join([task.name, *sorted(task.tags)])
            while True:
                self._counters[prefix] += 1
                slug = f"{prefix}-{self._counters[prefix]}"
                if slug not in self._taken:
                    break
        self._taken.add(slug)
        return slug

    # -- asking -----------------------------------------------------------------------------------------------------

    @property
    def tasks(self) -> set[Task]:
        """All tasks."""
        return set(self.slugs)

    @property
    def edges(self) -> set[Edge]:
        """All edges."""
        return {edge for edges in self._into.values() for edge in edges}

    def edges_to(self, task: Task) -> set[Edge]:
        """The edges that end at `task`."""
        return set(self._into[self._known(task)])

    def edges_from(self, task: Task) -> set[Edge]:
        """The edges that begin at `task`."""
        return set(self._from[self._known(task)])

    def incoming(self, task: Task) -> list[Edge]:
        """The edges that end at `task`, in the order they were added."""
        return list(self._into[self._known(task)])

    def upstream_tasks(self, task: Task) -> set[Task]:
        """The tasks `task` waits for."""
        return {edge.upstream_task for edge in self.edges_to(task)}

    def downstream_tasks(self, task: Task) -> set[Task]:
        """The tasks that wait for `task`."""
        return {edge.downstream_task for edge in self.edges_from(task)}

    def root_tasks(self) -> set[Task]:
        """The tasks that wait for none."""
        return {task for task, edges in self._into.items() if not edges}

    def terminal_tasks(self) -> set[Task]:
        """The tasks none waits for."""
        return {task for task, edges in self._from.items() if not edges}

    def reference_tasks(self) -> set[Task]:
        """The tasks that decide the final state of a run: those set, else the terminal ones."""
        return set(self._reference_tasks) or self.terminal_tasks()

    def parameters(self) -> set[Task]:
        """The parameters of the graph."""
        return {task for task in self.slugs if task.is_parameter}

    def get_tasks(self, name: str | None = None, slug: str | None = None, tags: Iterable[str] | None = None) -> list[Task]:
        """The tasks with this name, this explicit slug and all of these tags."""
        wanted = set(tags or ())
        return [
            task
            for task in self.slugs
            if (name is None or task.name == name) and (slug is None or task.slug == slug) and wanted <= task.tags
        ]

    def sorted_tasks(self) -> tuple[Task, ...]:
        """All tasks, every one after those it waits for. Raises FlowCycleError, with the path, if that cannot be."""
        waiting = {task: len(self.upstream_tasks(task)) for task in self.slugs}
        ready = [task for task, count in waiting.items() if not count]
        order: list[Task] = []
        while ready:
            task = ready.pop()
            order.append(task)
            for downstream in {e.downstream_task: None for e in self._from[task]}:
                waiting[downstream] -= 1
                if not waiting[downstream]:
                    ready.append(downstream)
        if len(order) < len(self.slugs):
            raise FlowCycleError(f"Cycle found; flows must be acyclic! {self._cycle(set(self.slugs) - set(order))}")
        return tuple(order)

    def validate(self) -> None:
        """Raises FlowError if the graph cannot be run: a cycle, or an argument of a task that nothing provides."""
        for task in self.sorted_tasks():
            given = {e.key for e in self._into[task] if e.key} | set(self.constants.get(task, {}))
            if missing := [name for name in task.required_inputs() if name not in given]:
                raise FlowValidationError(f"Task {task} of flow {self.name!r} needs {', '.join(missing)}: call it with them")

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
            raise FlowError(f"Task {task} was not found in Flow {self.name!r}")
        return task
