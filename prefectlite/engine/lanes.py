"""Lanes: how many units of a run execute at once, by kind and by task."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager

from prefectlite.engine.units import Unit
from prefectlite.language.executor import Executor
from prefectlite.language.task import Task

#: Plain tasks in their lane for each thread: while some execute, others are prepared, or written down. More than that would
#: only be more objects at once.
AHEAD = 4


class Lane:
    """Units that are ready, the newest first, of which at most `size` execute at once.

    A lane within another one takes a place there, too.
    """

    __slots__ = ("above", "free", "ready", "returning")

    def __init__(self, size: int, above: Lane | None = None) -> None:
        self.free, self.above = size, above
        self.ready: deque[Unit] = deque()
        self.returning: deque[asyncio.Future[None]] = deque()  # those that gave up their place to wait, and want one again

    def take(self) -> Unit | None:
        """The next unit, which has a place from now on; None where none is ready, or no place is free.

        Those that come back go first.
        """
        while self.returning and self._has_place():
            back = self.returning.popleft()
            if not back.done():
                self.move(-1)
                back.set_result(None)
        if not self.ready or not self._has_place():
            return None
        self.move(-1)
        return self.ready.pop()

    async def take_back(self) -> None:
        """Return with a place, once one is free. Cancelled, it has one, too: who ends gives one up, however it ends."""
        if self._has_place() and not self.returning:
            self.move(-1)
            return
        back: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.returning.append(back)
        try:
            await back
        except asyncio.CancelledError:
            if back.cancelled():
                self.move(-1)
            raise

    @asynccontextmanager
    async def given_up(self, fill: Callable[[], None], ready: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """`fill` gives the place away for this block, at whose end it is taken back once `ready` has returned."""
        self.move(1)
        fill()
        try:
            yield
            await ready()
        except BaseException:
            self.move(-1)  # it only ends, and gives it up as all do
            raise
        await self.take_back()

    def _has_place(self) -> bool:
        return self.free > 0 and (self.above is None or self.above.free > 0)

    def move(self, change: int) -> None:
        """So many places more, or fewer, are free."""
        self.free += change
        if self.above is not None:
            self.above.free += change


class Lanes:
    """The lanes of one run.

    `executor` (a description from `prefectlite.executors`) says how many plain-function tasks and how many coroutines
    execute at once. Where it does not there are so many coroutines, and some more plain tasks than there are threads. A task
    with an `executor` of its own has a lane of its own.
    """

    def __init__(self, executor: Executor | None, *, coroutines: int, threads: int) -> None:
        workers, wanted = (executor.workers, executor.coroutines) if executor is not None else (None, None)
        self._plain = Lane(workers or threads * AHEAD)
        together = executor is not None and executor.one_by_one
        self._async = self._plain if together else Lane(wanted or coroutines)
        self._own: dict[Task, Lane] = {}
        self._all = [self._plain] if together else [self._async, self._plain]

    def add(self, units: Iterable[Unit]) -> None:
        """Units that wait for nothing but a place; of those added together the last is the first to get one."""
        for unit in units:
            self.of(unit).ready.append(unit)

    def of(self, unit: Unit) -> Lane:
        """The lane in which `unit` executes."""
        task = unit.node.task
        general = self._async if task.is_async else self._plain
        if task.executor is None:
            return general
        if task not in self._own:
            size = task.executor.coroutines or task.executor.workers if task.is_async else task.executor.workers
            self._own[task] = general if size is None else Lane(size, general)
            if size is not None:
                self._all.append(self._own[task])
        return self._own[task]

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._all)
