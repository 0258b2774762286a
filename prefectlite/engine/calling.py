"""Calling user code: on the loop or in a worker thread, with its timeout, and turning how it ends into a state."""

from __future__ import annotations

import asyncio
import logging
from contextvars import copy_context
from types import TracebackType
from typing import Any, NamedTuple

from prefectlite.engine.units import Unit
from prefectlite.errors import SerializationError
from prefectlite.executors import threads
from prefectlite.executors.threads import ThreadPool
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

    async def call(self, unit: Unit, arguments: dict[str, Any]) -> Outcome:
        """The outcome of the task's `run(**arguments)`. Only a cancellation of the engine's own gets out of here."""
        task, timeout = unit.node.task, unit.node.timeout
        keep = task.checkpoint is not False
        try:
            if task.is_async:
                value = await self._on_the_loop(task.run(**arguments), timeout)
                if keep and not codec.is_cheap(value):
                    record = await self._threads.submit(lambda: self._encode(unit, value)).result
                else:
                    record = self._encode(unit, value) if keep else codec.ABSENT
            else:
                value, record = await self._in_a_thread(unit, arguments, keep)
        except StateSignal as signal:
            _logger.info("Task '%s': %s signal raised: %s", unit.label, type(signal).__name__, signal)
            return self._signalled(unit, signal, keep)
        except _TimedOut:
            return Outcome(TimedOut("Task timed out during execution.", TimeoutError(f"longer than {timeout} s")), None)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and _is_being_cancelled():
                raise
            return self._failure(unit, error)
        return Outcome(Success("Task run succeeded.", value), record)

    def _signalled(self, unit: Unit, signal: StateSignal, keep: bool) -> Outcome:
        state = signal.state
        if not isinstance(state, Success) or state.result is signal:
            return Outcome(state, None)
        return Outcome(state, self._encode(unit, state.result) if keep else codec.ABSENT)

    async def _on_the_loop(self, call: Any, timeout: float | None) -> Any:
        if timeout is None:
            return await call
        try:
            async with asyncio.timeout(timeout) as limit:
                return await call
        except TimeoutError:
            if limit.expired():
                raise _TimedOut from None
            raise

    async def _in_a_thread(self, unit: Unit, arguments: dict[str, Any], keep: bool) -> tuple[Any, ResultRecord]:
        run, timeout = unit.node.task.run, unit.node.timeout
        context = copy_context()

        def work() -> tuple[Any, ResultRecord]:
            value = context.run(run, **arguments)
            return value, self._encode(unit, value) if keep else codec.ABSENT

        job = self._threads.submit(work, tell_begin=timeout is not None)
        try:
            if job.begun is None:
                return await job.result  # type: ignore[no-any-return]
            await job.begun  # waiting for a thread is not part of the task's time
            async with asyncio.timeout(timeout) as limit:
                return await job.result  # type: ignore[no-any-return]
        except TimeoutError:
            if job.begun is not None and limit.expired():
                self._threads.abandon(job)
                raise _TimedOut from None
            raise
        except asyncio.CancelledError:
            self._threads.abandon(job)
            raise

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
