"""When a service looks again: when it is told to, or at a moment of the session's clock."""

from __future__ import annotations

import asyncio

from prefectlite.clock import Clock, from_micros, sleep_until

#: Seconds for which a timer is trusted at most: a wall clock may be set.
LONGEST_SLEEP = 1.0


class Alarm:
    """Rings at a moment, or when somebody rings it; set to none, it costs nothing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = asyncio.Event()
        self.moment: int | None = None  # in microseconds

    def ring(self) -> None:
        """Let who waits go on."""
        self._rung.set()

    def earlier(self, moment: int) -> None:
        """Ring at `moment`, if it is before the one that is set."""
        if self.moment is None or moment < self.moment:
            self.moment = moment
            self.ring()

    async def wait(self) -> None:
        """Return when it rings; at once if it was rung since the last time."""
        waiting = {asyncio.ensure_future(self._rung.wait())}
        if self.moment is not None:
            timer = sleep_until(self._clock, from_micros(self.moment), LONGEST_SLEEP)
            waiting.add(asyncio.ensure_future(timer))  # type: ignore[arg-type]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()
        self._rung.clear()
