"""Time, as engine and services see it, so that tests and simulations can hold it in their hands."""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """What the engine asks of time; it never asks the operating system."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` (at once, but not before the loop had a turn, when that is not positive)."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0))


#: The clock of the run this code is part of.
active_clock: ContextVar[Clock] = ContextVar("prefectlite_clock", default=SystemClock())  # noqa: B039 - it has no state


def current_time() -> datetime:
    """Now, by the clock of the run this code is part of: what states and caches made here go by."""
    return active_clock.get().now()


async def sleep_until(clock: Clock, moment: datetime) -> None:
    """Sleep until `clock` says `moment`, in pieces of at most a minute so that a moved wall clock is noticed."""
    while (left := (moment - clock.now()).total_seconds()) > 0:
        await clock.sleep(min(left, 60.0))


def to_micros(moment: datetime) -> int:
    """`moment` as whole microseconds since 1970 in UTC, the form in which the database keeps it; naive means UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """The aware UTC datetime of `micros` microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=micros)
