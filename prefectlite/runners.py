"""FlowRunner and TaskRunner: one pass through a flow or a task, from plain code, for tests and tools."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, TypeVar

from prefectlite import hosting
from prefectlite.clock import active_clock, current_time, process_clock
from prefectlite.contexts import current_values, surrounding_values
from prefectlite.engine.handlers import EndRun, Handlers
from prefectlite.engine.lone_task import LoneTask
from prefectlite.engine.requests import RunOptions
from prefectlite.errors import FlowError
from prefectlite.executors.threads import ThreadPool
from prefectlite.ids import new_id
from prefectlite.language.executor import checked_executor
from prefectlite.language.graph import Edge, Graph
from prefectlite.language.task import Task
from prefectlite.session import Session
from prefectlite.settings import MEMORY_URL, load_settings, with_changes
from prefectlite.states import Failed, Pending, Running, State

T = TypeVar("T")
StateHandler = Callable[..., Any]


class FlowRunner:
    """Runs a flow once through, recorded in a database in memory only.

    A task whose pass ends in an unfinished state (Retrying, Paused) is left in it, and those downstream of it stay Pending;
    the flow is Running then, and may be run again with `task_states=state.result`. State handlers are called as
    `handler(runner, old, new)`, after the flow's own.
    """

    def __init__(
        self, flow: Graph, task_runner_cls: Any = None, state_handlers: Sequence[StateHandler] | None = None
    ) -> None:
        if task_runner_cls not in (None, TaskRunner):
            raise FlowError(
                f"Flow {flow.name!r}: a task_runner_cls cannot be used: the engine of prefectlite runs every task"
            )
        self.flow, self.state_handlers = flow, list(state_handlers or ())

    def __repr__(self) -> str:
        return f"<FlowRunner: {self.flow.name}>"

    def run(
        self,
        state: State | None = None,
        task_states: Mapping[Task, State] | None = None,
        return_tasks: Iterable[Task] | None = None,
        parameters: dict[str, Any] | None = None,
        task_runner_state_handlers: Sequence[StateHandler] | None = None,
        executor: Any = None,
        context: dict[str, Any] | None = None,
        task_contexts: Mapping[Task, dict[str, Any]] | None = None,
    ) -> State:
        """The state of the flow after one pass, with `{task: state}` of the `return_tasks` as its result.

        `state` itself where it is finished, or not due yet. Tasks begin in their `task_states`; finished ones are not run.
        """
        state = _unwrapped(state)
        if not (state.is_pending() or state.is_running()) or not _is_due(state):
            return state
        wanted = list(return_tasks or ())
        if not self.flow.tasks.issuperset(wanted):
            error = ValueError("Some tasks in return_tasks were not found in the flow.")
            return _finished(functools.partial(self._failed, state, error))
        options = RunOptions(
            executor=checked_executor(executor, f"Flow {self.flow.name!r}"),
            task_states=task_states or {},
            task_values=task_contexts or {},
            task_handlers=told_of_runners(task_runner_state_handlers or ()),
            single_pass=True,
            state=state,
            flow_handlers=self._handlers(),
        )
        ended = _finished(functools.partial(self._run, parameters or {}, context or {}, options))
        if isinstance(ended.result, dict):
            ended.result = {task: ended.result[task] for task in wanted if task in ended.result}
        return ended

    async def _run(self, parameters: dict[str, Any], context: dict[str, Any], options: RunOptions) -> State:
        values = {**surrounding_values(), **context}

        async def work(session: Session) -> State:
            run, row = await session.create(self.flow, parameters, context=context, name=context.get("flow_run_name"))
            return await session.execute(self.flow, row, run, parameters, values, options)

        # A database of its own, under a name of its own: flows that its tasks run find it.
        host = hosting.join(load_settings(database_url=f"{MEMORY_URL}/{new_id()}"), by_name=True)
        try:
            state: State = await asyncio.wrap_future(host.submit(work))
            return state
        finally:
            host.leave()
            await asyncio.shield(asyncio.wrap_future(host.closed))

    async def _failed(self, state: State, error: Exception) -> State:
        threads = ThreadPool(1)
        handlers = Handlers(threads, self.flow, [*self.flow.state_handlers, *self._handlers()])
        try:
            begun = state if state.is_running() else await handlers.see(state, Running("Running flow."))
            if not begun.is_running():
                return begun
            return await handlers.see(begun, Failed(f"Unexpected error: {error!r}", error))
        except EndRun as end:
            return end.state
        finally:
            threads.close()

    def _handlers(self) -> list[StateHandler]:
        return [_told_of(handler, lambda _: self) for handler in self.state_handlers]


class TaskRunner:
    """Runs a task once through its pipeline, recorded nowhere.

    State handlers are called as `handler(runner, old, new)`, after the task's own. `flow_result` is the result that the task
    writes to where it has none of its own.
    """

    def __init__(self, task: Task, state_handlers: Sequence[StateHandler] | None = None, flow_result: Any = None) -> None:
        self.task, self.state_handlers, self.flow_result = task, list(state_handlers or ()), flow_result

    def __repr__(self) -> str:
        return f"<TaskRunner: {self.task.name}>"

    def run(
        self,
        state: State | None = None,
        upstream_states: Mapping[Edge, State] | None = None,
        context: dict[str, Any] | None = None,
        is_mapped_parent: bool = False,
    ) -> State:
        """The state of the task after one pass: `state` itself where it is not its turn.

        `upstream_states` are by edge. With `is_mapped_parent` it is how the task turns into children: Mapped with their
        number. With a `map_index` in the `context` it is one of them, whose upstream states are its own share.
        """
        state, upstream, values = _unwrapped(state), dict(upstream_states or {}), dict(context or {})
        return _finished(functools.partial(self._run, state, upstream, values, is_mapped_parent))

    async def _run(
        self, state: State, upstream: Mapping[Edge, State], context: dict[str, Any], is_mapped_parent: bool
    ) -> State:
        settings = load_settings()
        if "checkpointing" in context:
            settings = with_changes(settings, {"checkpointing": context["checkpointing"]})
        clock = active_clock.get() or process_clock()
        values = {"parameters": {}, "flow_name": "", "checkpointing": settings.checkpointing, **current_values(), **context}
        handlers = [_told_of(handler, lambda _: self) for handler in self.state_handlers]
        alone = LoneTask(self.task, handlers, values, clock, settings)
        alone.graph.result = self.flow_result
        return await alone.run(state, upstream, is_mapped_parent)


def told_of_runners(handlers: Iterable[StateHandler]) -> list[StateHandler]:
    """`handlers` of task runners as handlers of tasks: they are told of a TaskRunner for the task."""
    return [_told_of(handler, TaskRunner) for handler in handlers]


def _told_of(handler: StateHandler, subject_of: Callable[[Any], Any]) -> StateHandler:
    # An async handler's coroutine is awaited all the same.
    @functools.wraps(handler, assigned=("__name__", "__qualname__", "__doc__"), updated=())
    def seen(subject: Any, old: State, new: State) -> Any:
        return handler(subject_of(subject), old, new)

    return seen


def _unwrapped(state: State | None) -> State:
    while state is not None and state.is_meta_state():
        state = getattr(state, "state", None)
    return Pending() if state is None else state


def _is_due(state: State) -> bool:
    start_time = getattr(state, "start_time", None)
    return start_time is None or start_time <= current_time()


def _finished(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What `work` results in, on an event loop of its own; in a thread of its own where one runs in this one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work())
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(asyncio.run(work()))
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=copy_context().run, args=(run,), name="prefectlite-runner", daemon=True).start()
    return outcome.result()
