"""Worker threads for plain functions."""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any

#: Threads that are started without waiting whether they are needed.
EAGER = 4
#: Seconds after which jobs that wait are looked at.
PATIENCE = 0.005


_here = threading.local()


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


class Interrupted(BaseException):
    """Raised inside a job that was abandoned, at its next Python instruction."""


class Job:
    """One function on its way through the pool. `result` is its outcome; `begun`, if asked for, when a worker took it."""

    __slots__ = ("begun", "inside", "lock", "lost", "result", "stop", "thread", "work")

    def __init__(self, work: Callable[[], Any], result: asyncio.Future[Any], begun: asyncio.Future[None] | None) -> None:
        self.work, self.result, self.begun = work, result, begun
        self.lock = threading.Lock()
        self.thread = 0
        self.inside = False
        self.lost = False
        self.stop: Callable[[], None] | None = None  # ends what the job waits for


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
        self._lock = threading.Lock()

    def submit(self, work: Callable[[], Any], *, tell_begin: bool = False) -> Job:
        """A job whose `result` future gets what `work()` returns or raises on a worker thread."""
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
        elif waits and not self._look_due:
            self._look_due = True
            self._loop.call_later(PATIENCE, self._look)
        return job

    def abandon(self, job: Job) -> None:
        """Wait for `job` no longer: drop it if no worker took it, else interrupt it and let another worker take its place.

        Python can interrupt a thread between two of its instructions only; one that is stuck in C goes on until it returns.
        """
        job.result.cancel()
        with job.lock:
            if not job.inside or job.lost:
                return
            job.lost = True
            if job.stop is not None:
                job.stop()
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(job.thread), ctypes.py_object(Interrupted))
        self._hire()

    def resize(self, change: int) -> None:
        """Allow so many more threads, or fewer; from any thread. Threads that are there stay."""
        with self._lock:
            self._size += change
            hire = self._free < 0 and self._threads < self._size
            if hire:
                self._threads += 1
        if hire:
            self._hire()

    def close(self) -> None:
        """Let the workers go, each after the job it is at."""
        for _ in range(self._threads):
            self._jobs.put(None)

    def _look(self) -> None:
        """Start threads for the jobs that wait, if those there are do not get through with theirs."""
        with self._lock:
            waiting, room = -self._free, self._size - self._threads
            hired = max(min(waiting, room), 0) if self._delivered < self._threads else 0
            self._threads += hired
        for _ in range(hired):
            self._hire()
        self._delivered = 0
        self._look_due = waiting > hired and room > hired
        if self._look_due:
            self._loop.call_later(PATIENCE, self._look)

    def _hire(self) -> None:
        threading.Thread(target=self._work, name="prefectlite-worker", daemon=True).start()

    def _work(self) -> None:
        _here.pool = self
        lost = False
        while not lost:
            with self._lock:
                self._free += 1
            job = self._jobs.get()
            if job is None:
                return
            try:
                lost = self._execute(job)
            except Interrupted:  # it came just after the user's code had ended
                lost = True
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

    def _call_loop(self, callback: Callable[..., None], *args: Any) -> None:
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


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
