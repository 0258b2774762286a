"""`python -m tests.scenarios.fast_time`: the command line under a clock that is many times as fast as the machine's.

`FAST_TIME_FACTOR` says how many times, `FAST_TIME_ORIGIN` at which of the machine's microseconds it was `BEGAN` on it: all
who are given the same two go by the same clock.
"""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, datetime

from prefectlite.cli import main
from prefectlite.clock import Clock, from_micros, replaced_clock, to_micros

#: What all such clocks show at their origin.
BEGAN = to_micros(datetime(2024, 3, 1, 12, tzinfo=UTC))


class FastClock(Clock):
    """A clock `factor` times as fast as the machine's."""

    def __init__(self, factor: int, origin: int) -> None:
        self.factor, self.origin = factor, origin

    def micros(self) -> int:
        return BEGAN + (time.time_ns() // 1000 - self.origin) * self.factor

    def now(self) -> datetime:
        return from_micros(self.micros())

    def monotonic(self) -> float:
        return time.monotonic() * self.factor

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0) / self.factor)

    @property
    def environ(self) -> dict[str, str]:
        """What makes another process go by it."""
        return {"FAST_TIME_FACTOR": str(self.factor), "FAST_TIME_ORIGIN": str(self.origin)}


if __name__ == "__main__":
    with replaced_clock(FastClock(int(os.environ["FAST_TIME_FACTOR"]), int(os.environ["FAST_TIME_ORIGIN"]))):
        main()
