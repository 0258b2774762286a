"""Worker processes for plain functions that compute."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from typing import Any, NamedTuple

from prefectlite.errors import SerializationError, WorkerDied
from prefectlite.executors import threads
from prefectlite.executors.channel import ChannelClosed, Packed, Unreadable, pickled
from prefectlite.executors.failures import restored
from prefectlite.executors.threads import Interrupted, ThreadPool, stopped_by
from prefectlite.executors.worker import BEGUN, CALL, LINE, RAISED, RETURNED, UNREADABLE, Request
from prefectlite.executors.worker_process import WorkerProcess

_logger = logging.getLogger("prefectlite.processes")

#: Receives a line of the log: level, name of the logger, message.
OnLine = Callable[[str, str, str], None]
#: Makes what a job results in of what the function returned, or of the exception it ended with (the other is None).
Finish = Callable[[Any, BaseException | None], Any]


class Call(NamedTuple):
    """What a worker process is to call, and with what around it."""

    function: Callable[..., Any]
    arguments: Mapping[str, Any]
    owner: str = "The function"  # as messages name it: "Task 'x'"
    values: Mapping[str, Any] = {}  # of prefectlite.context; those that cannot be pickled, and loggers, stay here
    loggers: tuple[str, ...] = ("prefectlite",)
    level: int = logging.INFO
    stdout: bool = False  # printed lines are wanted, too, as INFO of "prefectlite.stdout"


class ProcessJob:
    """A call on its way. `result` is its outcome; `begun`, if asked for, when a worker process has it in hand.

    To cancel `result` is to abandon the job.
    """

    __slots__ = ("_lock", "_process", "begun", "is_stopped", "job", "result")

    result: asyncio.Future[Any]
    job: threads.Job  # the thread's that looks after it

    def __init__(self, begun: asyncio.Future[None] | None) -> None:
        self.begun = begun
        self._lock = threading.Lock()
        self._process: WorkerProcess | None = None
        self.is_stopped = False

    def take(self, process: WorkerProcess) -> None:
        """Have it executed by `process`."""
        with self._lock:
            self._process = process
            if self.is_stopped:
                process.kill()

    def leave(self) -> bool:
        """Part with the process. Whether it is as good as before."""
        with self._lock:
            self._process = None
            return not self.is_stopped

    def stop(self) -> None:
        """Kill the process that executes it, or will; from any thread."""
        with self._lock:
            self.is_stopped = True
            if self._process is not None:
                self._process.kill()


class ProcessPool:
    """At most `size` worker processes (None: one per processor), started as they are needed and kept, for one event loop.

    Each is looked after by a thread, which pickles, waits and unpickles, so that nothing of this is the event loop's.
    """

    def __init__(self, size: int | None = None) -> None:
        self._threads = ThreadPool(size or os.cpu_count() or 1)
        self._loop = asyncio.get_running_loop()
        self._jobs: set[ProcessJob] = set()
        self._idle: list[WorkerProcess] = []
        self._there = 0  # processes that have not ended
        self._changed = threading.Condition()
        self._closed = False

    def submit(
        self, call: Call, *, on_line: OnLine | None = None, finish: Finish | None = None, tell_begin: bool = False
    ) -> ProcessJob:
        """A job whose `result` future gets what the call returns or raises: WorkerDied if its process ended before it,
        SerializationError, which names the owner, if something could not travel.

        A coroutine that the function returns is executed in the process. `on_line` and `finish` are called in a thread, in
        the context that is current now; with `finish`, the job results in what it returns or raises.
        """
        job = ProcessJob(self._loop.create_future() if tell_begin else None)
        job.job = self._threads.submit(partial(self._work, job, call, on_line, finish, copy_context()))
        job.result = job.job.result
        self._jobs.add(job)
        job.result.add_done_callback(partial(self._over, job))
        return job

    def abandon(self, job: ProcessJob) -> None:
        """Wait for `job` no longer: drop it if it has not begun, else kill its process and whatever that has started."""
        self._threads.abandon(job.job)

    def close(self) -> None:
        """Abandon all jobs and end all processes; does not wait for it."""
        if self._closed:
            return
        with self._changed:
            self._closed = True
            idle, self._idle = self._idle, []
        for job in list(self._jobs):
            self.abandon(job)
        for process in idle:  # side by side: each is given some time
            process.hang_up()
        self._threads.close()
        if idle:
            # No daemon: a process that ends meanwhile waits for it, so that nothing that tasks have started stays behind.
            threading.Thread(target=self._end_all, args=(idle,), name="prefectlite-farewell").start()

    async def aclose(self) -> None:
        """Abandon all jobs; returns when all processes have ended."""
        self.close()
        while self._there:
            await asyncio.to_thread(self._wait_for_an_end)

    def _wait_for_an_end(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._there, timeout=1.0)

    def _over(self, job: ProcessJob, result: asyncio.Future[Any]) -> None:
        self._jobs.discard(job)
        if result.cancelled():  # whoever did it: nobody else will stop it
            self.abandon(job)
        if job.begun is not None and not job.begun.done():  # nobody may wait for it for ever
            if result.cancelled():
                job.begun.cancel()
            else:
                job.begun.set_result(None)

    # -- on a thread ----------------------------------------------------------------------------------------------------

    def _work(self, job: ProcessJob, call: Call, on_line: OnLine | None, finish: Finish | None, context: Context) -> Any:
        value, error = None, None
        try:
            request = _packed(call)
            with stopped_by(job.stop):
                value = self._called(job, call, request, partial(_tell, context, on_line))
        except Interrupted:
            raise
        except BaseException as raised:
            error = raised
        if job.is_stopped:
            return None
        if finish is not None:
            return context.run(finish, value, error)
        if error is not None:
            raise error
        return value

    def _called(self, job: ProcessJob, call: Call, request: Packed, on_line: OnLine) -> Any:
        while True:
            process = self._process()
            was_new, process.is_new = process.is_new, False
            job.take(process)
            begun = False
            try:
                process.send_path()
                process.channel.send(CALL, request)
                while (message := process.channel.receive())[0] in (BEGUN, LINE):
                    if message[0] == BEGUN:
                        begun = True
                        self._tell_begin(job)
                    else:
                        on_line(*message[1])
            except Unreadable as error:
                self._give_back(job, process)
                raise SerializationError(f"{call.owner}: what came of it cannot be read back here: {error}") from error
            except ChannelClosed:
                job.leave()
                how = self._end(process, is_asked=False)
                if begun or was_new or job.is_stopped:
                    raise WorkerDied(f"{call.owner}: its worker process {how}") from None
                continue  # it ended while it was idle: what it was sent has not begun
            except BaseException:
                job.leave()
                self._end(process)
                raise
            self._give_back(job, process)
            return _outcome(call, *message)

    def _process(self) -> WorkerProcess:
        with self._changed:
            if self._idle:
                return self._idle.pop()
            self._there += 1
        try:
            return WorkerProcess()
        except BaseException:
            self._gone()
            raise

    def _give_back(self, job: ProcessJob, process: WorkerProcess) -> None:
        good = job.leave()
        with self._changed:
            keep = good and not self._closed
            if keep:
                self._idle.append(process)
        if not keep:
            self._end(process)

    def _end(self, process: WorkerProcess, is_asked: bool = True) -> str:
        try:
            return process.end(is_asked)
        finally:
            self._gone()

    def _end_all(self, processes: list[WorkerProcess]) -> None:
        for process in processes:
            self._end(process)

    def _gone(self) -> None:
        with self._changed:
            self._there -= 1
            self._changed.notify_all()

    def _tell_begin(self, job: ProcessJob) -> None:
        if job.begun is not None:
            with suppress(RuntimeError):  # the loop was closed meanwhile
                self._loop.call_soon_threadsafe(_set, job.begun)


def _outcome(call: Call, kind: bytes, value: Any) -> Any:
    if kind == RETURNED:
        return value
    if kind == RAISED:
        raise restored(value)
    if kind == UNREADABLE:
        raise SerializationError(f"{call.owner}: its code or arguments cannot be read in the worker process: {value}")
    raise SerializationError(f"{call.owner}: {value}")


def _packed(call: Call) -> Packed:
    values = {name: data for name, value in call.values.items() if (data := _pickled(value)) is not None}
    request = Request(call.function, dict(call.arguments), values, call.loggers, call.level, call.stdout)
    try:
        return Packed(request)
    except Interrupted:
        raise
    except BaseException as error:
        raise SerializationError(f"{call.owner}: {_culprit(call)} cannot be sent to a worker process: {error}") from error


def _culprit(call: Call) -> str:
    """What of the call cannot be pickled, for a person."""
    for name, value in call.arguments.items():
        if _pickled(value) is None:
            return f"its argument {name!r} of type {type(value).__qualname__}"
    return "its code, or something that uses,"


def _pickled(value: Any) -> bytes | None:
    if isinstance(value, logging.Logger | logging.LoggerAdapter):
        return None
    try:
        return pickled(value)
    except Interrupted:
        raise
    except BaseException:  # the user's code is asked how
        return None


def _tell(context: Context, on_line: OnLine | None, level: str, name: str, message: str) -> None:
    if on_line is not None:
        try:
            context.run(on_line, level, name, message)
        except Exception:
            _logger.exception("A line of the log got lost: %s", message)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
