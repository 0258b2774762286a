"""An event loop in virtual time that chooses by a seed which of the things that are ready happens next."""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any

from prefectlite.clock import Clock

#: Whose code this is; None: nobody's, such as what a wire carries, or the world does.
current_machine: ContextVar[Machine | None] = ContextVar("simulated_machine", default=None)
#: More than this never is a run that goes on.
MOST_STEPS = 400_000
BEGINNING = datetime(2030, 1, 1, tzinfo=UTC)


class NeverEnds(AssertionError):
    """A simulation takes more steps than any that is sound, or waits for what cannot come."""


class Machine:
    """Whose steps the loop can stop taking: for a while, or for ever."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_dead = False
        self.is_stalled = False
        self.held: list[asyncio.Handle] = []  # what was ready meanwhile


class SimulatedTask(asyncio.Task[Any]):
    """A task with a hash that is the same every time, so that sets of tasks have the same order every time."""

    number = 0

    def __hash__(self) -> int:
        return self.number


class SimulatedLoop(asyncio.BaseEventLoop):
    """Takes one step at a time, chosen at random among the ready ones; jumps in time when there is none.

    What was scheduled in the context of a `Machine` that is dead never happens; of one that is stalled, it waits.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        # The default, 1e-9, is less than what a float of this size can tell apart: a timer would be due for ever.
        self._clock_resolution = 1e-6
        self.dice = random.Random(seed)
        self.steps = 0
        self.errors: list[dict[str, Any]] = []
        self._now = 0.0
        self._ready: list[asyncio.Handle] = []
        self._scheduled: list[asyncio.TimerHandle]
        self._unfinished: dict[int, SimulatedTask] = {}  # nothing is collected behind our back, whosever it was
        self._made = 0
        self.set_task_factory(self._make_task)  # type: ignore[arg-type]

    def time(self) -> float:
        return self._now

    def wake(self, machine: Machine) -> None:
        """A stalled machine goes on."""
        machine.is_stalled = False
        self._ready.extend(machine.held)
        machine.held = []

    def unfinished(self) -> list[SimulatedTask]:
        """The tasks that have not ended, whosever they are."""
        return [task for task in self._unfinished.values() if not task.done()]

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """What `func` returns, called here and now: there is one thread only."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(context)

    def _make_task(self, loop: SimulatedLoop, work: Coroutine[Any, Any, Any], **options: Any) -> SimulatedTask:
        task = SimulatedTask(work, loop=loop, **options)
        self._made += 1
        task.number = self._made
        self._unfinished[task.number] = task
        task.add_done_callback(self._forget, context=_NOBODY)
        return task

    def _forget(self, task: Any) -> None:
        self._unfinished.pop(task.number, None)

    def _run_once(self) -> None:
        handle = self._next()
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise NeverEnds(f"{MOST_STEPS:,} steps were taken, and there is no end to it")
        if not handle._cancelled:
            self._now += 2e-5 if self.dice.random() < 0.998 else self.dice.random() * 0.05  # some steps are slow
            handle._run()

    def _next(self) -> asyncio.Handle:
        """The next thing that happens, once its time has come."""
        ready, scheduled = self._ready, self._scheduled
        while True:
            due = self._now + self._clock_resolution
            while scheduled and (scheduled[0]._when <= due or scheduled[0]._cancelled):
                timer = heapq.heappop(scheduled)
                timer._scheduled = False
                if not timer._cancelled:
                    ready.append(timer)
            while ready:
                place = int(self.dice.random() * len(ready))
                ready[place], ready[-1] = ready[-1], ready[place]
                handle = ready.pop()
                machine: Machine | None = handle._context.get(current_machine)
                if machine is None or not (machine.is_dead or machine.is_stalled):
                    return handle
                machine.held.append(handle)
            if not scheduled:
                raise NeverEnds("everybody waits, and nothing will happen any more")
            self._now = max(self._now, scheduled[0]._when)

    def _write_to_self(self) -> None:
        """Nothing: there is no other thread that could wake this one."""


class SimulatedClock(Clock):
    """The clock of a loop: the wall's and the monotonic one in one."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        return BEGINNING + timedelta(seconds=self._loop.time())

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0))


_NOBODY = Context()
