"""Adjustments: functions that move a moment that a schedule has kept.

Any function from a datetime to an aware datetime is one; these here can be given to a server, too.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from prefectlite.schedules.moment_function import MomentFunction
from prefectlite.schedules.zones import aware, plus

Adjustment = Callable[[datetime], datetime]


def add(interval: timedelta) -> Adjustment:
    """Moves by `interval`: whole days by the calendar and the clock on the wall, what is left as time elapsed."""
    if not isinstance(interval, timedelta):
        raise TypeError(f"add: interval should be a timedelta, not {interval!r}")
    duration = timedelta(interval.days, interval.seconds, interval.microseconds)
    return MomentFunction(add, lambda at: plus(aware(at, "add: the moment"), duration), interval=duration)


def next_weekday(dt: datetime) -> datetime:
    """Moves Saturdays and Sundays to the Monday after, at the same time."""
    return plus(aware(dt, "next_weekday: dt"), timedelta(days=7 - dt.weekday() if dt.weekday() >= 5 else 0))


PLAIN = {"next_weekday": next_weekday}
MAKERS: dict[str, Callable[..., Adjustment]] = {"add": add}
