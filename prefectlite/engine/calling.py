"""Calling user code: on the loop or in a worker thread, with its timeout, and turning how it ends into a state."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import copy_context
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple

from prefectlite.engine.units import Unit
from prefectlite.errors import SerializationError
from prefectlite.executors import threads
from prefectlite.executors.threads import Interrupted, ThreadPool
from prefectlite.records import ResultRecord
from prefectlite.results import codec
from prefectlite.signals import StateSignal
from prefectlite.states import Failed, State, Success, TimedOut

_OUR_FILES = (__file__, threads.__file__)
_logger = logging.getLogger("prefectlite.TaskRunner")


class Outcome(NamedTuple):
    """How a call ended, and its result as the record will keep it (None: nothing to keep)."""

    state: State
    result: ResultRecord | None


class Caller:
    """Calls the code of tasks."""

    def __init__(self, threads: ThreadPool, max_result_bytes: int) -> None:
        self._threads = threads
        self._limit = max_result_bytes

    async def call(self, unit: Unit, arguments: dict[str, Any], stopping: Callable[[], bool]) -> Outcome:
        """The outcome of the task's `run(**arguments)`. Only a cancellation of the engine's own gets out of here.

        `stopping()` says whether the run is being stopped: what its code waits for may have been cancelled before it is.
        """
        try:
            if unit.node.task.is_async:
                return await self._on_the_loop(unit, unit.node.task.run(**arguments), stopping)
            outcome = await self._in_a_thread(unit, arguments)
            if inspect.iscoroutine(outcome.state.result):  # a plain function around an async one
                return await self._on_the_loop(unit, outcome.state.result, stopping)
            return outcome
        except _TimedOut:
            error = TimeoutError(f"longer than {unit.node.timeout} s")
            return Outcome(TimedOut("Task timed out during execution.", error), None)

    async def _on_the_loop(self, unit: Unit, call: Coroutine[Any, Any, Any], stopping: Callable[[], bool]) -> Outcome:
        try:
            value = await _in_time(call, unit.node.timeout)
        except _TimedOut:
            raise
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and (_is_being_cancelled() or stopping()):
                raise
            return self._raised(unit, error)
        if codec.is_cheap(value) or unit.node.task.checkpoint is False:
            return self._returned(unit, value)
        # Writing down a large value takes its time, which is not the loop's to give.
        outcome: Outcome = await self._threads.submit(partial(copy_context().run, self._returned, unit, value)).result
        return outcome

    async def _in_a_thread(self, unit: Unit, arguments: dict[str, Any]) -> Outcome:
        timeout = unit.node.timeout
        work = partial(copy_context().run, self._call_here, unit, arguments)
        job = self._threads.submit(work, tell_begin=timeout is not None)
        try:
            if job.begun is not None:
                await job.begun  # waiting for a thread is not part of the task's time
            outcome: Outcome = await _in_time(job.result, timeout)
        except (_TimedOut, asyncio.CancelledError):
            self._threads.abandon(job)
            raise
        return outcome

    def _call_here(self, unit: Unit, arguments: dict[str, Any]) -> Outcome:
        # What the code raises is returned as a value: a StopIteration or GeneratorExit would not get through a future.
        try:
            value = unit.node.task.run(**arguments)
        except Interrupted:
            raise
        except BaseException as error:
            return self._raised(unit, error)
        return self._returned(unit, value)

    def _returned(self, unit: Unit, value: Any) -> Outcome:
        return Outcome(Success("Task run succeeded.", value), self._record(unit, value))

    def _raised(self, unit: Unit, error: BaseException) -> Outcome:
        if not isinstance(error, StateSignal):
            return self._failure(unit, error)
        _logger.info("Task '%s': %s signal raised: %s", unit.label, type(error).__name__, error)
        has_result = isinstance(error.state, Success) and error.state.result is not error
        return Outcome(error.state, self._record(unit, error.state.result) if has_result else None)

    def _record(self, unit: Unit, value: Any) -> ResultRecord:
        if unit.node.task.checkpoint is False or inspect.iscoroutine(value):
            return codec.ABSENT
        return self._encode(unit, value)

    def _encode(self, unit: Unit, value: Any) -> ResultRecord:
        try:
            return codec.encode(value, self._limit)
        except SerializationError as error:
            _logger.warning("Task '%s': its result stays in memory and is computed again on resume: %s", unit.label, error)
            return codec.ABSENT

    def _failure(self, unit: Unit, error: BaseException) -> Outcome:
        trace = (type(error), error, _users_part(error.__traceback__))
        _logger.error("Task '%s': Exception encountered during task execution!", unit.label, exc_info=trace)
        try:
            record = codec.encode(error, self._limit)
        except SerializationError:
            record = None
        return Outcome(Failed(f"Error during execution of task: {_shown(error)}", error), record)


class _TimedOut(Exception):
    """The task's own timeout passed (a TimeoutError may also be the user's)."""


async def _in_time(work: Awaitable[Any], timeout: float | None) -> Any:
    """What `work` results in. Raises _TimedOut after `timeout` seconds."""
    if timeout is None:
        return await work
    try:
        async with asyncio.timeout(timeout) as limit:
            return await work
    except TimeoutError:
        if limit.expired():
            raise _TimedOut from None
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
