"""Who is sent news when: all subscribers together take no more than a share of the event loop's time, which runs flows.

Agents, of which there are few, wait for nobody: with their news runs begin.
"""

from __future__ import annotations

import asyncio
import time

#: The part of the loop's time that may go into news while there is more of it than can be sent.
SHARE = 0.02
#: Seconds of work that may be done at once after a quiet time.
BURST = 0.01
#: Everybody's turn comes about once in so many seconds; who has more to get than fits into it gets the latest.
ROUND = 1.0
#: What waking somebody up costs, on top of what is measured.
_WAKING = 50e-6
_FEWEST = 20
_ALL = 1_000_000


class Turns:
    """One for all subscriptions of an application."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()  # those who wait are served in the order in which they came, and only one has a timer
        self._waiting = 0
        self._credit, self._at = BURST, time.perf_counter()
        self._cost = 5e-6  # of one piece of news, as measured
        self._spent = 0.0  # since that was measured

    async def mine(self) -> int:
        """Return when it is the caller's turn: how many pieces of news it may send."""
        self._waiting += 1
        try:
            async with self._lock:
                while (credit := self._now()) <= 0:  # noqa: ASYNC110 - time passes without an event
                    await asyncio.sleep(-credit / SHARE + 0.001)
                most = int(SHARE * ROUND / (self._waiting * self._cost))
        finally:
            self._waiting -= 1
        self._credit -= _WAKING
        return max(_FEWEST, most)

    def took(self, seconds: float, pieces: int = 0) -> None:
        """Say what was spent; with `pieces`, all told on sending so many.

        By the clock, not in time of the processor: while the loop sends, other threads take the interpreter, and the loop
        has to wait for it.
        """
        self._credit -= seconds
        self._spent += seconds
        if pieces:
            self._cost += (self._spent / pieces - self._cost) * min(0.5, pieces / 1_000)
            self._spent = 0.0

    def ahead(self) -> Turns:
        """Turns of those who wait for nobody; what they spend, the others have less."""
        return _Ahead(self)

    def _now(self) -> float:
        now = time.perf_counter()
        self._credit = min(BURST, self._credit + (now - self._at) * SHARE)
        self._at = now
        return self._credit


class _Ahead(Turns):
    def __init__(self, of: Turns) -> None:
        super().__init__()
        self._of = of

    async def mine(self) -> int:
        return _ALL

    def took(self, seconds: float, pieces: int = 0) -> None:
        self._of.took(seconds, pieces)
