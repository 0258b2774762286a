"""Every change of the clocks of 2024 to 2034 in fourteen zones, and what cron does then, minute by minute."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

ZONES = """
Europe/Berlin Europe/London America/New_York America/Los_Angeles America/Santiago America/St_Johns Australia/Lord_Howe
Australia/Sydney Pacific/Auckland Asia/Tehran Africa/Casablanca America/Havana Asia/Beirut America/Sao_Paulo
""".split()
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
FIRST, LAST = datetime(2024, 1, 1, tzinfo=UTC), datetime(2035, 1, 1, tzinfo=UTC)


class Change(NamedTuple):
    """The first moment, in UTC, at which another offset holds."""

    zone: ZoneInfo
    moment: datetime

    def __repr__(self) -> str:
        return f"{self.zone.key} {self.moment:%Y-%m-%d %H:%M}Z"


@functools.cache
def changes() -> list[Change]:
    return [Change(zone, moment) for zone in map(ZoneInfo, ZONES) for moment in _changes_of(zone)]


def _changes_of(zone: ZoneInfo) -> Iterator[datetime]:
    day = FIRST
    while day < LAST:
        if day.astimezone(zone).utcoffset() != (day + DAY).astimezone(zone).utcoffset():
            yield next(
                minute
                for minute in (day + count * MINUTE for count in range(1441))
                if minute.astimezone(zone).utcoffset() != day.astimezone(zone).utcoffset()
            )
        day += DAY


class Expression(NamedTuple):
    """Minute, hour and day of the week as they are written: `*`, `*/n`, numbers, ranges, lists."""

    minute: str
    hour: str
    weekday: str = "*"

    def __str__(self) -> str:
        return f"{self.minute} {self.hour} * * {self.weekday}"

    @property
    def is_fixed(self) -> bool:
        return not (self.minute.startswith("*") or self.hour.startswith("*"))

    @property
    def values(self) -> tuple[frozenset[int], frozenset[int], frozenset[int]]:
        return _values(self.minute, 60), _values(self.hour, 24), _values(self.weekday, 7)


@functools.cache
def _values(field: str, count: int) -> frozenset[int]:
    values: set[int] = set()
    for term in field.split(","):
        bounds, _, step = term.partition("/")
        first, _, last = bounds.partition("-")
        if first == "*":
            first, last = "0", str(count - 1)
        values.update(range(int(first), int(last or first) + 1, int(step or 1)))
    return frozenset(values)


def minutes(change: Change, before: timedelta, after: timedelta) -> list[tuple[datetime, datetime]]:
    """Each minute around the change: in UTC, and as the clock on the wall shows it."""
    start = change.moment - before
    walk = (start + count * MINUTE for count in range((before + after) // MINUTE))
    return [(moment, moment.astimezone(change.zone).replace(tzinfo=None, fold=0)) for moment in walk]


def debian_cron(expression: Expression, walk: list[tuple[datetime, datetime]]) -> list[datetime]:
    """When Debian's cron, woken every minute, runs the job.

    It remembers which time on the wall comes next for jobs at fixed times. When the clock is moved forward, it runs at once
    what those would have been due at in between; when it is moved back, they wait until the clock has caught up. Other jobs
    go by what the clock shows.
    """
    (minute, hour, weekday), fixed = expression.values, expression.is_fixed
    runs = []
    expected = walk[0][1]
    for moment, wall in walk:
        if not fixed or wall == expected:
            due = [wall]
        else:  # none while the clock has not caught up
            due = [expected + count * MINUTE for count in range((wall - expected) // MINUTE + 1)]
        expected = max(expected, wall + MINUTE)
        if any(w.minute in minute and w.hour in hour and w.isoweekday() % 7 in weekday for w in due):
            runs.append(moment)
    return runs


def prefect_cron(expression: Expression, walk: list[tuple[datetime, datetime]]) -> list[datetime]:
    """When Prefect 1 has events: once per time on the wall, the last time that it is shown; later if it is skipped."""
    minute, hour, weekday = expression.values
    shown = {wall: moment for moment, wall in walk}
    moments = set()
    wall, last = walk[0][1], None
    while wall <= walk[-1][1]:
        last = shown.get(wall, last + MINUTE if last else None)
        if wall.minute in minute and wall.hour in hour and wall.isoweekday() % 7 in weekday:
            moments.add(last)
        wall += MINUTE
    return sorted(moment for moment in moments if moment is not None)
