"""Recurrence rules of dateutil, walked within bounds: a rule may begin long ago, or never match."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from dateutil.rrule import DAILY, HOURLY, MINUTELY, SECONDLY, WEEKLY, rrule, rruleset

from prefectlite.errors import ScheduleError
from prefectlite.schedules.zones import aware

#: How many recurrences a rule may be limited to: they are counted from its beginning, each time.
MOST_COUNTED = 100_000
_MOST_WALKED, _MOST_EXCLUDED = 1_000_000, 10_000
_STEPS = {
    WEEKLY: timedelta(weeks=1),
    DAILY: timedelta(days=1),
    HOURLY: timedelta(hours=1),
    MINUTELY: timedelta(minutes=1),
    SECONDLY: timedelta(seconds=1),
}
_FOUR_CENTURIES = timedelta(days=146097)  # after which weekdays and leap years come again as they were
_HALF_A_CENTURY = 50


def checked(rule: Any) -> rrule | rruleset:
    """`rule`, if it is one that can be walked. Raises TypeError or ScheduleError."""
    if not isinstance(rule, rrule | rruleset):
        raise TypeError(f"rrule_obj must be an rrule or rruleset, got: {rule!r}")
    for part in _rules(rule):
        if part._interval < 1:
            raise ScheduleError(f"The interval of a recurrence rule should be 1 or more, not {part._interval}")
        if part._count is not None and part._count > MOST_COUNTED:
            raise ScheduleError(f"The count of a recurrence rule should be {MOST_COUNTED} or less, not {part._count}")
        for values, count in ((part._byhour, 24), (part._byminute, 60), (part._bysecond, 60)):
            if wrong := [value for value in values or () if not 0 <= value < count]:
                raise ScheduleError(f"A recurrence rule has times of day that do not exist: {wrong[0]}")
    return rule


def zone_of(rule: rrule | rruleset) -> tzinfo:
    """The zone whose wall clock the rule goes by: that of its first datetime; UTC if that is naive."""
    starts = [part._dtstart for part in _rules(rule)] + list(getattr(rule, "_rdate", ()))
    return _zone(starts[0]) if starts else UTC


def walls(rule: rrule | rruleset, zone: tzinfo, begin: datetime) -> Iterator[datetime]:
    """The times on the wall in `zone` that the rule names, from `begin` on, ascending.

    It ends where nothing is found for half a century or more.
    """
    if isinstance(rule, rrule):
        return _of_rule(rule, zone, begin)
    included = _together(rule._rrule, rule._rdate, zone, begin)
    return _without(included, _together(rule._exrule, rule._exdate, zone, begin))


def _rules(rule: rrule | rruleset) -> list[rrule]:
    return [rule] if isinstance(rule, rrule) else [*rule._rrule, *rule._exrule]


def _zone(moment: datetime) -> tzinfo:
    zone = aware(moment, "A recurrence rule's datetime").tzinfo
    assert zone is not None
    return zone


def _wall(moment: datetime, zone: tzinfo) -> datetime:
    plain = aware(moment, "A recurrence rule's datetime")
    return (plain if plain.tzinfo is zone else plain.astimezone(zone)).replace(tzinfo=None, fold=0)


def _of_rule(rule: rrule, zone: tzinfo, begin: datetime) -> Iterator[datetime]:
    start = _wall(rule._dtstart, zone)
    if rule._count is None and rule._freq in _STEPS:  # whole steps later it is the same rule, without all that is past
        step = _STEPS[rule._freq] * rule._interval
        start += max((begin - start) // step - 1, 0) * step
    shift = _shift(rule, max(start, begin))
    until = None if rule._until is None else _wall(rule._until, zone)
    if until is not None:
        until = until + shift if until < datetime.max - shift else None
    shifted = rule.replace(dtstart=start + shift, until=until, count=None)
    found = itertools.islice(_while_it_fits(shifted), _MOST_WALKED if rule._count is None else rule._count)
    return itertools.dropwhile(lambda wall: wall < begin, (wall - shift for wall in found))


def _while_it_fits(rule: rrule) -> Iterator[datetime]:
    try:
        yield from rule
    except ValueError:  # only now it finds out that no time of day fits its steps, as in "every 120 minutes, at one"
        return


def _shift(rule: rrule, begin: datetime) -> timedelta:
    """How far a rule is moved into the future while it is walked.

    dateutil looks for a day that fits until the year 9999, which takes ten seconds and more for a rule that has none, like
    one for the 30th of February; near the end of time it gives up soon. Easter alone does not come again after 400 years.
    """
    if rule._byeaster:
        return timedelta()
    return max((datetime.max.year - begin.year - _HALF_A_CENTURY) // 400, 0) * _FOUR_CENTURIES


def _together(rules: list[rrule], dates: list[datetime], zone: tzinfo, begin: datetime) -> Iterator[datetime]:
    single = sorted(wall for wall in (_wall(date, zone) for date in dates) if wall >= begin)
    return heapq.merge(single, *(_of_rule(rule, zone, begin) for rule in rules))


def _without(included: Iterable[datetime], excluded: Iterator[datetime]) -> Iterator[datetime]:
    """What is not excluded; it gives up when very many in a row are."""
    next_excluded, in_a_row = next(excluded, None), 0
    for wall in included:
        while next_excluded is not None and next_excluded < wall:
            next_excluded = next(excluded, None)
        in_a_row = in_a_row + 1 if wall == next_excluded else 0
        if in_a_row > _MOST_EXCLUDED:
            return
        if in_a_row == 0:
            yield wall
