"""The concurrency queue: what waits in this process for a slot of a concurrency limit.

The record knows who waits for how long, and the door decides who is next. Here it is only known whom to wake: of those that
need the same slots, the first one, which asks again. When it has got its slot, the next one is woken.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType

from prefectlite.clock import Clock, from_micros, sleep_until
from prefectlite.kept import kept
from prefectlite.rules.slots import Limit

#: Seconds after which it is looked whether a slot is free: what another process does may go unheard.
LOOK_AGAIN = 3.0
Key = tuple[str, ...]
_logger = logging.getLogger("prefectlite")


class Queue:
    """Lives on one event loop. `look` returns when something may have happened that nobody told of."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: Tags and labels that are limited, as far as is known here.
        self.tags: frozenset[str] = frozenset()
        self.labels: frozenset[str] = frozenset()
        self.look: Callable[[], Awaitable[object]] = _some_seconds
        self.stirs = 0
        self._asking: Counter[Key] = Counter()  # woken ones that have no answer yet: the next is woken after them
        self._again: set[Key] = set()  # of which somebody asks, though something has happened since
        self._waiting: dict[Key, list[tuple[int, asyncio.Future[None]]]] = {}
        self._numbers = itertools.count()
        self._stirred = asyncio.Event()
        self._listeners = 0
        self._watch: asyncio.Task[None] | None = None
        self._alarm: asyncio.Task[None] | None = None
        self._due: int | None = None

    def place(self, kind: str, names: Iterable[str]) -> Place:
        """A place for one that needs slots of these names; it is taken when it first waits."""
        return Place(self, (kind, *sorted(names)), next(self._numbers))

    def know(self, tags: Iterable[Limit], labels: Iterable[Limit]) -> None:
        """These are the limits now, which may have been others: those that wait try again."""
        self.tags = frozenset(limit.name for limit in tags)
        self.labels = frozenset(limit.name for limit in labels)
        self.stir()

    def stir(self) -> None:
        """A slot may be free: wake who is next."""
        self.stirs += 1
        self._stirred.set()
        self._stirred = asyncio.Event()
        for key in list(self._waiting):
            self._wake_next(key)

    async def news(self, seen: int) -> int:
        """How often it was stirred, as soon as that is not `seen`, or after some seconds: for a queue in another process."""
        self._listeners += 1
        self._watch_out()
        try:
            async with asyncio.timeout(LOOK_AGAIN):
                while self.stirs == seen:
                    await self._stirred.wait()
        except TimeoutError:
            pass
        finally:
            self._listeners -= 1
        return self.stirs

    def close(self) -> None:
        """Wake nobody any more."""
        for task in (self._watch, self._alarm):
            if task is not None:
                task.cancel()

    def _enter(self, place: Place, waking: asyncio.Future[None], seen: int, until: int | None) -> None:
        key = place.key
        heapq.heappush(self._waiting.setdefault(key, []), (place.number, waking))
        self._watch_out()
        if until is not None and (self._due is None or until < self._due):
            if self._alarm is not None:
                self._alarm.cancel()
            self._due, self._alarm = until, _beside(self._stir_at(until))
        if self.stirs != seen or key in self._again:  # between the question and now
            self._wake_next(key)

    def _wake_next(self, key: Key) -> None:
        # One after the other: of a thousand that wait all would ask for the one slot that somebody gave back.
        if self._asking[key]:
            self._again.add(key)
        else:
            self._again.discard(key)
            self._wake(key)

    def _answered(self, key: Key) -> None:
        self._asking[key] -= 1
        if self._asking[key] <= 0:
            del self._asking[key]

    def _wake(self, key: Key) -> None:
        places = self._waiting[key]
        while places:
            _, waking = heapq.heappop(places)
            if not waking.done():
                waking.set_result(None)
                self._asking[key] += 1
                break
        if not places:
            del self._waiting[key]

    def _watch_out(self) -> None:
        if self._watch is None or self._watch.done():
            self._watch = _beside(self._keep_looking())

    async def _keep_looking(self) -> None:
        while self._waiting or self._listeners:
            try:
                await self.look()
            except Exception as error:  # the next look may be better
                _logger.warning("whether a slot of a concurrency limit is free could not be found out: %s", error)
                await asyncio.sleep(LOOK_AGAIN)
            self._asking.clear()  # who has no answer for so long keeps nobody from asking
            self.stir()

    async def _stir_at(self, moment: int) -> None:
        await sleep_until(self._clock, from_micros(moment))
        self._due = None
        self.stir()


class Place:
    """A place in the queue; leaving it, its owner lets the next one try."""

    def __init__(self, queue: Queue, key: Key, number: int) -> None:
        self._queue, self.key, self.number = queue, key, number
        self._waking: asyncio.Future[None] | None = None
        self._is_asking = False

    async def turn(self, seen: int, until: int | None) -> None:
        """Return when it is worth asking again: `seen` is the queue's `stirs` before it was last asked."""
        self._has_answer()
        self._waking = asyncio.get_running_loop().create_future()
        self._queue._enter(self, self._waking, seen, until)
        try:
            await self._waking
        finally:
            self._is_asking = self._waking.done() and not self._waking.cancelled()
            self._waking.cancel()

    def wake(self) -> None:
        """Let it ask now."""
        if self._waking is not None and not self._waking.done():
            self._queue._asking[self.key] += 1
            self._waking.set_result(None)

    def _has_answer(self) -> None:
        if self._is_asking:
            self._is_asking = False
            self._queue._answered(self.key)

    def __enter__(self) -> Place:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._has_answer()
        if self._waking is not None:
            self._queue.stir()


def _beside(work: Awaitable[None]) -> asyncio.Task[None]:
    """A task that belongs to no run."""

    async def run() -> None:
        await work

    return kept(asyncio.get_running_loop().create_task(run(), context=contextvars.Context()))


async def _some_seconds() -> None:
    await asyncio.sleep(LOOK_AGAIN)
