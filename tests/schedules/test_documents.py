"""Schedules as JSON: what a Prefect 1.4.1 client sends, and what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import DAILY, rrule, rruleset

from prefectlite.errors import ScheduleError
from prefectlite.schedules import CronSchedule, RRuleSchedule, Schedule, schedule_from
from prefectlite.schedules.clocks import IntervalClock

# What flows with such schedules serialize as there, and the events that it computes after 2023-12-31 22:30 UTC.
CLIENT: dict[str, Any] = json.loads(Path(__file__).with_name("client_documents.json").read_text(encoding="utf-8"))
HOURLY: dict[str, Any] = {"type": "IntervalClock", "interval": 3_600_000_000}


@pytest.mark.parametrize("name", CLIENT)
def test_what_a_client_sends(name: str) -> None:
    document, expected = CLIENT[name]["document"], CLIENT[name]["events"]
    schedule = schedule_from(document)
    events = schedule.next(8, datetime(2023, 12, 31, 22, 30), return_events=True)
    assert [[e.start_time.astimezone(UTC).isoformat(), e.parameter_defaults, e.labels] for e in events] == expected
    written = schedule.serialize()
    assert schedule_from(written).serialize() == written == json.loads(json.dumps(written))
    for key in ("filters", "or_filters", "not_filters", "adjustments"):
        assert written[key] == document[key]
    for one, other in zip(document["clocks"], written["clocks"], strict=True):
        one.get("rrule_obj", {}).pop("tz", None)
        other.get("rrule_obj", {}).pop("tz", None)
        assert {key: other[key] for key in one} == one


def test_versions_and_missing_keys_do_not_matter() -> None:
    assert schedule_from({"__version__": "1.4.1", "clocks": [{**HOURLY, "__version__": "1.4.1"}]}).next(1)
    assert schedule_from({"type": "Schedule", "clocks": [], "filters": None}).next(1) == []


def test_zones_of_rules_are_kept() -> None:
    nights = rrule(DAILY, dtstart=datetime(2024, 1, 1, 2, 30, tzinfo=ZoneInfo("Europe/Berlin")))
    both = rruleset()
    both.rrule(nights)
    both.rdate(datetime(2024, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin")))
    both.exdate(datetime(2024, 7, 2, 2, 30, tzinfo=ZoneInfo("Europe/Berlin")))
    for rule in (nights, both):
        schedule = RRuleSchedule(rule)
        again = schedule_from(schedule.serialize())
        after = datetime(2024, 6, 30, tzinfo=UTC)
        assert again.next(9, after) == schedule.next(9, after)
        assert again.next(1, after)[0].utcoffset() == timedelta(hours=2)


def test_rules_with_a_count_and_an_end() -> None:
    with pytest.warns(DeprecationWarning, match="count"):
        rule = rrule(DAILY, dtstart=datetime(2024, 1, 1), count=9, until=datetime(2024, 1, 3))
    document = RRuleSchedule(rule).serialize()
    assert schedule_from(document).serialize() == document
    assert len(schedule_from(document).next(9, datetime(2023, 1, 1))) == 3


def test_a_time_that_comes_twice() -> None:
    second = datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1)
    document = Schedule([IntervalClock(timedelta(hours=1), second)]).serialize()
    assert document["clocks"][0]["start_date"] == {"dt": "2024-10-27T02:30:00", "tz": "Europe/Berlin", "fold": 1}
    assert schedule_from(document).next(1, second - timedelta(days=1))[0].astimezone(UTC).hour == 1


def clock(**keys: Any) -> dict[str, Any]:
    return {"clocks": [HOURLY, {**HOURLY, **keys}]}


def filtered(fn: Any, **arguments: Any) -> dict[str, Any]:
    return {"clocks": [], "filters": [{"fn": fn, "kwargs": arguments}]}


def ruled(**keys: Any) -> dict[str, Any]:
    rule = {"type": "rrule", "_dtstart": "2024-01-01T09:00:00", "_until": None, "rr": "RRULE:FREQ=DAILY", **keys}
    return {"clocks": [{"type": "RRuleClock", "rrule_obj": rule}]}


OURS = "prefectlite.schedules.filters"
BAD: list[tuple[Any, str]] = [
    (None, "A schedule: should be an object, not None"),
    ([], "A schedule: should be an object"),
    ({}, "clocks: is missing"),
    ({"clocks": {}}, "clocks: should be a list"),
    ({"clocks": [HOURLY] * 101}, "clocks: should be a list of at most 100, not"),
    ({"clocks": [], "type": "Clock"}, "type: should be 'Schedule', not 'Clock'"),
    ({"clocks": [], "clock": []}, "A schedule: clock: is not known; known are clocks, filters"),
    ({"clocks": [], "missed": "some"}, "A schedule: missed should be one of 'skip'"),
    ({"clocks": [], "jitter": "5"}, "jitter: should be a whole number of microseconds, not '5'"),
    ({"clocks": [], "jitter": -5}, "jitter should be greater than 0"),
    ({"clocks": [], "jitter": 10**30}, "jitter: "),
    ({"clocks": [5]}, r"clocks\[0\]: type: should be one of IntervalClock, CronClock, DatesClock, RRuleClock, not None"),
    ({"clocks": [{"type": []}]}, r"clocks\[0\]: type: should be one of"),
    ({"clocks": [{"type": "OneTimeClock"}]}, r"clocks\[0\]: type: .* not 'OneTimeClock'"),
    ({"clocks": [{"type": "CronClock"}]}, r"clocks\[0\] \(CronClock\): cron: is missing"),
    ({"clocks": [{"type": "CronClock", "cron": "x"}]}, r"clocks\[0\] \(CronClock\): Invalid cron string: x"),
    ({"clocks": [{"type": "CronClock", "cron": None}]}, r"clocks\[0\] \(CronClock\): cron should be a string"),
    ({"clocks": [{"type": "CronClock", "cron": "* * * * *", "day_or": "no"}]}, r"\(CronClock\): day_or: should be true"),
    ({"clocks": [{"type": "CronClock", "cron": "* * * * *", "dst": "x"}]}, r"\(CronClock\): CronClock: dst should be"),
    ({"clocks": [{"type": "DatesClock", "dates": []}]}, r"\(DatesClock\): DatesClock: dates should not be empty"),
    ({"clocks": [{"type": "DatesClock", "dates": [None]}]}, r"\(DatesClock\): DatesClock: dates should be a datetime"),
    ({"clocks": [{"type": "DatesClock", "dates": "x"}]}, r"\(DatesClock\): dates: should be a list"),
    (clock(interval="1h"), r"clocks\[1\] \(IntervalClock\): interval: should be a whole number of microseconds, not '1h'"),
    (clock(interval=True), "interval: should be a whole number"),
    (clock(interval=59_999_999), "interval: Interval can not be less than one minute"),
    (clock(interval=10**40), r"clocks\[1\] \(IntervalClock\): interval: "),
    (clock(cron="x"), r"clocks\[1\] \(IntervalClock\): cron: is not known; known are interval, start_date"),
    (clock(labels="ab"), r"clocks\[1\] \(IntervalClock\): labels: should be a list of strings"),
    (clock(parameter_defaults=[1]), "parameter_defaults: should be an object"),
    (clock(start_date="2024-01-01"), r'start_date: should be {"dt": "2024-01-31T09:00:00", "tz": "Europe/Berlin"}, not'),
    (clock(start_date={"dt": "x", "tz": "UTC"}), r"start_date: 'x' is no datetime such as"),
    (clock(start_date={"dt": 5, "tz": "UTC"}), r"start_date: 5 is no datetime"),
    (clock(start_date={"dt": "2024-01-01T00:00:00", "tz": 5}), "start_date: tz should be text, not 5"),
    (clock(start_date={"dt": "9999-12-31T23:59:59-23:00", "tz": "Asia/Tokyo"}), r"start_date: "),
    *(
        (clock(start_date={"dt": "2024-01-01T00:00:00", "tz": tz}), "start_date: Invalid timezone provided for schedule: ")
        for tz in ("Mars/Olympus", "", "../../etc/passwd", "Europe", "x" * 5000, "\0", "+25:00")
    ),
    (filtered("os.system"), r"filters\[0\]: there is no 'os.system' with the arguments {}"),
    (filtered("prefect.schedules.adjustments.next_weekday"), r"filters\[0\]: there is no"),
    (filtered(f"{OURS}.datetime"), "there is no"),
    (filtered(f"{OURS}.is_weekday", x=1), "there is no"),
    (filtered(f"{OURS}.at_time"), r"filters\[0\]: at_time\(\) missing 1 required positional argument"),
    (filtered(f"{OURS}.at_time", t="//time:25:00"), r"filters\[0\]: t: "),
    (filtered(f"{OURS}.at_time", t="09:00"), r"filters\[0\]: at_time: t should be a time, not '09:00'"),
    (filtered(f"{OURS}.on_date", month=13, day=1), r"filters\[0\]: on_date: month should be 1 to 12"),
    (filtered(None), r"filters\[0\]: there is no None"),
    ({"clocks": [], "filters": [5]}, r"filters\[0\]: should be an object, not 5"),
    ({"clocks": [], "filters": [{"fn": f"{OURS}.at_time", "kwargs": [1]}]}, "there is no"),
    (
        {
            "clocks": [],
            "adjustments": [{"fn": "prefect.schedules.adjustments.add", "kwargs": {"interval": "//timedelta:x"}}],
        },
        r"adjustments\[0\]: interval: could not convert",
    ),
    (
        {
            "clocks": [],
            "adjustments": [{"fn": "prefect.schedules.adjustments.add", "kwargs": {"interval": "//timedelta:inf"}}],
        },
        r"adjustments\[0\]: interval: ",
    ),
    (ruled(type="rruleset", _rrule=[{}] * 11), "rrule_obj: _rrule should be a list of at most 10"),
    (ruled(type="x"), r"clocks\[0\] \(RRuleClock\): rrule_obj: should be an object with \"type\""),
    (ruled(rr=None), "rrule_obj: rr should be text, not None"),
    (ruled(rr="x"), "rrule_obj: is no recurrence rule: 'x'"),
    (ruled(rr="RRULE:FREQ=DAILY;INTERVAL=0"), "rrule_obj: is no recurrence rule: .* interval .* 1 or more"),
    (ruled(rr="RRULE:FREQ=DAILY;COUNT=999999999"), "rrule_obj: is no recurrence rule: .* count .* 100000 or less"),
    (ruled(rr="RRULE:FREQ=DAILY;BYHOUR=99"), "rrule_obj: is no recurrence rule"),
    (ruled(rr="RRULE:FREQ=SECONDLY;BYSECOND=99"), "rrule_obj: is no recurrence rule: .* do not exist: 99"),
    (ruled(rr="RRULE:FREQ=DAILY\nRRULE:FREQ=DAILY"), "rrule_obj: is no recurrence rule"),
    (ruled(rr="RRULE:FREQ=DAILY\nEXDATE:20240101T000000"), "rrule_obj: is"),
    (ruled(rr="RRULE:FREQ=DAILY;BYDAY=" + "MO," * 9999), "rrule_obj: is no recurrence rule"),
    (ruled(_dtstart=None), "rrule_obj: None is no datetime"),
    (ruled(_until="x"), "rrule_obj: .*'x' is no datetime"),
    (ruled(tz="x"), "rrule_obj: Invalid timezone"),
]


@pytest.mark.parametrize(("document", "said"), BAD, ids=[said[:40] for _, said in BAD])
def test_what_is_refused(document: Any, said: str) -> None:
    with pytest.raises(ScheduleError, match=said):
        schedule_from(document)


def test_what_cannot_be_written() -> None:
    for value in ({1, 2}, datetime(2024, 1, 1), float("nan"), (1, 2)):
        schedule = Schedule([IntervalClock(timedelta(hours=1), parameter_defaults={"d": value})])
        with pytest.raises(
            ScheduleError, match=r"IntervalClock: parameter_defaults must be JSON compatible: .* Unable to serialize"
        ):
            schedule.serialize()

    class Foreign:
        start_date = end_date = None

        def events(self, after: Any = None) -> Any:
            return iter(())

    clocks: Any = [Foreign()]
    with pytest.raises(ScheduleError, match="is none of the clocks of prefectlite"):
        Schedule(clocks).serialize()
    assert CronSchedule("@daily").serialize()["clocks"][0]["labels"] is None
