"""Schedules: clocks merged, filtered and adjusted; policies; running a flow on one."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import cloudpickle
import pytest
from dateutil.rrule import DAILY, rrule

from prefectlite import Flow, Parameter, context, task, testing
from prefectlite.errors import ParameterError, ScheduleError
from prefectlite.registration import register_in, source_of
from prefectlite.schedules import (
    ClockEvent,
    CronSchedule,
    IntervalSchedule,
    RRuleSchedule,
    Schedule,
    adjustments,
    event_key,
    filters,
    schedule_from,
)
from prefectlite.schedules.clocks import CronClock, DatesClock, IntervalClock
from prefectlite.session import Session

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
DAILY_CLOCK = IntervalClock(DAY)


def days(schedule: Schedule, count: int) -> list[str]:
    return [f"{moment:%m-%d}" for moment in schedule.next(count, after=NOON)]


def test_clocks_are_merged() -> None:
    schedule = Schedule(
        [
            IntervalClock(HOUR, end_date=NOON + 9 * DAY),
            IntervalClock(HOUR, start_date=NOON - DAY),
            CronClock("0 * * * *", parameter_defaults={"x": 1}),
        ]
    )
    plain, with_x = ClockEvent(NOON + HOUR), ClockEvent(NOON + HOUR, {"x": 1})
    later = ClockEvent(NOON + 2 * HOUR)
    assert schedule.next(3, NOON, return_events=True) == [plain, with_x, later], "the same only once"
    assert schedule.next(2, NOON) == [NOON + HOUR, NOON + HOUR]
    assert (schedule.start_date, schedule.end_date) == (NOON - DAY, NOON + 9 * DAY)
    assert (Schedule([]).start_date, Schedule([]).next(3), Schedule([DAILY_CLOCK]).next(0)) == (None, [], [])


def test_the_three_functions() -> None:
    assert IntervalSchedule(NOON, HOUR, NOON + HOUR).next(9, NOON - DAY) == [NOON, NOON + HOUR]
    assert CronSchedule("0 12 * * *", NOON, NOON + DAY).next(9, NOON - DAY) == [NOON, NOON + DAY]
    assert days(CronSchedule("0 0 1-7 * 1", day_or=False), 2) == ["02-05", "03-04"]
    assert RRuleSchedule(rrule(DAILY, dtstart=NOON), NOON + DAY, NOON + DAY).next(9, NOON) == [NOON + DAY]
    with pytest.raises(TypeError, match=r"Interval must be a timedelta\."):
        IntervalSchedule()


def test_filters() -> None:
    assert days(Schedule([DAILY_CLOCK], filters=[filters.is_weekend, filters.is_month_start]), 2) == ["06-01", "09-01"]
    either = [filters.is_weekend, filters.is_month_start]
    assert days(Schedule([DAILY_CLOCK], or_filters=either), 6) == ["01-06", "01-07", "01-13", "01-14", "01-20", "01-21"]
    but = Schedule([DAILY_CLOCK], or_filters=either, not_filters=[filters.on_date(1, 6)])
    assert days(but, 2) == ["01-07", "01-13"]
    assert days(Schedule([DAILY_CLOCK], filters=[lambda moment: moment.day == 9]), 2) == ["01-09", "02-09"]


def test_adjustments() -> None:
    assert days(Schedule([DAILY_CLOCK], adjustments=[adjustments.next_weekday]), 6) == [
        *("01-02", "01-03", "01-04", "01-05", "01-08", "01-09")
    ], "one run on Monday, not three"
    both = Schedule([DAILY_CLOCK], adjustments=[adjustments.add(2 * DAY), adjustments.next_weekday])
    assert days(both, 4) == ["01-04", "01-05", "01-08", "01-09"]
    moved = Schedule([IntervalClock(HOUR, parameter_defaults={"a": 1}, labels=["q"])], adjustments=[adjustments.add(HOUR)])
    assert moved.next(1, NOON, return_events=True) == [ClockEvent(NOON + 2 * HOUR, {"a": 1}, ["q"])]
    wrong: Any = lambda moment: 5  # noqa: E731
    with pytest.raises(TypeError, match=r"What the adjustment .* returns should be a datetime, not 5"):
        Schedule([DAILY_CLOCK], adjustments=[wrong]).next(1)


def test_it_gives_up() -> None:
    minutes = Schedule([IntervalClock(timedelta(minutes=1))], filters=[filters.is_month_end])
    assert [len(minutes.next(3, datetime(2024, 1, day))) for day in (1, 24, 25)] == [0, 0, 3]
    assert len(Schedule([DAILY_CLOCK]).next(20_000)) == 10_000


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Schedule(None), r"clocks should be a list of clocks\."),
        (lambda: Schedule(DAILY_CLOCK), r"clocks should be a list of clocks\."),
        (lambda: Schedule([5]), "clocks should be a list of clocks, not of 5"),
        (lambda: Schedule([], filters=filters.is_weekday), "filters should be a list of functions"),
        (lambda: Schedule([], adjustments=[5]), r"adjustments should be a list of functions of a datetime, not \[5\]"),
        (lambda: Schedule([], jitter=5), "jitter should be a timedelta, not 5"),
    ],
)
def test_wrong_types(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        make()


@pytest.mark.parametrize(
    ("policies", "said"),
    [
        ({"missed": "none"}, "missed should be one of 'skip', 'latest', 'all', not 'none'"),
        ({"overlap": None}, "overlap should be one of 'allow', 'skip', 'queue', 'cancel', not None"),
        ({"missed": "all", "missed_window": timedelta()}, "missed_window should be greater than 0"),
        ({"missed_window": DAY}, "missed='skip' skips all"),
        ({"jitter": -DAY}, "jitter should be greater than 0"),
    ],
)
def test_policies_that_cannot_be(policies: dict[str, Any], said: str) -> None:
    with pytest.raises(ScheduleError, match=said):
        Schedule([DAILY_CLOCK], **policies)
    with pytest.raises(ScheduleError, match=said):
        CronSchedule("@daily", **policies)


def test_policies() -> None:
    plain = IntervalSchedule(interval=DAY)
    assert (plain.missed, plain.missed_window, plain.overlap, plain.jitter) == ("skip", None, "allow", None)
    told = CronSchedule("@daily", missed="all", missed_window=DAY, overlap="queue", jitter=HOUR)
    again = schedule_from(told.serialize())
    assert (again.missed, again.missed_window, again.overlap, again.jitter) == ("all", DAY, "queue", HOUR)


def test_they_are_pickled() -> None:
    schedule = Schedule([DAILY_CLOCK, CronClock("@weekly")], [filters.between_dates(1, 1, 1, 20)])
    assert days(pickle.loads(pickle.dumps(schedule)), 2) == days(schedule, 2)
    assert days(cloudpickle.loads(cloudpickle.dumps(schedule)), 2) == days(schedule, 2)


# -- events -----------------------------------------------------------------------------------------------------------------


def test_events_are_compared() -> None:
    event = ClockEvent(NOON, {"a": 1}, ["x"])
    assert event == ClockEvent(NOON, {"a": 1}, ["x"]) == NOON
    assert event != ClockEvent(NOON, {"a": 2}, ["x"])
    assert event != ClockEvent(NOON, {"a": 1}, [])
    assert event != "noon"
    assert event < NOON + HOUR
    assert NOON - HOUR < event <= ClockEvent(NOON + HOUR)
    assert ClockEvent(NOON, {}) == ClockEvent(NOON)
    assert repr(event) == "<2024-01-01 12:00:00+00:00,['x'],{'a': 1}>"
    with pytest.raises(TypeError, match="not supported"):
        _ = event < 5  # type: ignore[operator]
    with pytest.raises(TypeError, match="unhashable"):
        hash(event)


def test_keys_of_events() -> None:
    assert event_key(ClockEvent(NOON)) == event_key(ClockEvent(NOON, {}, [])) == "2024-01-01T12:00:00Z"
    one = event_key(ClockEvent(NOON, {"a": 1, "b": {"c": 2, "d": None}}, ["x", "y"]))
    assert one == event_key(ClockEvent(NOON, {"b": {"d": None, "c": 2}, "a": 1}, ["y", "x", "x"]))
    assert one == "2024-01-01T12:00:00Z-ca15d7a65bb84dbebe8cb015b3602d6b"
    assert len({one, event_key(ClockEvent(NOON, {"n": 12})), event_key(ClockEvent(NOON, {"n": 21}))}) == 3
    with pytest.raises(ScheduleError, match=r"The event at 2024-01-01T12:00:00Z: its parameter_defaults are not JSON"):
        event_key(ClockEvent(NOON, {"a": {1}}))


# -- flows ------------------------------------------------------------------------------------------------------------------


def recording(ran: list[Any], schedule: Any, **parameter: Any) -> Flow:
    @task
    def work(x: int) -> None:
        ran.append((x, context.scheduled_start_time))

    with Flow("on time", schedule=schedule) as flow:
        work(Parameter("x", **parameter))
    return flow


def test_a_flow_runs_on_schedule() -> None:
    ran: list[Any] = []
    clocks = [
        CronClock("0 9 * * *", end_date=datetime(2024, 3, 5), parameter_defaults={"x": 1}),
        DatesClock([datetime(2024, 3, 3, 12)], {"x": 2}),
    ]
    with testing.virtual_clock(datetime(2024, 3, 2, 9, tzinfo=UTC)) as clock:
        assert recording(ran, Schedule(clocks)).run().is_successful(), "the clocks give the parameter, which is required"
        assert clock.now() >= datetime(2024, 3, 4, 9, tzinfo=UTC)
        with pytest.raises(ValueError, match=r"Flow has no more scheduled runs\."):
            recording(ran, Schedule(clocks)).run(x=1)
    expected = [(1, 3, 9), (2, 3, 12), (1, 4, 9)]
    assert ran == [(x, datetime(2024, 3, day, hour, tzinfo=UTC)) for x, day, hour in expected]


def test_parameters_that_no_clock_gives() -> None:
    with pytest.raises(ParameterError, match="required parameters: x"):
        recording([], IntervalSchedule(interval=HOUR)).run()


def test_a_flow_and_its_schedule_as_json() -> None:
    schedule = CronSchedule("0 9 * * *")
    flow = recording([], schedule, default=1)
    assert flow.serialize()["schedule"] == schedule.serialize()
    assert flow.serialized_hash() != recording([], CronSchedule("0 8 * * *"), default=1).serialized_hash()
    assert recording([], None, default=1).serialize()["schedule"] is None
    custom = recording([], Schedule([DAILY_CLOCK], filters=[lambda moment: True]), default=1)
    with pytest.raises(ValueError, match=r"Custom functions aren't supported for `Schedule.filters` .* Unable to serialize"):
        custom.serialize()


def test_what_is_no_schedule() -> None:
    with pytest.raises(
        ValueError, match=r"Flow 'f': schedule takes a Schedule, such as CronSchedule\('0 9 \* \* \*'\), not 5"
    ):
        Flow("f", schedule=5)  # type: ignore[arg-type]


@pytest.mark.asyncio
async def test_a_schedule_is_registered_with_its_flow(session: Session) -> None:
    schedule = CronSchedule("0 9 * * *")
    for kept in (schedule, None):
        flow = recording([], kept, default=1)
        row = await register_in(session, flow, "p", source_of(flow, __file__))
        rows = await session.database.read("SELECT serialized_flow FROM flow WHERE id = $1", (row.id,))
        assert json.loads(rows[0][0]).get("schedule") == (kept and kept.serialize())
