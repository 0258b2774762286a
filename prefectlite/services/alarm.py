"""When a service looks again: when it is told to, when there is news, or at a moment of the session's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from prefectlite.clock import Clock, from_micros, sleep_until

#: Seconds for which a timer is trusted at most: a wall clock may be set.
LONGEST_SLEEP = 1.0
#: Seconds within which all news count as one, for who does something about it, and for who only asks whether it should.
SOON, BY_AND_BY = 0.02, 1.0


class Alarm:
    """Rings at a moment, or when somebody rings it; set to none, it costs nothing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung, self._news = asyncio.Event(), asyncio.Event()
        self.moment: int | None = None  # in microseconds

    def ring(self) -> None:
        """Let who waits go on at once."""
        self._rung.set()

    def hear(self) -> None:
        """There is news: let who waits go on, but not more often than it wants to."""
        self._news.set()

    def earlier(self, moment: int) -> None:
        """Ring at `moment`, if it is before the one that is set."""
        if self.moment is None or moment < self.moment:
            self.moment = moment
            self.ring()

    async def wait(self, pause: float = 0.0) -> None:
        """Return when it rings, or there is news and `pause` seconds have gone by; at once if that was so before.

        The pause is the machine's: it is there to spare the machine.
        """
        if not pause or not await self._first(pause, self._rung.wait()):
            await self._first(None, self._rung.wait(), self._news.wait())
        self._rung.clear()
        self._news.clear()

    async def _first(self, timeout: float | None, *waits: Coroutine[Any, Any, Any]) -> bool:
        """Whether one of these, or the moment, comes within `timeout` seconds."""
        waiting = {asyncio.ensure_future(wait) for wait in waits}
        if self.moment is not None:
            timer = sleep_until(self._clock, from_micros(self.moment), LONGEST_SLEEP)
            waiting.add(asyncio.ensure_future(timer))
        try:
            done, _ = await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()
        return bool(done)
