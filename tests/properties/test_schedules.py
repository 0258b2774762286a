"""Schedules across every change of the clocks, against cron's definition and plain reasoning; and their JSON."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrule
from hypothesis import given
from hypothesis import strategies as st

from prefectlite.schedules import Schedule, adjustments, event_key, filters, schedule_from
from prefectlite.schedules.clocks import Clock, CronClock, DatesClock, IntervalClock, RRuleClock
from tests.properties.clock_changes import (
    DAY,
    ZONES,
    Change,
    Expression,
    changes,
    debian_cron,
    minutes,
    prefect_cron,
)
from tests.properties.profiles import examples

HOUR = timedelta(hours=1)
BEFORE, AFTER = timedelta(hours=15), timedelta(hours=15)
# At the hours at which clocks are moved in these zones, beside them, and at others.
EXPRESSIONS = [
    Expression("30", "2"),
    Expression("15,45", "0-3"),
    Expression("0", "*"),
    Expression("*/10", "1-3"),
    Expression("5", "*/2"),
]
MINUTES = st.sampled_from(["*", "*/7", "*/30", "0", "59", "1-59/2", "0,15,30,45", "*/20,5", "29-31"])
HOURS = st.sampled_from(["*", "*/2", "*/5", "0", "1", "2", "3", "23", "0,2", "1-3", "0-23/3", "22-23", "*/6,1"])
WEEKDAYS = st.sampled_from(["*", "0", "6", "0,6", "1-5"])


def events(clock: Clock, after: datetime, until: datetime) -> list[datetime]:
    """The moments of the clock's events in (after, until), in UTC."""
    return [e.start_time.astimezone(UTC) for e in itertools.takewhile(lambda event: event < until, clock.events(after))]


def check_cron(change: Change, expression: Expression, dst: str, after: timedelta = -BEFORE) -> None:
    """The events of the clock are the runs of cron, whenever one begins to look."""
    walk = minutes(change, DAY + BEFORE, AFTER + DAY)
    runs = debian_cron(expression, walk) if dst == "debian" else prefect_cron(expression, walk)
    first, last = change.moment + after, change.moment + AFTER
    expected = [moment for moment in runs if first < moment < last]
    clock = CronClock(str(expression), start_date=datetime(2020, 1, 1, tzinfo=change.zone), dst=dst)
    assert events(clock, first, last) == expected, (change, str(expression), dst)


def test_there_are_changes_to_look_at() -> None:
    assert len(changes()) > 200
    assert {change.zone.key for change in changes()} == {*ZONES} - {"Asia/Tehran", "America/Sao_Paulo"}


def test_every_change_means_what_it_means_to_cron() -> None:
    for change in changes():
        walk = minutes(change, BEFORE, AFTER)
        for expression in EXPRESSIONS:
            clock = CronClock(str(expression), start_date=datetime(2020, 1, 1, tzinfo=change.zone))
            expected = [moment for moment in debian_cron(expression, walk) if moment > change.moment - BEFORE]
            assert events(clock, change.moment - BEFORE, change.moment + AFTER) == expected, (change, str(expression))


@given(st.sampled_from(changes()), st.builds(Expression, MINUTES, HOURS, WEEKDAYS), st.sampled_from(["debian", "prefect1"]))
@examples(60)
def test_any_expression_means_what_it_means_to_cron(change: Change, expression: Expression, dst: str) -> None:
    check_cron(change, expression, dst)


@given(
    st.sampled_from(changes()),
    st.builds(Expression, MINUTES, HOURS, WEEKDAYS),
    st.sampled_from(["debian", "prefect1"]),
    st.timedeltas(-3 * HOUR, 3 * HOUR),
)
@examples(60)
def test_it_does_not_matter_when_one_begins_to_look(
    change: Change, expression: Expression, dst: str, after: timedelta
) -> None:
    check_cron(change, expression, dst, after)


@pytest.mark.parametrize("days", [1, 2])
def test_days_are_days_on_the_wall(days: int) -> None:
    for change in changes():
        wall = (change.moment - 4 * DAY).astimezone(change.zone).replace(tzinfo=None, fold=0)
        for minute in (-30, 0, 30, 90):
            start = (wall + timedelta(minutes=minute)).replace(tzinfo=change.zone)
            found = events(IntervalClock(timedelta(days), start), start, change.moment + 4 * DAY)
            shown = [(start.replace(tzinfo=None) + count * days * DAY) for count in range(1, 9)]
            expected = [latest(at, change) for at in shown]
            assert found == [moment for moment in expected if start < moment < change.moment + 4 * DAY], (change, minute)


def latest(wall: datetime, change: Change) -> datetime:
    """The last moment that shows this; for what is skipped, that of as much later as the clock is moved."""
    before, after = ((change.moment + side * timedelta(minutes=1)).astimezone(change.zone).utcoffset() for side in (-1, 1))
    assert before is not None
    assert after is not None
    early, late = wall.replace(tzinfo=UTC) - before, wall.replace(tzinfo=UTC) - after
    if early < change.moment:
        return late if late >= change.moment else early
    return early if late < change.moment else late


@pytest.mark.parametrize(
    "interval", [timedelta(minutes=7), HOUR, timedelta(hours=1.5), 12 * HOUR, DAY - timedelta(seconds=1)]
)
def test_less_than_a_day_is_time_elapsed(interval: timedelta) -> None:
    for change in changes():
        start = (change.moment - 20 * DAY).astimezone(change.zone)
        found = events(IntervalClock(interval, start), change.moment - DAY, change.moment + DAY)
        assert {later - earlier for earlier, later in itertools.pairwise(found)} == {interval}
        assert (found[0] - start.astimezone(UTC)) % interval == timedelta()


