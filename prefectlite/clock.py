"""Time, as engine and services see it, so that tests and simulations can hold it in their hands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
#: Seconds after which who sleeps looks at the wall clock again.
LONGEST_SLEEP = 60.0


class Clock(Protocol):
    """What the engine asks of time; it never asks the operating system."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""
        ...

    def micros(self) -> int:
        """The wall clock in whole microseconds since 1970 in UTC."""
        return to_micros(self.now())

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` (at once, but not before the loop had a turn, when that is not positive)."""
        ...


class SystemClock(Clock):
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def micros(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0))


#: The clock of the run this code is part of.
active_clock: ContextVar[Clock | None] = ContextVar("prefectlite_clock", default=None)
# What this process goes by where nothing else is said, the innermost last.
_process_clocks: list[Clock] = [SystemClock()]


def process_clock() -> Clock:
    """The clock that sessions of this process go by unless they are given another one."""
    return _process_clocks[-1]


@contextmanager
def replaced_clock(clock: Clock) -> Iterator[None]:
    """In this block, `clock` is the `process_clock()`."""
    _process_clocks.append(clock)
    try:
        yield
    finally:
        _process_clocks.remove(clock)


def current_time() -> datetime:
    """Now, by the clock of the run this code is part of: what states and caches made here go by."""
    return (active_clock.get() or process_clock()).now()


async def sleep_until(clock: Clock, moment: datetime, longest: float = LONGEST_SLEEP) -> None:
    """Sleep until `clock` says `moment`, in pieces of at most `longest` seconds so that a moved wall clock is noticed.

    A clock that nobody but itself moves may have a `longest_sleep` of its own.
    """
    longest = getattr(clock, "longest_sleep", longest)
    while (left := (moment - clock.now()).total_seconds()) > 0:
        await clock.sleep(min(left, longest))


def to_micros(moment: datetime) -> int:
    """`moment` as whole microseconds since 1970 in UTC, the form in which the database keeps it; naive means UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The aware UTC datetime of `micros` microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=micros)
