"""What is being worked at under a clock that jumps: it may do so only while all of it waits for time, or for people.

Under the machine's clocks nothing of this is kept: `active_work` is None, and everything here does nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from prefectlite.clock import Clock


class Workload:
    """All the work under one clock, which has it as its attribute `workload`; `on_idle` is called when all of it waits.

    From any thread, both the calls here and the call of `on_idle`.
    """

    def __init__(self, on_idle: Callable[[], None]) -> None:
        self._on_idle = on_idle
        self._busy = 0
        self.lock = threading.Lock()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being worked at."""
        return not self._busy

    def change(self, busy: int) -> None:
        """So many pieces of work more, or fewer, are busy."""
        with self.lock:
            self._busy += busy
            idle = not self._busy
        if idle:
            self._on_idle()


class Work:
    """One piece of work, busy from now on until it ends, except while it waits."""

    def __init__(self, load: Workload) -> None:
        self.load = load
        self._waiting = 0  # more than once at a time: for its time to come, inside a wait for whatever comes first
        self._ended = False
        load.change(1)

    def wait(self) -> None:
        """It begins to wait."""
        self._count(1, -1, 1)

    def go_on(self) -> None:
        """It has waited."""
        self._count(-1, 1, 0)

    def end(self) -> None:
        """It has ended; again, and whatever is said of it afterwards, is nothing."""
        with self.load.lock:
            was_busy, self._ended = not self._ended and not self._waiting, True
        if was_busy:
            self.load.change(-1)

    def _count(self, waiting: int, busy: int, at: int) -> None:
        with self.load.lock:
            self._waiting += waiting
            changed = self._waiting == at and not self._ended
        if changed:
            self.load.change(busy)


_NOTHING = nullcontext()
#: The work this code is part of.
active_work: ContextVar[Work | None] = ContextVar("prefectlite_work", default=None)


def begin_work(clock: Clock) -> Work | None:
    """Work under `clock`, which code in this context is part of from here on. Who begins it has to end it."""
    load: Workload | None = getattr(clock, "workload", None)
    work = None if load is None else Work(load)
    active_work.set(work)
    return work


def idle() -> AbstractContextManager[None]:
    """Around waiting for what time, a person or other work brings about."""
    work = active_work.get()
    return _NOTHING if work is None else _waiting(work)


@contextmanager
def _waiting(work: Work) -> Iterator[None]:
    work.wait()
    try:
        yield
    finally:
        work.go_on()


def idle_until(outcome: Future[Any]) -> None:
    """From now on this work waits, until `outcome` is there: not later, when whoever waits for it is awake again."""
    work = active_work.get()
    if work is not None:
        work.wait()
        outcome.add_done_callback(lambda _: work.go_on())
