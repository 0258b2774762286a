"""A task run without a flow run around it: one pass through the pipeline, recorded nowhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prefectlite.clock import Clock
from prefectlite.engine.calling import Caller
from prefectlite.engine.expansion import expanded
from prefectlite.engine.handlers import Handlers
from prefectlite.engine.large_results import LargeResults
from prefectlite.engine.plan import Node
from prefectlite.engine.task_pass import TaskPass
from prefectlite.engine.units import Unit
from prefectlite.errors import NotFound
from prefectlite.executors.threads import OwnThread
from prefectlite.language.graph import Edge, Graph
from prefectlite.language.task import Task
from prefectlite.orchestrator.protocols import RunReader
from prefectlite.records import ResultRecord, StateRecord, TaskRunRow
from prefectlite.settings import Settings
from prefectlite.states import Mapped, Pending, State


class LoneTask:
    """What a pass asks of the flow run it is part of, where there is only this task."""

    single_pass = True

    def __init__(
        self, task: Task, handlers: Sequence[Callable[..., Any]], values: dict[str, Any], clock: Clock, settings: Settings
    ) -> None:
        self.values, self.clock = values, clock
        self.graph = Graph("")
        self.reader: RunReader = _NothingRecorded()
        self.results = LargeResults(None, settings)
        self.caller = Caller(settings)
        self.wanted: BaseException | None = None
        self._own_thread: OwnThread | None = None
        self._task, self._max_children = task, settings.max_map_children
        self._handlers = Handlers(self.caller.threads, task, [*task.state_handlers, *handlers])

    async def run(self, state: State, upstream: Mapping[Edge, State], is_mapped_parent: bool) -> State:
        """The state of the task after one pass that begins in `state`. Raises what is wanted outside."""
        node = Node(self._task, self._task.slug or self._task.name, "", list(upstream), {})
        index = self.values.get("map_index")
        unit = Unit(node, -1 if index is None else index)
        try:
            if is_mapped_parent:
                return await self._expanded(unit, state, upstream)
            state = await TaskPass(self, unit, dict(upstream)).run(state)
        finally:
            self.caller.close()
            if self._own_thread is not None:
                self._own_thread.close()
        if self.wanted is not None:
            raise self.wanted
        return state

    async def _expanded(self, unit: Unit, state: State, upstream: Mapping[Edge, State]) -> State:
        due = getattr(state, "start_time", None) is None or state.start_time <= self.clock.now()  # type: ignore[attr-defined]
        if not state.is_pending() or not due or not all(one.is_finished() for one in upstream.values()):
            return state
        units = {edge.upstream_task: _ended(edge.upstream_task, one) for edge, one in upstream.items()}
        unit.start = state
        return await expanded(self, unit, units, self._max_children)

    # -- what the pass asks -------------------------------------------------------------------------------------------

    def handlers_of(self, unit: Unit) -> Handlers:
        """The state handlers of the task."""
        return self._handlers

    def begin(self, unit: Unit, running: State, result: ResultRecord | None) -> None:
        """Nothing: there is no record."""

    def own_thread(self) -> OwnThread:
        """The task's thread."""
        self._own_thread = self._own_thread or OwnThread()
        return self._own_thread

    def is_stopping(self) -> bool:
        """Nobody stops it."""
        return False

    def raise_outside(self, error: BaseException) -> None:
        """`run` raises `error`, which the task raised."""
        self.wanted = error


class _NothingRecorded:
    """The record of a task that runs alone."""

    async def task_run_state(self, task_run_id: str) -> tuple[StateRecord, int]:
        """Raises NotFound."""
        raise NotFound(f"Task run {task_run_id} not found")

    async def flow_run_state(self, flow_run_id: str) -> tuple[StateRecord, int]:
        """Raises NotFound."""
        raise NotFound(f"Flow run {flow_run_id} not found")

    async def task_runs(self, flow_run_id: str) -> list[TaskRunRow]:
        return []

    async def cached(self, key: str, flow_run_id: str, map_index: int) -> list[tuple[StateRecord, ResultRecord | None]]:
        return []


def _ended(task: Task, state: State) -> Unit:
    """A unit that is in `state`, children included."""
    unit = Unit(Node(task, task.name, "", [], {}))
    unit.state = state
    if isinstance(state, Mapped):
        unit.children = [Unit(unit.node, index, unit) for index in range(state.n_map_states)]
        for child, own in zip(unit.children, state.map_states, strict=False):
            child.state = own or Pending()
    return unit