@given(st.sampled_from(changes()), st.timedeltas(timedelta(minutes=1), 3 * DAY), st.timedeltas(-2 * DAY, 2 * DAY))
@examples(100)
def test_events_ascend_and_are_the_same_wherever_one_begins(change: Change, interval: timedelta, offset: timedelta) -> None:
    clock = IntervalClock(interval, (change.moment - 4 * DAY).astimezone(change.zone))
    all_events = events(clock, change.moment - 5 * DAY, change.moment + 5 * DAY)
    assert all_events == sorted(set(all_events))
    after = change.moment + offset
    assert events(clock, after, change.moment + 5 * DAY) == [moment for moment in all_events if moment > after]


@given(st.sampled_from(changes()), st.sampled_from([3, 4, 5]), st.integers(1, 90), st.timedeltas(-DAY, DAY))
@examples(60)
def test_recurrences_ascend_and_are_the_same_wherever_one_begins(
    change: Change, freq: int, interval: int, offset: timedelta
) -> None:
    start = (change.moment - 3 * DAY).astimezone(change.zone).replace(fold=0)
    clock = RRuleClock(rrule(freq, interval=interval, dtstart=start))
    all_events = events(clock, change.moment - 4 * DAY, change.moment + 2 * DAY)
    assert all_events == sorted(set(all_events))
    after = change.moment + offset
    assert events(clock, after, change.moment + 2 * DAY) == [moment for moment in all_events if moment > after]


# -- JSON ------------------------------------------------------------------------------------------------------------------

_ZONE = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), *map(ZoneInfo, ZONES)])
_MOMENT = st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1)).flatmap(
    lambda moment: _ZONE.map(lambda zone: moment.replace(tzinfo=UTC).astimezone(zone))
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5), lambda inner: st.lists(inner, max_size=2)
)
_RUNS: dict[str, Any] = {
    "parameter_defaults": st.none() | st.dictionaries(st.text(max_size=5), _JSON, max_size=3),
    "labels": st.none() | st.lists(st.text(max_size=5), max_size=3),
}
_RANGE: dict[str, Any] = {"start_date": st.none() | _MOMENT, "end_date": st.none() | _MOMENT, **_RUNS}
_RULE = st.builds(
    rrule,
    st.sampled_from([0, 1, 2, 3, 4]),
    dtstart=_MOMENT,
    interval=st.integers(1, 5),
    byweekday=st.none() | st.integers(0, 6),
    count=st.none() | st.integers(1, 50),
)
_CLOCK = st.one_of(
    st.builds(IntervalClock, st.timedeltas(timedelta(minutes=1), timedelta(400)), **_RANGE),
    st.builds(
        CronClock,
        st.builds(Expression, MINUTES, HOURS, WEEKDAYS).map(str),
        day_or=st.booleans(),
        dst=st.sampled_from(["debian", "prefect1"]),
        **_RANGE,
    ),
    st.builds(DatesClock, st.lists(_MOMENT, min_size=1, max_size=4), **_RUNS),
    st.builds(RRuleClock, _RULE, **_RANGE),
)
_TIME = st.times().map(lambda at: time(at.hour, at.minute, at.second, at.microsecond))
_DATE = st.dates(date(2024, 1, 1), date(2024, 12, 31))
_FILTER = st.one_of(
    st.sampled_from([filters.is_weekday, filters.is_weekend, filters.is_month_start, filters.is_month_end]),
    st.builds(filters.on_datetime, _MOMENT),
    st.builds(filters.between_datetimes, _MOMENT, _MOMENT),
    _DATE.map(lambda day: filters.on_date(day.month, day.day)),
    st.tuples(_DATE, _DATE).map(lambda days: filters.between_dates(*(n for day in days for n in (day.month, day.day)))),
    st.builds(filters.at_time, _TIME),
    st.builds(filters.between_times, _TIME, _TIME),
    st.builds(filters.is_day_of_week, st.integers(0, 6)),
)
_FILTERS = st.none() | st.lists(_FILTER, max_size=3)
_ADJUSTMENT = st.just(adjustments.next_weekday) | st.builds(adjustments.add, st.timedeltas(timedelta(-9), timedelta(9)))
_DURATION = st.none() | st.timedeltas(timedelta(microseconds=1), timedelta(99))
_SCHEDULE = st.builds(
    Schedule,
    st.lists(_CLOCK, max_size=3),
    _FILTERS,
    _FILTERS,
    _FILTERS,
    st.none() | st.lists(_ADJUSTMENT, max_size=2),
    missed=st.sampled_from(["latest", "all"]),
    missed_window=_DURATION,
    overlap=st.sampled_from(["allow", "skip", "queue", "cancel"]),
    jitter=_DURATION,
)


@given(_SCHEDULE, _MOMENT)
@examples(100)
def test_a_schedule_is_read_as_it_was_written(schedule: Schedule, after: datetime) -> None:
    document = schedule.serialize()
    again = schedule_from(json.loads(json.dumps(document)))
    assert again.serialize() == document
    for one, other in zip(schedule.clocks, again.clocks, strict=True):
        found = [list(itertools.islice(clock.events(after), 5)) for clock in (one, other)]
        assert found[0] == found[1]
        assert [event_key(event) for event in found[0]] == [event_key(event) for event in found[1]]
