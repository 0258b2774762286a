"""A clock that stands still while something works, and jumps to the next moment that matters when nothing does."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from prefectlite.clock import Clock, replaced_clock
from prefectlite.workload import Work, Workload, active_work


class VirtualClock(Clock):
    """A clock for tests: waiting takes no time on it.

    It begins at `start` (now, if not given) and stands still while any task, state handler or database call of a run under
    it is at work, in a coroutine, a thread or a process. When all that is left to do waits (for a retry, the end of a pause,
    the next moment of a schedule), it jumps to the first moment that something waits for. So what happens when is the same
    every time.

    The engine goes by it; `asyncio.sleep`, `time.sleep` and the timeouts of tasks are the machine's own, as ever.
    """

    #: Turns of the loop before each jump, so that all who were woken before are at work again.
    turns = 20
    #: The machine's seconds before each jump where services beside the runs wait, too: nothing tells when they are at work.
    service_time = 0.005
    longest_sleep = math.inf  # nobody moves it behind the back of those who sleep

    def __init__(self, start: datetime | None = None) -> None:
        start = start or datetime.now(UTC)
        self.start = start if start.tzinfo is not None else start.replace(tzinfo=UTC)
        self.workload = Workload(self._idle)
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, _Sleeper]] = []
        self._numbers = itertools.count()
        self._lock = threading.RLock()
        self._jump_due: asyncio.AbstractEventLoop | None = None  # where a jump is about to be made

    @property
    def elapsed(self) -> float:
        """Seconds since `start`."""
        return self._elapsed

    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""
        return (self.start + timedelta(seconds=self._elapsed)).astimezone(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._elapsed

    def advance(self, seconds: float) -> None:
        """Let time pass by hand: everything that is due until then goes on, in order."""
        self._go_to(self._elapsed + seconds)

    @contextmanager
    def holding(self) -> Iterator[None]:
        """In this block it stands still, whatever waits: for a test that prepares something, or works beside its runs."""
        work = Work(self.workload)
        try:
            yield
        finally:
            work.end()

    async def sleep(self, seconds: float) -> None:
        """Return when `seconds` have passed on this clock (at once, but not before the loop had a turn, for none)."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        sleeper = _Sleeper()
        with self._lock:
            heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._numbers), sleeper))
        self._idle()
        try:
            await sleeper.waking
        finally:
            sleeper.go_on()

    def _idle(self) -> None:
        """Jump soon, if there is still nothing that works then. From any thread."""
        with self._lock:
            if self._jump_due is not None and not self._jump_due.is_closed():
                return
            if self._first_due() is not None and self.workload.is_idle:
                self._jump_due = loop = self._sleepers[0][2].loop
                loop.call_soon_threadsafe(self._jump_soon)

    def _jump_soon(self) -> None:
        if all(sleeper.is_work for _, _, sleeper in self._sleepers):
            self._after_turns(self.turns)
        else:
            asyncio.get_running_loop().call_later(self.service_time, self._after_turns, self.turns)

    def _after_turns(self, turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._after_turns, turns - 1)
        else:
            self._jump()

    def _jump(self) -> None:
        with self._lock:
            self._jump_due = None
            due = self._first_due()
            if due is not None and self.workload.is_idle:
                self._go_to(due)
                self._idle()  # it may be that those who were woken begin no work, and sleep no more

    def _first_due(self) -> float | None:
        while self._sleepers and self._sleepers[0][2].is_gone:
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def _go_to(self, moment: float) -> None:
        with self._lock:
            while self._sleepers and self._sleepers[0][0] <= moment:
                due, _, sleeper = heapq.heappop(self._sleepers)
                self._elapsed = max(self._elapsed, due)
                sleeper.wake()
            self._elapsed = max(self._elapsed, moment)


class _Sleeper:
    """Somebody who sleeps, on the running loop; the work it is part of waits meanwhile."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.waking: asyncio.Future[None] = self.loop.create_future()
        self._work: Work | None = active_work.get()
        if self._work is not None:
            self._work.wait()

    @property
    def is_gone(self) -> bool:
        """Whether nobody sleeps here any more."""
        return self.waking.done() or self.loop.is_closed()

    @property
    def is_work(self) -> bool:
        """Whether it is part of some work; otherwise it is a service, or a test."""
        return self._work is not None or self.is_gone

    def wake(self) -> None:
        """It is at work from this moment on, not only when the loop comes by."""
        if self.is_gone:
            return
        self.go_on()
        if asyncio._get_running_loop() is self.loop:
            self._awake()
        else:
            self.loop.call_soon_threadsafe(self._awake)

    def go_on(self) -> None:
        """The work goes on."""
        work, self._work = self._work, None
        if work is not None:
            work.go_on()

    def _awake(self) -> None:
        if not self.waking.done():
            self.waking.set_result(None)


@contextmanager
def virtual_clock(start: datetime | None = None) -> Iterator[VirtualClock]:
    """In this block, runs in this process go by a VirtualClock that begins at `start`, or now."""
    clock = VirtualClock(start)
    with replaced_clock(clock):
        yield clock
