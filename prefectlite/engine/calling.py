"""Calling user code: on the loop, in a thread or a process, within its timeout."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import copy_context
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from prefectlite.contexts import active_log
from prefectlite.engine import guests, left_behind
from prefectlite.engine.guests import TimedOutError
from prefectlite.engine.outcomes import Call, Outcome, Outcomes
from prefectlite.engine.units import Unit
from prefectlite.executors.threads import Interrupted, ThreadPool
from prefectlite.language.executor import Executor
from prefectlite.lazily import lazily
from prefectlite.settings import Settings
from prefectlite.signals import TaskTimeoutSignal
from prefectlite.states import TimedOut

if TYPE_CHECKING:
    from prefectlite.executors import processes
else:
    processes = lazily("prefectlite.executors.processes")

_logger = logging.getLogger("prefectlite.TaskRunner")
_ENOUGH = nullcontext()


class Caller:
    """Calls the code of tasks."""

    def __init__(self, settings: Settings) -> None:
        self.outcomes = Outcomes(settings)
        self._watch = left_behind.Watch()
        self.threads = ThreadPool(settings.max_threads)
        self._max_threads = settings.max_threads
        self._processes: dict[int, processes.ProcessPool] = {}  # by size
        self._patience, self._worker_processes = settings.cancel_patience, settings.worker_processes
        self._loggers = ("prefectlite", *settings.extra_loggers)

    def close(self) -> None:
        """Let go of the worker threads and processes."""
        self.threads.close()
        for pool in self._processes.values():
            pool.close()

    def room_for(self, executor: Executor | None) -> AbstractContextManager[None]:
        """Threads for a run with this executor, if it wants more than the process has."""
        wanted = 0 if executor is None or executor.in_processes else executor.workers or 0
        return _ENOUGH if wanted <= self._max_threads else self._more_threads(wanted - self._max_threads)

    @contextmanager
    def _more_threads(self, more: int) -> Iterator[None]:
        self.threads.resize(more)
        try:
            yield
        finally:
            self.threads.resize(-more)

    async def call(self, call: Call) -> Outcome:
        """The outcome of the task's code. Only a cancellation of the engine's own gets out of here."""
        node = call.unit.node
        try:
            if node.task.is_async:
                return await self._on_the_loop(call, node.task.run(**call.arguments))
            if node.executor is not None and node.executor.in_processes:
                return await self._in_a_process(call, node.executor.workers or self._worker_processes)
            outcome = await self._in_a_thread(call)
            if isinstance(outcome.state.result, CoroutineType):  # a plain function around an async one
                return await self._on_the_loop(call, outcome.state.result)
            return outcome
        except TimedOutError:
            return Outcome(TimedOut("Task timed out during execution.", TaskTimeoutSignal("Execution timed out.")), None)

    async def aside(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What user code beside a task's own returns, called in a worker thread; awaited, where it is async."""
        answer = await self._in_context(function, *args, **kwargs)
        return await answer if inspect.isawaitable(answer) else answer

    async def _in_context(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await self.threads.submit(partial(copy_context().run, function, *args, **kwargs)).result

    async def _on_the_loop(self, call: Call, work: Coroutine[Any, Any, Any]) -> Outcome:
        timeout, process = call.unit.node.timeout, os.getpid()
        try:
            if timeout is None:
                value = await work
            else:
                value = await guests.in_time(work, timeout, self._patience, call.unit.label)
            if isinstance(value, CoroutineType):
                value.close()
                raise TypeError(f"task {call.unit.label!r} returned a coroutine: did you forget `await`?")
            if os.getpid() != process:
                left_behind.end_child()
        except TimedOutError:
            raise
        except BaseException as error:
            if os.getpid() != process:
                left_behind.end_child(error)
            if isinstance(error, asyncio.CancelledError) and (_is_being_cancelled() or call.stopping()):
                raise
            outcome: Outcome = await self._in_context(self.outcomes.raised, call, error)
            return outcome
        if self.outcomes.is_quick(call, value):
            return self.outcomes.returned(call, value)
        # Writing down a large value takes its time, which is not the loop's to give.
        outcome = await self._in_context(self.outcomes.returned, call, value)
        return outcome

    async def _in_a_thread(self, call: Call) -> Outcome:
        timeout, pool = call.unit.node.timeout, call.thread or self.threads
        self._watch.begin()
        try:
            job = pool.submit(partial(copy_context().run, self._call_here, call), tell_begin=timeout is not None)
            return await self._waited_for(job, timeout, partial(pool.abandon, job, partial(_stays, call.unit)))
        finally:
            self._watch.end(call.unit.label)

    def _call_here(self, call: Call) -> Outcome:
        # What the code raises is returned as a value: a StopIteration or GeneratorExit would not get through a future.
        process = os.getpid()
        try:
            value = call.unit.node.task.run(**call.arguments)
        except Interrupted:
            raise
        except BaseException as error:
            if os.getpid() != process:
                left_behind.end_child(error)
            return self.outcomes.raised(call, error)
        if os.getpid() != process:
            left_behind.end_child()
        return self.outcomes.returned(call, value)

    async def _in_a_process(self, call: Call, workers: int) -> Outcome:
        task, timeout = call.unit.node.task, call.unit.node.timeout
        if workers not in self._processes:
            self._processes[workers] = processes.ProcessPool(workers or None)
        pool = self._processes[workers]
        job = pool.submit(
            processes.Call(
                task.run,
                call.arguments,
                owner=f"Task '{call.unit.label}'",
                values=call.values,
                loggers=self._loggers,
                level=logging.getLogger("prefectlite").getEffectiveLevel(),
                stdout=task.log_stdout,
            ),
            on_line=_log,
            finish=partial(self._finished, call),
            tell_begin=timeout is not None,
        )
        return await self._waited_for(job, timeout, partial(pool.abandon, job))

    def _finished(self, call: Call, value: Any, error: BaseException | None) -> Outcome:
        return self.outcomes.returned(call, value) if error is None else self.outcomes.raised(call, error)

    async def _waited_for(self, job: Any, timeout: float | None, abandon: Callable[[], None]) -> Outcome:
        try:
            if job.begun is not None:
                await job.begun  # waiting for a thread or a process is not part of the task's time
            outcome: Outcome = await (job.result if timeout is None else _in_time(job.result, timeout))
        except (TimedOutError, asyncio.CancelledError):
            abandon()
            raise
        return outcome


def _stays(unit: Unit) -> None:
    _logger.warning(
        "Task '%s' was stopped, but its code goes on: its thread is stuck in a call that Python cannot interrupt, and was"
        " left behind. Such code can be killed in a process: executor=ProcessExecutor()",
        unit.label,
    )


def _log(level: str, name: str, message: str) -> None:
    """A line from a worker process, as if it had been logged, or printed, here."""
    sink = active_log.get()
    if name == "prefectlite.stdout":
        if sink is not None:
            sink.line(level, name, message)
    else:
        logging.getLogger(name).log(logging.getLevelNamesMapping().get(level, logging.INFO), "%s", message)


async def _in_time(work: Awaitable[Any], timeout: float) -> Any:
    """What `work` results in. Raises TimedOutError after `timeout` seconds."""
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
