"""Filters: functions that say of a moment, in the zone of its clock, whether a schedule keeps it.

Any function of a datetime is a filter; these here can be given to a server, too.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, time, timedelta
from typing import Any

from prefectlite.schedules.events import in_utc
from prefectlite.schedules.moment_function import MomentFunction, number
from prefectlite.schedules.zones import aware

Filter = Callable[[datetime], bool]


def on_datetime(dt: datetime) -> Filter:
    """Keeps this moment."""
    moment = aware(dt, "on_datetime: dt")
    return MomentFunction(on_datetime, lambda at: in_utc(at) == in_utc(moment), dt=moment)


def between_datetimes(start: datetime, end: datetime) -> Filter:
    """Keeps moments from `start` to `end`, both included."""
    first, last = aware(start, "between_datetimes: start"), aware(end, "between_datetimes: end")
    return MomentFunction(between_datetimes, lambda at: in_utc(first) <= in_utc(at) <= in_utc(last), start=first, end=last)


def on_date(month: int, day: int) -> Filter:
    """Keeps one day of every year."""
    date = _date(month, day, "on_date", "")
    return MomentFunction(on_date, lambda at: (at.month, at.day) == date, month=month, day=day)


def between_dates(start_month: int, start_day: int, end_month: int, end_day: int) -> Filter:
    """Keeps the days of every year from the one to the other, both included; over the turn of the year if it must."""
    first, last = (
        _date(start_month, start_day, "between_dates", "start_"),
        _date(end_month, end_day, "between_dates", "end_"),
    )

    def is_between(at: datetime) -> bool:
        date = (at.month, at.day)
        return first <= date <= last if first <= last else date >= first or date <= last

    given = {"start_month": start_month, "start_day": start_day, "end_month": end_month, "end_day": end_day}
    return MomentFunction(between_dates, is_between, **given)


def at_time(t: time) -> Filter:
    """Keeps this time of the day."""
    at = _time(t, "at_time: t")
    return MomentFunction(at_time, lambda moment: moment.time() == at, t=at)


def between_times(start: time, end: time) -> Filter:
    """Keeps times of the day from `start` to `end`, both included; over midnight if it must."""
    first, last = _time(start, "between_times: start"), _time(end, "between_times: end")

    def is_between(at: datetime) -> bool:
        shown = at.time()
        return first <= shown <= last if first <= last else shown >= first or shown <= last

    return MomentFunction(between_times, is_between, start=first, end=last)


def is_weekday(dt: datetime) -> bool:
    """Keeps Monday to Friday."""
    return dt.weekday() < 5


def is_weekend(dt: datetime) -> bool:
    """Keeps Saturday and Sunday."""
    return dt.weekday() >= 5


def is_month_end(dt: datetime) -> bool:
    """Keeps the last day of each month."""
    return (dt.date() + timedelta(days=1)).day == 1


def is_month_start(dt: datetime) -> bool:
    """Keeps the first day of each month."""
    return dt.day == 1


def is_day_of_week(day_of_week: int) -> Filter:
    """Keeps one day of the week: Monday is 0, Sunday is 6."""
    weekday = number(day_of_week, 0, 6, "is_day_of_week: day_of_week (Monday is 0)")
    return MomentFunction(is_day_of_week, lambda at: at.weekday() == weekday, day_of_week=weekday)


def _date(month: Any, day: Any, name: str, prefix: str) -> tuple[int, int]:
    return number(month, 1, 12, f"{name}: {prefix}month"), number(day, 1, 31, f"{name}: {prefix}day")


def _time(value: Any, what: str) -> time:
    if not isinstance(value, time):
        raise TypeError(f"{what} should be a time, not {value!r}")
    return time(value.hour, value.minute, value.second, value.microsecond)


#: Those that take a moment, and those that make one of them.
PLAIN = {kind.__name__: kind for kind in (is_weekday, is_weekend, is_month_end, is_month_start)}
MAKERS: dict[str, Callable[..., Filter]] = {
    maker.__name__: maker
    for maker in (on_datetime, between_datetimes, on_date, between_dates, at_time, between_times, is_day_of_week)
}
