"""Filters and adjustments: what they keep, where they move, what they refuse."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from prefectlite.errors import ScheduleError
from prefectlite.schedules import adjustments, filters

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
HOURS = [datetime(2024, 1, 1, hour, tzinfo=UTC) for hour in range(24)]
DAYS = [datetime(2023, 1, 1, 9, tzinfo=UTC) + timedelta(day) for day in range(365)]  # from a Sunday on


def hours(keeps: Callable[[datetime], bool]) -> list[int]:
    return [moment.hour for moment in HOURS if keeps(moment)]


def days(keeps: Callable[[datetime], bool]) -> list[str]:
    return [f"{moment:%m-%d}" for moment in DAYS if keeps(moment)]


def test_moments() -> None:
    assert hours(filters.on_datetime(NOON)) == hours(filters.on_datetime(datetime(2024, 1, 1, 12))) == [12]
    assert hours(filters.on_datetime(datetime(2024, 1, 1, 12, tzinfo=BERLIN))) == [11]
    assert hours(filters.between_datetimes(NOON, NOON + timedelta(hours=2))) == [12, 13, 14]
    assert hours(filters.between_datetimes(datetime(2023, 1, 1), datetime(2024, 1, 1, 1))) == [0, 1]
    twice = datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN)
    assert filters.on_datetime(twice)(twice)
    assert not filters.on_datetime(twice)(twice.replace(fold=1))


def test_times() -> None:
    assert hours(filters.at_time(time(9))) == hours(filters.between_times(time(9), time(9))) == [9]
    assert not filters.at_time(time(9))(NOON.replace(hour=9, microsecond=5))
    assert hours(filters.between_times(time(9), time(12))) == [9, 10, 11, 12]
    assert hours(filters.between_times(time(22), time(2))) == [0, 1, 2, 22, 23]


def test_dates() -> None:
    assert days(filters.on_date(2, 28)) == ["02-28"]
    assert days(filters.on_date(2, 29)) == []
    between = days(filters.between_dates(2, 3, 4, 5))
    assert (between[0], between[-1], len(between)) == ("02-03", "04-05", 62)
    assert len(days(filters.between_dates(11, 3, 2, 5))) == 95
    assert len(days(filters.between_dates(2, 10, 2, 9))) == 365, "round the year, within one month, too"


def test_kinds_of_days() -> None:
    assert days(filters.is_month_end)[:3] == ["01-31", "02-28", "03-31"]
    assert days(filters.is_month_start)[:3] == ["01-01", "02-01", "03-01"]
    assert (len(days(filters.is_weekday)), len(days(filters.is_weekend))) == (260, 105)
    assert days(filters.is_day_of_week(0))[:2] == ["01-02", "01-09"], "Monday"
    assert days(filters.is_day_of_week(6))[:2] == ["01-01", "01-08"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: filters.on_date(13, 1), "on_date: month should be 1 to 12, not 13"),
        (lambda: filters.between_dates(1, 1, 2, 32), "between_dates: end_day should be 1 to 31, not 32"),
        (lambda: filters.is_day_of_week(7), r"is_day_of_week: day_of_week \(Monday is 0\) should be 0 to 6, not 7"),
    ],
)
def test_what_is_out_of_range(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(ScheduleError, match=said):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: filters.on_date("1", 1),
        lambda: filters.is_day_of_week(True),
        lambda: filters.at_time("09:00"),
        lambda: filters.between_times(time(9), 17),
        lambda: filters.on_datetime("2024-01-01"),
        lambda: filters.between_datetimes(NOON, None),
        lambda: adjustments.add(5),
    ],
)
def test_wrong_types(make: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match=r"should be an? (whole number|time|datetime|timedelta)"):
        make()


def moved(adjust: Callable[[datetime], datetime], *moment: int) -> str:
    return f"{adjust(datetime(*moment, tzinfo=BERLIN)):%m-%d %H:%M%z}"


def test_adding() -> None:
    assert moved(adjustments.add(timedelta(1)), 2024, 3, 30, 2, 30) == "03-31 03:30+0200"
    assert moved(adjustments.add(timedelta(1)), 2024, 3, 30, 9) == "03-31 09:00+0200"
    assert moved(adjustments.add(timedelta(hours=2)), 2024, 3, 31, 1) == "03-31 04:00+0200"
    assert moved(adjustments.add(timedelta(hours=-2)), 2024, 3, 31, 4) == "03-31 01:00+0100"
    assert moved(adjustments.add(timedelta(-1)), 2024, 4, 1, 9) == "03-31 09:00+0200"
    assert adjustments.add(timedelta(1))(datetime(2024, 1, 1)) == datetime(2024, 1, 2, tzinfo=UTC)


def test_the_next_weekday() -> None:
    moves = [adjustments.next_weekday(datetime(2024, 1, day, 9, tzinfo=UTC)).day for day in range(1, 9)]
    assert moves == [1, 2, 3, 4, 5, 8, 8, 8]
    assert moved(adjustments.next_weekday, 2024, 3, 30, 9) == "04-01 09:00+0200"


def test_they_are_shown_and_pickled() -> None:
    keeps = pickle.loads(pickle.dumps(filters.between_times(time(9), time(12))))
    assert hours(keeps) == [9, 10, 11, 12]
    assert repr(keeps) == "between_times(start=datetime.time(9, 0), end=datetime.time(12, 0))"
    assert moved(pickle.loads(pickle.dumps(adjustments.add(timedelta(hours=1)))), 2024, 1, 1) == "01-01 01:00+0100"
    assert filters.on_datetime(datetime(2024, 1, 1, 13, tzinfo=timezone(timedelta(hours=1))))(NOON)
