"""Calling user code: on the loop, in a thread or a process, within its timeout, and turning how it ends into a state."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import copy_context
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple

from prefectlite.engine import guests
from prefectlite.engine.guests import TimedOutError
from prefectlite.engine.targets import template_values, written
from prefectlite.engine.units import Unit
from prefectlite.errors import SerializationError
from prefectlite.executors import threads
from prefectlite.executors.threads import Interrupted, ThreadPool
from prefectlite.records import ResultRecord
from prefectlite.results import codec
from prefectlite.signals import ENDRUN, LOOP, StateSignal, TaskTimeoutSignal
from prefectlite.states import Failed, State, Success, TimedOut

_OUR_FILES = (__file__, guests.__file__, threads.__file__)
_logger = logging.getLogger("prefectlite.TaskRunner")


class Call(NamedTuple):
    """What is called: a task's code with its arguments, under the values of `prefectlite.context`."""

    unit: Unit
    arguments: dict[str, Any]
    values: dict[str, Any]
    flow_result: Any
    stopping: Callable[[], bool]  # whether the run is being stopped: what the code waits for may hear of it first


class Outcome(NamedTuple):
    """How a call ended, and its result as the record will keep it (None: nothing to keep)."""

    state: State
    result: ResultRecord | None
    ends: bool = False  # nothing may change it any more


class Caller:
    """Calls the code of tasks."""

    def __init__(self, threads: ThreadPool, max_result_bytes: int, checkpointing: bool, patience: float) -> None:
        self.threads = threads
        self._limit, self._checkpointing, self._patience = max_result_bytes, checkpointing, patience

    async def call(self, call: Call) -> Outcome:
        """The outcome of the task's code. Only a cancellation of the engine's own gets out of here."""
        task = call.unit.node.task
        try:
            if task.is_async:
                return await self._on_the_loop(call, task.run(**call.arguments))
            outcome = await self._in_a_thread(call)
            if inspect.iscoroutine(outcome.state.result):  # a plain function around an async one
                return await self._on_the_loop(call, outcome.state.result)
            return outcome
        except TimedOutError:
            signal = TaskTimeoutSignal(f"longer than {call.unit.node.timeout:g} s")
            return Outcome(TimedOut("Task timed out during execution.", signal), None)

    def close(self) -> None:
        """Let go of the worker threads."""
        self.threads.close()

    async def aside(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What user code beside a task's own returns, called in a worker thread; awaited, where it is async."""
        work = partial(copy_context().run, function, *args, **kwargs)
        answer = await self.threads.submit(work).result
        return await answer if inspect.isawaitable(answer) else answer

    def record(self, unit: Unit, value: Any) -> ResultRecord:
        """`value` as the record keeps it: absent where it cannot, or is not to, be written down."""
        if unit.node.task.checkpoint is False or inspect.iscoroutine(value):
            return codec.ABSENT
        try:
            return codec.encode(value, self._limit)
        except SerializationError as error:
            _logger.warning("Task '%s': its result stays in memory and is computed again on resume: %s", unit.label, error)
            return codec.ABSENT

    async def _on_the_loop(self, call: Call, work: Coroutine[Any, Any, Any]) -> Outcome:
        try:
            timeout = call.unit.node.timeout
            if timeout is None:
                value = await work
            else:
                value = await guests.in_time(work, timeout, self._patience, call.unit.label)
        except TimedOutError:
            raise
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and (_is_being_cancelled() or call.stopping()):
                raise
            return await self._kept(call, self._raised(call, error))
        if codec.is_cheap(value) and not self._writes(call):
            return Outcome(Success("Task run succeeded.", value), self.record(call.unit, value))
        return await self._kept(call, Success("Task run succeeded.", value))

    async def _kept(self, call: Call, state: State | Outcome) -> Outcome:
        """The outcome with `state`, its result written down: which takes its time, and that is not the loop's to give."""
        if isinstance(state, Outcome):
            return state
        work = partial(copy_context().run, self._written_down, call, state)
        outcome: Outcome = await self.threads.submit(work).result
        return outcome

    async def _in_a_thread(self, call: Call) -> Outcome:
        timeout = call.unit.node.timeout
        work = partial(copy_context().run, self._call_here, call)
        job = self.threads.submit(work, tell_begin=timeout is not None)
        try:
            if job.begun is not None:
                await job.begun  # waiting for a thread is not part of the task's time
            outcome: Outcome = await _in_time(job.result, timeout)
        except (TimedOutError, asyncio.CancelledError):
            self.threads.abandon(job)
            raise
        return outcome

    def _call_here(self, call: Call) -> Outcome:
        # What the code raises is returned as a value: a StopIteration or GeneratorExit would not get through a future.
        try:
            value = call.unit.node.task.run(**call.arguments)
        except Interrupted:
            raise
        except BaseException as error:
            state = self._raised(call, error)
            return state if isinstance(state, Outcome) else self._written_down(call, state)
        return self._written_down(call, Success("Task run succeeded.", value))

    def _raised(self, call: Call, error: BaseException) -> State | Outcome:
        """The state with a result that is to be written down, or the outcome as it is."""
        if isinstance(error, ENDRUN):
            return Outcome(error.state, None, ends=True)
        if not isinstance(error, StateSignal):
            return self._failure(call, error)
        _logger.info("Task '%s': %s signal raised: %s", call.unit.label, type(error).__name__, error)
        has_value = error.state.has_result and error.state.result is not error
        if (isinstance(error.state, Success) and has_value) or isinstance(error, LOOP):
            return error.state
        return Outcome(error.state, None)

    def _writes(self, call: Call) -> bool:
        task = call.unit.node.task
        return self._checkpointing and task.checkpoint is not False and (task.result or call.flow_result) is not None

    def _written_down(self, call: Call, state: State) -> Outcome:
        """The outcome with `state`, once its result is where the user wants it and in the form the record keeps."""
        value = state.result
        if self._writes(call):
            try:
                fields = template_values(call.values, call.arguments)
                if location := written(call.unit.node.task, call.flow_result, value, fields):
                    state.context["result_location"] = location
            except Exception as error:
                _logger.exception("Task '%s': its result could not be written", call.unit.label)
                return Outcome(Failed(f"Unexpected error: {error!r}", error), self._record_error(error))
        return Outcome(state, self.record(call.unit, value))

    def _failure(self, call: Call, error: BaseException) -> Outcome:
        trace = (type(error), error, _users_part(error.__traceback__))
        _logger.error("Task '%s': Exception encountered during task execution!", call.unit.label, exc_info=trace)
        return Outcome(Failed(f"Error during execution of task: {_shown(error)}", error), self._record_error(error))

    def _record_error(self, error: BaseException) -> ResultRecord | None:
        try:
            return codec.encode(error, self._limit)
        except SerializationError:
            return None


async def _in_time(work: Awaitable[Any], timeout: float | None) -> Any:
    """What `work` results in. Raises TimedOutError after `timeout` seconds."""
    if timeout is None:
        return await work
    try:
        async with asyncio.timeout(timeout) as limit:
            return await work
    except TimeoutError:
        if limit.expired():
            raise TimedOutError from None
        raise


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _users_part(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame on that is not the engine's own."""
    part = trace
    while part is not None and part.tb_frame.f_code.co_filename in _OUR_FILES:
        part = part.tb_next
    return part or trace


def _shown(error: BaseException) -> str:
    try:
        return repr(error)
    except Exception:
        return f"{type(error).__name__} (its repr raises)"
