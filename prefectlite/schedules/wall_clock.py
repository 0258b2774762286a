"""What the clock on the wall shows, and when: at a change of the clocks a time may be skipped, or come twice.

A meaning is a function that says at which moments (in UTC) a job is due whose time on the wall this is.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo

Meaning = Callable[[datetime, tzinfo], tuple[datetime, ...]]
_DAY, _SECOND = timedelta(days=1), timedelta(seconds=1)


def every_pass(wall: datetime, zone: tzinfo) -> tuple[datetime, ...]:
    """Whenever the wall clock shows this: never if it is skipped, twice if it comes twice."""
    before, after = _readings(wall, zone)
    if before > after:
        return ()
    return (before,) if before == after else (before, after)


def right_after_the_change(wall: datetime, zone: tzinfo) -> tuple[datetime, ...]:
    """Once: the first time that the wall clock shows this; if it is skipped, at the moment when the clock is moved."""
    before, after = _readings(wall, zone)
    return (_change(after, before, zone) if before > after else before,)


def first_pass(wall: datetime, zone: tzinfo) -> tuple[datetime, ...]:
    """Once: the first time that the wall clock shows this; if it is skipped, as much later as the clock is moved."""
    return (_readings(wall, zone)[0],)


def later_pass(wall: datetime, zone: tzinfo) -> tuple[datetime, ...]:
    """Once: the last time that the wall clock shows this; if it is skipped, as much later as the clock is moved."""
    return (max(_readings(wall, zone)),)


def moments(walls: Iterable[datetime], zone: tzinfo, meaning: Meaning) -> Iterator[datetime]:
    """The moments, in UTC and in order, none twice, that are meant by `walls`, which ascend and have no zone.

    Times on the wall that are skipped, or come twice, may be due after later ones, and wait for them here.
    """
    waiting: list[datetime] = []
    last = None
    for wall in walls:
        for moment in meaning(wall, zone):
            heapq.heappush(waiting, moment)
        nothing_earlier_comes = min(_readings(wall, zone))
        while waiting and waiting[0] <= nothing_earlier_comes:
            moment = heapq.heappop(waiting)
            if moment != last:
                yield moment
            last = moment
    while waiting:
        moment = heapq.heappop(waiting)
        if moment != last:
            yield moment
        last = moment


def wall_before(moment: datetime, zone: tzinfo) -> datetime:
    """A time on the wall before which none is due after `moment`: what is shown then, or near a change an earlier one."""
    local = moment.astimezone(zone)
    around = [_offset(moment + days * _DAY, zone) for days in (-1, 0, 1)]
    return local.replace(tzinfo=None, fold=0) - (max(around) - min(around))


def _readings(wall: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    """When the wall clock shows this if it goes as it does before a change, and as after it; mostly there is no change."""
    before, after = zone.utcoffset(wall), zone.utcoffset(wall.replace(fold=1))
    assert before is not None
    assert after is not None
    instant = wall.replace(tzinfo=UTC)
    return instant - before, instant - after


def _change(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """The first second of the new offset, which holds at `after` and not at `before`."""
    new = _offset(after, zone)
    low, high = 0, (after - before) // _SECOND
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(before + middle * _SECOND, zone) == new:
            high = middle
        else:
            low = middle
    return before + high * _SECOND


def _offset(moment: datetime, zone: tzinfo) -> timedelta:
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None
    return offset
