"""The clocks: when they have events, what they refuse."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil import tz
from dateutil.rrule import DAILY, HOURLY, MINUTELY, SECONDLY, YEARLY, rrule, rruleset

from prefectlite.errors import ScheduleError
from prefectlite.schedules import ClockEvent
from prefectlite.schedules.clocks import Clock, CronClock, DatesClock, IntervalClock, RRuleClock

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")


def shown(clock: Clock, count: int, after: datetime = NOON) -> list[str]:
    """The next events, as the wall clock shows them, with the offset."""
    return [f"{event.start_time:%m-%d %H:%M%z}" for event in itertools.islice(clock.events(after), count)]


def moments(clock: Clock, count: int, after: datetime = NOON) -> list[datetime]:
    return [event.start_time.astimezone(UTC) for event in itertools.islice(clock.events(after), count)]


# -- intervals --------------------------------------------------------------------------------------------------------------


def test_an_interval_counts_from_its_start() -> None:
    assert shown(IntervalClock(timedelta(hours=5)), 3) == ["01-01 16:00+0000", "01-01 21:00+0000", "01-02 02:00+0000"]
    clock = IntervalClock(HOUR, start_date=NOON, end_date=NOON + 2 * HOUR)
    assert moments(clock, 9) == [NOON + HOUR, NOON + 2 * HOUR], "later than, and the end is included"
    assert moments(clock, 2, NOON - timedelta(microseconds=1)) == [NOON, NOON + HOUR], "the start, too"
    assert moments(clock, 1, NOON - 99 * DAY) == [NOON]
    assert moments(clock, 1, NOON.replace(tzinfo=None)) == [NOON + HOUR], "naive is UTC"
    assert moments(clock, 1, NOON + 3 * HOUR) == []


def test_days_stay_at_their_time_on_the_wall() -> None:
    start = datetime(2024, 3, 6, 2, 30, tzinfo=NEW_YORK)
    assert shown(IntervalClock(DAY, start), 3, datetime(2024, 3, 9)) == [
        "03-09 02:30-0500",
        "03-10 03:30-0400",
        "03-11 02:30-0400",
    ]
    start = datetime(2024, 10, 31, 1, 30, tzinfo=NEW_YORK)
    assert shown(IntervalClock(DAY, start), 3, datetime(2024, 11, 2)) == [
        "11-02 01:30-0400",
        "11-03 01:30-0500",
        "11-04 01:30-0500",
    ]
    assert shown(IntervalClock(DAY + 6 * HOUR, start), 5) == [
        *("10-31 01:30-0400", "11-01 07:30-0400", "11-02 13:30-0400", "11-03 19:30-0500", "11-05 01:30-0500")
    ]


def test_hours_are_hours() -> None:
    clock = IntervalClock(HOUR, datetime(2024, 10, 31, tzinfo=NEW_YORK))
    assert shown(clock, 3, datetime(2024, 11, 3, 4, 30)) == ["11-03 01:00-0400", "11-03 01:00-0500", "11-03 02:00-0500"]


@pytest.mark.parametrize("interval", [None, 5, "1h"])
def test_an_interval_is_a_timedelta(interval: Any) -> None:
    with pytest.raises(TypeError, match=r"Interval must be a timedelta\."):
        IntervalClock(interval)


@pytest.mark.parametrize("interval", [timedelta(), -HOUR])
def test_an_interval_is_positive(interval: timedelta) -> None:
    with pytest.raises(ValueError, match=r"Interval must be greater than 0\."):
        IntervalClock(interval)


def test_short_intervals_are_not_for_servers() -> None:
    clock = IntervalClock(timedelta(seconds=1))
    assert len(moments(clock, 3)) == 3
    with pytest.raises(ValueError, match="Interval can not be less than one minute when deploying"):
        clock.serialize()


def test_the_end_of_time() -> None:
    assert moments(IntervalClock(DAY), 9, datetime(9999, 12, 30, 12, tzinfo=UTC)) == [datetime(9999, 12, 31, tzinfo=UTC)]
    assert len(moments(IntervalClock(timedelta.max), 9)) == 0
    for clock in (CronClock("0 0 * * *"), RRuleClock(rrule(DAILY, dtstart=datetime(2024, 1, 1)))):
        assert len(moments(clock, 9, datetime(9999, 12, 29))) <= 2
        assert len(moments(clock, 1, datetime(2, 1, 1))) == 1


# -- cron -------------------------------------------------------------------------------------------------------------------


def test_cron_by_the_wall_clock_of_its_start() -> None:
    clock = CronClock(
        "0 9 * * *", start_date=datetime(2024, 1, 5, 9, tzinfo=BERLIN), end_date=datetime(2024, 1, 7, 9, tzinfo=BERLIN)
    )
    assert shown(clock, 9) == ["01-05 09:00+0100", "01-06 09:00+0100", "01-07 09:00+0100"], "start and end are included"
    later = CronClock("0 9 * * *", start_date=datetime(2024, 1, 5, 9, 0, 0, 5, tzinfo=BERLIN))
    assert shown(later, 1) == ["01-06 09:00+0100"]
    assert moments(CronClock("0 12 * * *"), 1) == [NOON + DAY]
    assert moments(CronClock("0 12 * * *"), 1, NOON - timedelta(microseconds=5)) == [NOON]
    assert moments(CronClock("0 12 * * *", start_date=NOON + DAY, end_date=NOON), 1) == []


FALL, SPRING = datetime(2024, 11, 3, 3, 30), datetime(2024, 3, 10, 4, 30)


@pytest.mark.parametrize(
    ("cron", "after", "dst", "expected"),
    [
        ("0 * * * *", FALL, "debian", ["00:00-0400", "01:00-0400", "01:00-0500", "02:00-0500"]),
        ("0 * * * *", FALL, "prefect1", ["00:00-0400", "01:00-0500", "02:00-0500", "03:00-0500"]),
        ("30 1 * * *", FALL, "debian", ["01:30-0400", "01:30-0500"]),
        ("30 1 * * *", FALL, "prefect1", ["01:30-0500", "01:30-0500"]),
        ("0 * * * *", SPRING, "debian", ["00:00-0500", "01:00-0500", "03:00-0400"]),
        ("0 * * * *", SPRING, "prefect1", ["00:00-0500", "01:00-0500", "03:00-0400"]),
        ("30 2 * * *", SPRING, "debian", ["03:00-0400", "02:30-0400"]),
        ("30 2 * * *", SPRING, "prefect1", ["03:30-0400", "02:30-0400"]),
        ("15,45 2 * * *", SPRING, "debian", ["03:00-0400", "02:15-0400"]),
    ],
)
def test_when_clocks_are_moved(cron: str, after: datetime, dst: str, expected: list[str]) -> None:
    clock = CronClock(cron, start_date=datetime(2024, 1, 1, tzinfo=NEW_YORK), dst=dst)
    assert [text[6:] for text in shown(clock, len(expected), after)] == expected


def test_midnight_may_be_skipped() -> None:
    clock = CronClock("0 0 * * *", start_date=datetime(2024, 1, 1, tzinfo=ZoneInfo("America/Santiago")))
    assert shown(clock, 3, datetime(2024, 9, 7)) == ["09-07 00:00-0400", "09-08 01:00-0300", "09-09 00:00-0300"]


def test_a_whole_day_may_be_skipped() -> None:
    apia = datetime(2011, 12, 28, tzinfo=ZoneInfo("Pacific/Apia"))  # where the 30th was left out
    expected = ["12-29 12:00-1000", "12-31 00:00+1400", "12-31 12:00+1400"]
    assert shown(CronClock("0 12 * * *", start_date=apia), 3, datetime(2011, 12, 29, 12)) == expected
    assert shown(CronClock("0 */12 * * *", start_date=apia), 3, datetime(2011, 12, 29, 12)) == expected
    expected = ["12-29 12:00-1000", "12-31 12:00+1400", "01-01 12:00+1400"]
    assert shown(IntervalClock(DAY, apia.replace(hour=12)), 3, datetime(2011, 12, 29, 12)) == expected
    assert shown(RRuleClock(rrule(DAILY, dtstart=apia.replace(hour=12))), 3, datetime(2011, 12, 29, 12)) == expected


def test_an_unknown_meaning() -> None:
    with pytest.raises(ScheduleError, match="dst should be 'debian' or 'prefect1', not 'vixie'"):
        CronClock("* * * * *", dst="vixie")


# -- dates ------------------------------------------------------------------------------------------------------------------


def test_dates() -> None:
    dates = [NOON + 2 * DAY, NOON, datetime(2024, 1, 2, 13, tzinfo=BERLIN), NOON + DAY]
    clock = DatesClock(dates)
    assert moments(clock, 9) == [NOON + DAY, NOON + 2 * DAY]
    assert (clock.start_date, clock.end_date, clock.dates) == (NOON, NOON + 2 * DAY, dates)
    assert moments(DatesClock([datetime(2024, 1, 3), NOON + DAY]), 9) == [NOON + DAY, datetime(2024, 1, 3, tzinfo=UTC)]


@pytest.mark.parametrize("dates", [None, 5, "2024-01-02", ["2024-01-02"], [date(2024, 1, 2)], [None]])
def test_dates_are_datetimes(dates: Any) -> None:
    with pytest.raises(TypeError, match="DatesClock: dates should be a"):
        DatesClock(dates)


def test_no_dates() -> None:
    with pytest.raises(ScheduleError, match="DatesClock: dates should not be empty"):
        DatesClock([])


# -- recurrence rules -------------------------------------------------------------------------------------------------------


def test_recurrences_by_the_wall_clock_of_their_rule() -> None:
    assert shown(RRuleClock(rrule(DAILY, dtstart=datetime(2024, 1, 1, 9))), 2) == ["01-02 09:00+0000", "01-03 09:00+0000"]
    night = rrule(DAILY, dtstart=datetime(2024, 1, 1, 2, 30, tzinfo=BERLIN))
    expected = ["03-30 02:30+0100", "03-31 03:30+0200", "04-01 02:30+0200"]
    assert shown(RRuleClock(night), 3, datetime(2024, 3, 30)) == expected
    assert (
        shown(
            RRuleClock(night.replace(dtstart=datetime(2024, 1, 1, 2, 30, tzinfo=tz.gettz("Europe/Berlin")))),
            3,
            datetime(2024, 3, 30),
        )
        == expected
    )
    clock = RRuleClock(rrule(DAILY, dtstart=NOON - DAY), start_date=NOON + DAY, end_date=datetime(2024, 1, 3, 12))
    assert moments(clock, 9) == [NOON + DAY, NOON + 2 * DAY], "both are included"
    until = rrule(DAILY, dtstart=NOON, until=NOON + 2 * DAY)
    assert moments(RRuleClock(until), 9, NOON - HOUR) == [NOON, NOON + DAY, NOON + 2 * DAY]
    assert moments(RRuleClock(until.replace(until=None, count=2)), 9, NOON - HOUR) == [NOON, NOON + DAY]
    hourly = RRuleClock(rrule(HOURLY, dtstart=datetime(2024, 1, 1, tzinfo=NEW_YORK)))
    assert [text[6:] for text in shown(hourly, 4, SPRING)] == ["00:00-0500", "01:00-0500", "03:00-0400", "04:00-0400"]


def test_sets_of_rules() -> None:
    rules = rruleset()
    rules.rrule(rrule(DAILY, dtstart=datetime(2024, 1, 1, 9)))
    rules.exrule(rrule(DAILY, interval=2, dtstart=datetime(2024, 1, 2, 9)))
    rules.rdate(datetime(2024, 1, 2, 10))
    rules.exdate(datetime(2024, 1, 5, 9))
    assert shown(RRuleClock(rules), 3) == ["01-02 10:00+0000", "01-03 09:00+0000", "01-07 09:00+0000"]
    assert moments(RRuleClock(rruleset()), 1) == []


def never(freq: int) -> rrule:
    return rrule(freq, dtstart=datetime(1990, 1, 1), bymonth=2, bymonthday=30)


def nothing_left() -> rruleset:
    rules = rruleset()
    rules.rrule(rrule(SECONDLY, dtstart=datetime(1990, 1, 1)))
    rules.exrule(rrule(SECONDLY, dtstart=datetime(1990, 1, 1)))
    return rules


def misfits() -> list[rrule]:
    start = datetime(2024, 1, 1)
    return [rrule(MINUTELY, start, 120, byhour=1), rrule(SECONDLY, start, 7200, byhour=1)]


@pytest.mark.parametrize("rule", [never(SECONDLY), never(MINUTELY), never(DAILY), never(YEARLY), nothing_left(), *misfits()])
def test_rules_that_never_match_come_to_an_end(rule: Any) -> None:
    began = time.process_time()
    assert moments(RRuleClock(rule), 1) == []
    assert time.process_time() - began < 8, "by itself dateutil takes ten seconds, or for ever"


def test_rules_that_began_long_ago_cost_nothing() -> None:
    seconds = RRuleClock(rrule(SECONDLY, interval=7, dtstart=datetime(1900, 1, 1)))
    assert (moments(seconds, 1)[0] - datetime(1900, 1, 1, tzinfo=UTC)) % timedelta(seconds=7) == timedelta()
    leap = RRuleClock(rrule(YEARLY, dtstart=datetime(1996, 2, 29)))
    assert shown(leap, 2) == ["02-29 00:00+0000"] * 2
    assert shown(RRuleClock(rrule(YEARLY, dtstart=datetime(1996, 2, 29), byeaster=0)), 2) == [
        "03-31 00:00+0000",
        "04-20 00:00+0000",
    ]


@pytest.mark.parametrize("rule", ["x", None, 5])
def test_what_is_no_rule(rule: Any) -> None:
    with pytest.raises(TypeError, match=f"rrule_obj must be an rrule or rruleset, got: {rule!r}"):
        RRuleClock(rule)


def test_rules_that_are_refused() -> None:
    with pytest.raises(ScheduleError, match="interval of a recurrence rule should be 1 or more, not 0"):
        RRuleClock(rrule(DAILY, interval=0))
    with pytest.raises(ScheduleError, match="times of day that do not exist: 99"):
        RRuleClock(rrule(SECONDLY, bysecond=99))
    with pytest.raises(ScheduleError, match="count of a recurrence rule should be 100000 or less, not 1000000"):
        RRuleClock(rrule(DAILY, count=1_000_000))


# -- what all have ----------------------------------------------------------------------------------------------------------


def test_what_runs_run_with() -> None:
    clocks = (
        IntervalClock(HOUR, parameter_defaults={"a": 1}, labels=["x"]),
        CronClock("0 * * * *", parameter_defaults={"a": 1}, labels=["x"]),
        DatesClock([NOON + HOUR], {"a": 1}, ["x"]),
        RRuleClock(rrule(HOURLY, dtstart=NOON), parameter_defaults={"a": 1}, labels=["x"]),
    )
    for clock in clocks:
        assert next(iter(clock.events(NOON))) == ClockEvent(NOON + HOUR, {"a": 1}, ["x"])
    assert next(iter(IntervalClock(HOUR).events(NOON))) == ClockEvent(NOON + HOUR, {}, None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"start_date": "2024-01-01"}, "IntervalClock: start_date should be a datetime, not '2024-01-01'"),
        ({"end_date": date(2024, 1, 1)}, "IntervalClock: end_date should be a datetime"),
        ({"labels": "ab"}, "IntervalClock: labels should be a list of strings, not 'ab'"),
        ({"labels": [1]}, "IntervalClock: labels should be a list of strings"),
        ({"parameter_defaults": [1]}, "IntervalClock: parameter_defaults should be a dict"),
    ],
)
def test_wrong_types(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        IntervalClock(HOUR, **arguments)


class PendulumLike(tzinfo):
    """A zone of another library, which says its name."""

    name = "Europe/Berlin"

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return None if moment is None else BERLIN.utcoffset(moment.replace(tzinfo=BERLIN))

    def dst(self, moment: datetime | None) -> timedelta:
        return timedelta()


@pytest.mark.parametrize("zone", [PendulumLike(), tz.gettz("Europe/Berlin"), BERLIN])
def test_zones_of_other_libraries_that_say_their_name(zone: tzinfo) -> None:
    class Moment(datetime):
        pass

    clock = CronClock("0 9 * * *", start_date=Moment(2024, 1, 1, tzinfo=zone))
    assert clock.zone == BERLIN
    assert type(clock.start_date) is datetime
    assert shown(clock, 1, datetime(2024, 7, 1)) == ["07-01 09:00+0200"]


def test_fixed_zones_and_nameless_ones() -> None:
    fixed = timezone(timedelta(hours=5, minutes=30))
    for zone in (fixed, tz.tzoffset(None, 19800)):
        assert shown(CronClock("0 9 * * *", start_date=datetime(2024, 1, 1, tzinfo=zone)), 1) == ["01-02 09:00+0530"]
    assert CronClock("0 9 * * *", start_date=datetime(2024, 1, 1, tzinfo=tz.tzutc())).zone is UTC

    class Nameless(PendulumLike):
        name = ""

    with pytest.raises(ScheduleError, match=r"start_date: the time zone .* does not say its name: use zoneinfo"):
        CronClock("0 9 * * *", start_date=datetime(2024, 1, 1, tzinfo=Nameless()))


def test_a_clock_of_ones_own() -> None:
    class Own(Clock):
        def _moments(self, bound: datetime) -> Any:
            return iter([NOON, NOON + HOUR])

    assert moments(Own(), 9) == [NOON + HOUR]
    with pytest.raises(ScheduleError, match="Own is a class of its own"):
        Own().serialize()


def test_schedules_are_imported_when_they_are_used() -> None:
    code = "from prefectlite import Flow, task; import sys; print('dateutil' in sys.modules, 'cronsim' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"]
