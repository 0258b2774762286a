"""A graph of tasks: what a flow is, before anything runs."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

from prefectlite.contexts import active_case, active_resource, context, inside_apply_map
from prefectlite.errors import FlowError, FlowValidationError
from prefectlite.language.building import as_task, is_task
from prefectlite.language.edge import Edge as Edge
from prefectlite.language.executor import Executor
from prefectlite.language.slugs import Slugs
from prefectlite.language.topology import Topology

if TYPE_CHECKING:
    from prefectlite.language.task import Task


class Graph(Topology):
    """Tasks and the edges between them, in the order they were added.

    `constants[task][key]` are arguments known when the flow is written; they are not nodes. Two graphs are equal when name,
    tasks, edges and reference tasks are; each is nevertheless a dictionary key of its own.
    """

    # What a run of it goes by, beside its tasks and edges; a Flow has them set.
    executor: Executor | None = None
    result: Any = None
    state_handlers: Sequence[Callable[..., Any]] = ()
    terminal_state_handler: Callable[..., Any] | None = None

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.variable_name: str | None = None  # under which its module holds it, where it was loaded from one
        self.constants: dict[Task, dict[str, Any]] = defaultdict(dict)
        self.made: dict[Task, None] = {}  # tasks made while this graph was being written, except those copied since
        self._slug_book = Slugs()
        self._reference_tasks: tuple[Task, ...] = ()
        self._validates_edges = context.config.eager_edge_validation
        self.revision = 0  # grows with every change, so that what is derived from the graph can be kept until then

    def __repr__(self) -> str:
        return f'<{type(self).__name__}: name="{self.name}">'

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Graph) and self._facts() == other._facts()

    # Graphs change, so their content is no key; what is kept for a graph (weakly, by sessions) is kept for this very one.
    __hash__ = object.__hash__

    def _facts(self) -> tuple[Any, ...]:
        return self.name, self.tasks, self.edges, self.reference_tasks()

    # -- building ---------------------------------------------------------------------------------------------------

    def add_task(self, task: Task) -> Task:
        """`task`, now part of the graph under a slug of its own; adding it again changes nothing.

        Raises TypeError for what is no task, DuplicateSlugError if another one has its slug.
        """
        if not is_task(task):
            raise TypeError(f"Tasks must be Task instances (received {type(task)})")
        if task in self.slugs:
            return task
        self.slugs[task] = self._slug_book.take(task, self.name)
        self._open(task)
        self.revision += 1
        for block in (active_case.get(), active_resource.get()):
            if block is not None:
                block.add_task(task, self)
        return task

    def add_edge(
        self,
        upstream_task: Any,
        downstream_task: Any,
        key: str | None = None,
        mapped: bool = False,
        flattened: bool = False,
        validate: bool | None = None,
    ) -> Edge:
        """A new edge, as `Edge` describes it; both tasks join the graph if they were not part of it.

        A constant with a key that is neither mapped nor flattened joins `constants` instead. Raises FlowError if the
        argument is bound already; with `validate` (None: as the setting `eager_edge_validation` says) also for a cycle, and
        TypeError for a key that the task does not take.
        """
        if mapped:
            self._refuse_mapping()
        if validate is None:
            validate = self._validates_edges
        edge = Edge(upstream_task, downstream_task, key, mapped, flattened, self)
        upstream, downstream = edge.upstream_task, edge.downstream_task
        if downstream.is_parameter:
            raise FlowError(
                f"Parameters must be root tasks and can not have upstream dependencies. {downstream} was given {upstream}"
            )
        if key is not None:
            self._check_key(edge, validate)
        self.revision += 1
        if upstream.is_constant and key is not None and not edge.mapped and not edge.flattened:
            self.add_task(downstream)
            self.constants[downstream][key] = upstream.value
            return edge
        self.add_task(upstream)
        self.add_task(downstream)
        if self._link(edge) and validate:
            try:
                self.sorted_tasks()
            except FlowError:
                self._unlink(edge)
                raise
        return edge

    def chain(self, *tasks: Any, validate: bool | None = None) -> list[Edge]:
        """The new edges that let each of `tasks` wait for the one before it."""
        return [self.add_edge(*pair, validate=validate) for pair in pairwise([as_task(task, self) for task in tasks])]

    def set_dependencies(
        self,
        task: Any,
        upstream_tasks: Iterable[Any] | None = None,
        downstream_tasks: Iterable[Any] | None = None,
        keyword_tasks: Mapping[str, Any] | None = None,
        mapped: bool = False,
        validate: bool | None = None,
    ) -> None:
        """Let `task` wait for `upstream_tasks`, `downstream_tasks` for it, and give it `keyword_tasks` as its arguments.

        With `mapped` it runs once per element of what it waits for and takes.
        """
        task = as_task(task, self)
        if mapped:
            self._refuse_mapping()
        for word, tasks in (("upstream_tasks", upstream_tasks), ("downstream_tasks", downstream_tasks)):
            if is_task(tasks):
                raise TypeError(f"Task is not iterable. {word} of {task} must be a list of tasks: write {word}=[{tasks}]")
        self.add_task(task)
        for upstream in upstream_tasks or ():
            self.add_edge(upstream, task, mapped=mapped, validate=validate)
        for downstream in downstream_tasks or ():
            self.add_edge(task, downstream, validate=validate)
        for key, value in (keyword_tasks or {}).items():
            self.add_edge(value, task, key, mapped=mapped, validate=validate)

    def update(
        self,
        flow: Graph,
        merge_parameters: bool = False,
        validate: bool | None = None,
        merge_reference_tasks: bool = False,
    ) -> None:
        """Add everything in `flow` to this graph; if that raises FlowError, this graph is as it was.

        With `merge_parameters` its parameters take the place of those of the same name here, with `merge_reference_tasks`
        the reference tasks of both count.
        """
        with self._all_or_nothing():
            if merge_parameters:
                mine = {task.name: task for task in self.parameters()}
                for theirs in flow.parameters():
                    if theirs.name in mine and theirs is not mine[theirs.name]:
                        self._put_in_place_of(mine[theirs.name], theirs)
            for task in flow.slugs:
                self.add_task(task)
            for task in flow.slugs:
                for e in flow.incoming(task):
                    self.add_edge(e.upstream_task, task, e.key, e.mapped, e.flattened, validate)
                if task in flow.constants:
                    self.constants[task].update(flow.constants[task])
            if merge_reference_tasks:
                self.set_reference_tasks(self.reference_tasks() | flow.reference_tasks())

    def replace(self, old: Task, new: Any, validate: bool = True) -> None:
        """Put `new` in the place of `old`, with its edges and arguments, and as a reference task if it was set as one.

        Raises FlowError, and leaves the graph as it was, if `old` is not part of it or, with `validate`, for a cycle.
        """
        with self._all_or_nothing():
            self._put_in_place_of(self._known(old), as_task(new, self))
            if validate:
                self.sorted_tasks()

    def copy(self) -> Self:
        """Another graph of the same tasks; changing one of the two does not change the other."""
        new = copy.copy(self)
        vars(new).update(self._state(), made={})
        return new

    def set_reference_tasks(self, tasks: Iterable[Task]) -> None:
        """Let these tasks alone decide the final state of a run; none of them: the default ones do again."""
        chosen = tuple(tasks)
        if unknown := [t for t in chosen if t not in self.slugs]:
            raise FlowValidationError(f"reference tasks must be part of the flow. {unknown} are not in {self!r}")
        self._reference_tasks = chosen
        self.revision += 1

    # -- asking -----------------------------------------------------------------------------------------------------

    def reference_tasks(self) -> set[Task]:
        """The tasks that decide the final state of a run: those set, else those that only clean-ups wait for.

        What makes a resource and cleans it up is no default one.
        """
        if self._reference_tasks:
            return set(self._reference_tasks)
        return {
            task
            for task, edges in self._from.items()
            if not task.is_resource_init
            and not task.is_resource_cleanup
            and all(edge.downstream_task.is_resource_cleanup for edge in edges)
        }

    def unused_tasks(self) -> list[Task]:
        """The tasks made while this graph was being written that did not become part of it."""
        return [task for task in self.made if task not in self.slugs]

    def validate(self) -> None:
        """Raises FlowError if the graph cannot be run: a cycle, or an argument of a task that nothing provides.

        Edges and reference tasks that are not part of the graph cannot come to be.
        """
        for task in self.sorted_tasks():
            given = {e.key for e in self._into[task] if e.key} | set(self.constants.get(task, {}))
            if missing := [name for name in task.required_inputs() if name not in given]:
                raise FlowValidationError(f"Task {task} of flow {self.name!r} needs {', '.join(missing)}: call it with them")

    # -- within -----------------------------------------------------------------------------------------------------

    def _check_key(self, edge: Edge, validate: bool | None) -> None:
        task, key = edge.downstream_task, edge.key
        assert key is not None
        bound = self._keyed.get(task, {}).get(key)
        if (bound is not None and (validate or bound != edge)) or key in self.constants.get(task, ()):
            raise FlowError(
                f'Argument "{key}" for task {task} has already been assigned in this flow. If you are trying to call the'
                " task again with new arguments, call Task.copy() before adding the result to this flow."
            )
        if validate and not task.accepts(key):
            raise TypeError(f"Task {task.name!r}: got an unexpected keyword argument {key!r}")

    @staticmethod
    def _refuse_mapping() -> None:
        if inside_apply_map.get():
            raise FlowError("Cannot set `mapped=True` when running from inside a mapped context")

    def _put_in_place_of(self, old: Task, new: Task) -> None:
        incoming, outgoing = self._take_out(old)
        self._slug_book.release(self.slugs.pop(old))
        constants = self.constants.pop(old, {})
        self.add_task(new)
        self._reference_tasks = tuple(new if task is old else task for task in self._reference_tasks)
        for e in outgoing:
            self.add_edge(new, e.downstream_task, e.key, e.mapped, e.flattened)
        for e in incoming:
            self.add_edge(e.upstream_task, new, e.key, e.mapped, e.flattened)
        for key, value in constants.items():
            if new.accepts(key):
                self.constants[new].setdefault(key, value)

    def _state(self) -> dict[str, Any]:
        """A copy of all that changes of the graph change."""
        return super()._state() | {
            "constants": defaultdict(dict, {task: dict(values) for task, values in self.constants.items()}),
            "_slug_book": self._slug_book.copy(),
            "_reference_tasks": self._reference_tasks,
        }

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        before = self._state()
        try:
            yield
        except BaseException:
            vars(self).update(before)
            raise
        finally:
            self.revision += 1
