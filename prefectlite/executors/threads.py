"""Worker threads for plain functions."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any

from prefectlite.executors.interruption import Interrupted as Interrupted
from prefectlite.executors.interruption import interrupt

#: Threads that are started without waiting whether they are needed.
EAGER = 4
#: Seconds after which jobs that wait are looked at.
PATIENCE = 0.005
#: Seconds after which code that was interrupted, and goes on, is interrupted again.
AGAIN = 0.05
#: Seconds after which code that was to be stopped, and goes on, is reported.
STUCK = 1.0

_here = threading.local()
_logger = logging.getLogger("prefectlite.threads")


@contextmanager
def waiting_for(stop: Callable[[], None]) -> Iterator[None]:
    """On a worker thread: let another worker run while this one only waits, and call `stop` if its job is abandoned.

    Elsewhere: nothing.
    """
    pool: ThreadPool | None = getattr(_here, "pool", None)
    if pool is None:
        yield
        return
    job: Job = _here.job
    pool.resize(1)
    job.stop = stop
    try:
        yield
    finally:
        job.stop = None
        pool.resize(-1)


@contextmanager
def stopped_by(stop: Callable[[], None]) -> Iterator[None]:
    """On a worker thread: if its job is abandoned, call `stop`, which ends the code in here, instead of interrupting it."""
    job: Job = _here.job
    with job.lock:
        if job.lost:
            raise Interrupted
        job.stop, job.is_stoppable = stop, True
    try:
        yield
    finally:
        with job.lock:
            job.stop, job.is_stoppable = None, False


def end_if_abandoned() -> None:
    """On a worker thread: raise Interrupted if its job was abandoned. For places where that does no harm."""
    job: Job | None = getattr(_here, "job", None)
    if job is not None and job.lost:
        raise Interrupted


class Job:
    """One function on its way through the pool. `result` is its outcome; `begun`, if asked for, when a worker took it."""

    __slots__ = ("begun", "inside", "is_stoppable", "lock", "lost", "result", "stop", "thread", "work")

    def __init__(self, work: Callable[[], Any], result: asyncio.Future[Any], begun: asyncio.Future[None] | None) -> None:
        self.work, self.result, self.begun = work, result, begun
        self.lock = threading.Lock()
        self.thread = 0
        self.inside = False
        self.lost = False
        self.stop: Callable[[], None] | None = None  # ends what the job waits for
        self.is_stoppable = False  # `stop` ends the job altogether


class ThreadPool:
    """At most `size` daemon threads at work, started as they are needed, that serve one event loop; lost ones not counted.

    A few are started at once, the others when jobs wait and those few are stuck in theirs: more threads than that would
    only compete for the interpreter. Finished jobs are handed back together: one wake-up of the loop for all that ended
    since the last, where `run_in_executor` pays one for each.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._finished: deque[tuple[Job, Any, BaseException | None]] = deque()
        self._delivery_due = False
        self._threads = 0
        self._look_due = False
        self._delivered = 0  # since the last look
        self._free = 0  # workers that wait for a job, less the jobs that wait for a worker
        self._closed = False
        self._lock = threading.Lock()

    def submit(self, work: Callable[[], Any], *, tell_begin: bool = False) -> Job:
        """A job whose `result` future gets what `work()` returns or raises on a worker thread."""
        if self._closed:
            raise RuntimeError("the thread pool is closed")
        job = Job(work, self._loop.create_future(), self._loop.create_future() if tell_begin else None)
        with self._lock:
            self._free -= 1
            waits = self._free < 0 and self._threads < self._size
            hire = waits and self._threads < EAGER
            if hire:
                self._threads += 1
        self._jobs.put(job)
        if hire:
            self._hire()
        elif waits:
            self._look_soon()
        return job

    def abandon(self, job: Job, stuck: Callable[[], None] | None = None) -> None:
        """Wait for `job` no longer: drop it if no worker took it, else interrupt it and let another worker take its place.

        Python can interrupt a thread between two of its instructions only; one that is stuck in C goes on until it returns.
        `stuck`, if given, is called on the loop if the code is still at it after STUCK seconds.
        """
        job.result.cancel()
        with job.lock:
            if not job.inside:
                job.work = _nothing  # it may be long until a worker comes by
                return
            if job.lost:
                return
            if job.stop is not None:
                job.stop()
            if job.is_stoppable:
                return
            job.lost = True
        self._hire()
        self._interrupt(job)
        if stuck is not None:
            self._loop.call_later(STUCK, _report, job, stuck)

    def resize(self, change: int) -> None:
        """Allow so many more threads, or fewer; from any thread. Those that are too many go after the job they are at."""
        with self._lock:
            self._size += change
            hire = self._free < 0 and self._threads < self._size
            too_many = max(self._threads - self._size, 0)
            self._threads += hire - too_many
        if hire:
            self._hire_more(1)
        for _ in range(too_many):
            self._jobs.put(None)

    def close(self) -> None:
        """Let the workers go, each after the job it is at; what was submitted is still executed."""
        if self._closed:
            return
        self._closed = True
        with self._lock:
            threads = self._threads
        for _ in range(threads):
            self._jobs.put(None)

    def _look_soon(self) -> None:
        if not self._look_due:
            self._look_due = True
            self._loop.call_later(PATIENCE, self._look)

    def _look(self) -> None:
        """Start threads for the jobs that wait, if those there are do not get through with theirs."""
        with self._lock:
            waiting, room = -self._free, self._size - self._threads
            hired = max(min(waiting, room), 0) if self._delivered < self._threads or not self._threads else 0
            self._threads += hired
        self._hire_more(hired)
        self._delivered, self._look_due = 0, False
        if waiting > hired and room > hired:
            self._look_soon()

    def _hire_more(self, threads: int) -> None:
        for _ in range(threads):
            if self._closed:  # nobody else will tell it to go
                self._jobs.put(None)
            self._hire()

    def _hire(self) -> None:
        """Start a thread that is counted already."""
        try:
            threading.Thread(target=self._work, name="prefectlite-worker", daemon=True).start()
        except RuntimeError as error:  # the operating system gives no more
            with self._lock:
                self._threads -= 1
                none_left = not self._threads
            _logger.warning("Tasks have to wait: %s (%s threads are there)", error, threading.active_count())
            if none_left:  # nobody else would come by
                self._call_loop(self._loop.call_later, 1.0, self._look)

    def _work(self) -> None:
        _here.pool = self
        lost = False
        while not lost:
            with self._lock:
                self._free += 1
            job = self._jobs.get()
            if job is None:
                with self._lock:
                    self._free -= 1
                return
            try:
                lost = self._execute(job)
            except Interrupted:  # it came just after the user's code had ended
                lost = True
            job.inside = False
            del job  # an idle worker keeps nothing alive

    def _execute(self, job: Job) -> bool:
        """Whether the job was abandoned while it ran, so that this thread has been replaced."""
        result, error = None, None
        with job.lock:
            if job.result.cancelled():
                return False
            job.thread, job.inside = threading.get_ident(), True
        _here.job = job
        if job.begun is not None:
            self._call_loop(_set, job.begun)
        try:
            result = job.work()
        except BaseException as raised:
            error = raised
        _here.job = None
        with job.lock:
            job.inside = False
        if job.lost:
            return True
        self._finished.append((job, result, error))
        if not self._delivery_due:
            self._delivery_due = True
            self._call_loop(self._deliver)
        return False

    def _interrupt(self, job: Job, again: float = 0.001) -> None:
        """Raise Interrupted in the job's thread once it is in the user's code; again if that was lost in a `__del__`."""
        with job.lock:
            if not job.inside:
                return
            if interrupt(job.thread, ThreadPool._execute.__code__):
                again = max(again, AGAIN)
        self._loop.call_later(again, self._interrupt, job, min(2 * again, STUCK))

    def _call_loop(self, callback: Callable[..., Any], *args: Any) -> None:
        with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
            self._loop.call_soon_threadsafe(callback, *args)

    def _deliver(self) -> None:
        self._delivery_due = False
        while self._finished:
            job, result, error = self._finished.popleft()
            self._delivered += 1
            if job.result.done():
                continue
            if error is None:
                job.result.set_result(result)
            elif isinstance(error, StopIteration):  # a future cannot hold one
                job.result.set_exception(RuntimeError(f"the function raised {error!r}"))
            else:
                job.result.set_exception(error)


class OwnThread(ThreadPool):
    """One thread that executes its jobs one after another, in their order: for objects that may only be used by one thread.

    It also keeps waiting where a job waits for a flow that it runs. If a job is abandoned, another thread takes over.
    """

    def __init__(self) -> None:
        super().__init__(1)

    def resize(self, change: int) -> None:
        """Nothing: a second thread would not be the one."""


def _report(job: Job, stuck: Callable[[], None]) -> None:
    if job.inside:
        stuck()


def _nothing() -> None:
    """What a job that was dropped does."""


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
