"""Clocks: where the events of a schedule come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from dateutil.rrule import rrule, rruleset

from prefectlite.clock import current_time
from prefectlite.errors import ScheduleError
from prefectlite.schedules import recurrences
from prefectlite.schedules.cron import CronExpression
from prefectlite.schedules.events import ClockEvent, in_utc
from prefectlite.schedules.wall_clock import (
    Meaning,
    every_pass,
    first_pass,
    later_pass,
    moments,
    right_after_the_change,
    wall_before,
)
from prefectlite.schedules.written import json_value, written_rule, written_time
from prefectlite.schedules.zones import aware, plus

_DAY, _MICROSECOND = timedelta(days=1), timedelta(microseconds=1)
_MINUTE = timedelta(minutes=1)
_FIRST_START = datetime(2019, 1, 1, tzinfo=UTC)


class Clock:
    """What all clocks have: when they begin and end, both included, and what the runs that they ask for run with.

    Naive dates are in UTC; the zone of `start_date` is the one whose wall clock counts. A class of your own gives
    `events`, or `_moments`; it cannot be given to a server.
    """

    def __init__(
        self,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        parameter_defaults: dict[str, Any] | None = None,
        labels: list[str] | None = None,
    ) -> None:
        name = type(self).__name__
        self.start_date = None if start_date is None else aware(start_date, f"{name}: start_date")
        self.end_date = None if end_date is None else aware(end_date, f"{name}: end_date")
        if parameter_defaults is not None and not isinstance(parameter_defaults, dict):
            raise TypeError(f"{name}: parameter_defaults should be a dict, not {parameter_defaults!r}")
        self.parameter_defaults = dict(parameter_defaults or {})
        if labels is not None and (isinstance(labels, str) or not all(isinstance(label, str) for label in labels)):
            raise TypeError(f"{name}: labels should be a list of strings, not {labels!r}")
        self.labels = None if labels is None else list(labels)

    def events(self, after: datetime | None = None) -> Iterator[ClockEvent]:
        """The events later than `after` (or now), in their order, in the clock's zone; `start_date` itself may be one."""
        bound = in_utc(current_time() if after is None else after)
        try:
            if self.start_date is not None and bound < self.start_date.astimezone(UTC):
                bound = self.start_date.astimezone(UTC) - _MICROSECOND
            for moment in self._moments(bound):
                if moment > bound:
                    if self.end_date is not None and moment > self.end_date.astimezone(UTC):
                        return
                    yield ClockEvent(moment.astimezone(self.zone), self.parameter_defaults, self.labels)
        except OverflowError:  # the year 10000
            return

    @property
    def zone(self) -> tzinfo:
        """The zone whose wall clock counts: that of `start_date`, else UTC."""
        return UTC if self.start_date is None or self.start_date.tzinfo is None else self.start_date.tzinfo

    def serialize(self) -> dict[str, Any]:
        """The clock as JSON values, of which `schedule_from` makes one again. Raises ScheduleError if that cannot be."""
        raise ScheduleError(
            f"{type(self).__name__} is a class of its own, and only the clocks of prefectlite can be serialized"
        )

    def _moments(self, bound: datetime) -> Iterator[datetime]:
        """Moments in UTC, ascending, among them all that are later than `bound`."""
        raise NotImplementedError

    def _written(self, **own: Any) -> dict[str, Any]:
        return {
            "type": type(self).__name__,
            **own,
            "parameter_defaults": json_value(self.parameter_defaults, f"{type(self).__name__}: parameter_defaults"),
            "labels": self.labels,
        }

    def _written_range(self) -> dict[str, Any]:
        return {"start_date": written_time(self.start_date), "end_date": written_time(self.end_date)}


class IntervalClock(Clock):
    """An event every `interval`, counted from `start_date` (2019-01-01 in UTC unless given).

    Whole days are counted by the calendar and the clock on the wall, so that what runs at nine runs at nine in summer and
    winter; intervals of less than a day are time elapsed, so that what runs every hour runs every hour.
    """

    def __init__(
        self,
        interval: timedelta,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        parameter_defaults: dict[str, Any] | None = None,
        labels: list[str] | None = None,
    ) -> None:
        if not isinstance(interval, timedelta):
            raise TypeError("Interval must be a timedelta.")
        if interval <= timedelta():
            raise ScheduleError("Interval must be greater than 0.")
        super().__init__(start_date, end_date, parameter_defaults, labels)
        self.interval = timedelta(interval.days, interval.seconds, interval.microseconds)

    def serialize(self) -> dict[str, Any]:
        """As for every Clock. Raises ScheduleError for intervals of less than a minute, too."""
        if self.interval < _MINUTE:
            raise ScheduleError(
                f"Interval can not be less than one minute when deploying to a server, but is {self.interval}."
            )
        return self._written(interval=self.interval // _MICROSECOND, **self._written_range())

    def _moments(self, bound: datetime) -> Iterator[datetime]:
        start = self.start_date or _FIRST_START
        elapsed = bound - start.astimezone(UTC)
        count = max(elapsed // self.interval - (1 if self.interval < _DAY else 2), 0)  # clocks may have been moved by a day
        last = None
        while True:
            if self.interval < _DAY:
                moment = start.astimezone(UTC) + count * self.interval
            else:
                moment = plus(start, count * self.interval).astimezone(UTC)
            if moment != last:
                yield moment
            last, count = moment, count + 1


class CronClock(Clock):
    """Events at the times of a cron expression, in the zone of `start_date`.

    Where both day fields are restricted either may match, with `day_or=False` both must. `dst` says what happens when clocks
    are moved: "debian", as in Debian's cron: jobs at fixed times run once, right after the change if theirs is skipped;
    those with `*` in minute or hour run whenever the clock on the wall matches. "prefect1": all run once, the second time
    that the clock shows theirs, or as much later as it is moved. Raises ScheduleError for other text.
    """

    def __init__(
        self,
        cron: str,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        parameter_defaults: dict[str, Any] | None = None,
        labels: list[str] | None = None,
        day_or: bool | None = None,
        *,
        dst: str = "debian",
    ) -> None:
        self.cron, self.day_or = cron, day_or is None or bool(day_or)
        self._expression = CronExpression(cron, self.day_or)
        if dst not in ("debian", "prefect1"):
            raise ScheduleError(f"CronClock: dst should be 'debian' or 'prefect1', not {dst!r}")
        self.dst = dst
        super().__init__(start_date, end_date, parameter_defaults, labels)

    def serialize(self) -> dict[str, Any]:
        """As for every Clock."""
        return self._written(cron=self.cron, day_or=self.day_or, dst=self.dst, **self._written_range())

    def _moments(self, bound: datetime) -> Iterator[datetime]:
        begin = wall_before(bound, self.zone)
        return moments(self._expression.walls(begin - timedelta(seconds=1)), self.zone, self._meaning)

    @property
    def _meaning(self) -> Meaning:
        if self.dst == "prefect1":
            return later_pass
        return right_after_the_change if self._expression.is_fixed else every_pass


class DatesClock(Clock):
    """Events at these moments. Raises ScheduleError if there are none."""

    def __init__(
        self, dates: Iterable[datetime], parameter_defaults: dict[str, Any] | None = None, labels: list[str] | None = None
    ) -> None:
        if isinstance(dates, str) or not isinstance(dates, Iterable):
            raise TypeError(f"DatesClock: dates should be a list of datetimes, not {dates!r}")
        self.dates = [aware(date, "DatesClock: dates") for date in dates]
        if not self.dates:
            raise ScheduleError("DatesClock: dates should not be empty")
        super().__init__(min(self.dates, key=in_utc), max(self.dates, key=in_utc), parameter_defaults, labels)

    def events(self, after: datetime | None = None) -> Iterator[ClockEvent]:
        """Those of the dates that are later than `after` (or now), each in its own zone."""
        bound = in_utc(current_time() if after is None else after)
        by_moment = {in_utc(date): date for date in self.dates}
        for moment in sorted(by_moment):
            if moment > bound:
                yield ClockEvent(by_moment[moment], self.parameter_defaults, self.labels)

    def serialize(self) -> dict[str, Any]:
        """As for every Clock."""
        return self._written(dates=[written_time(date) for date in self.dates])


class RRuleClock(Clock):
    """Events by a recurrence rule of dateutil, an `rrule` or `rruleset`, on the wall clock of its own zone (UTC if naive).

    A time that is skipped when clocks are moved is as much later; of one that comes twice, the first is meant.
    """

    def __init__(
        self,
        rrule_obj: rrule | rruleset,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        parameter_defaults: dict[str, Any] | None = None,
        labels: list[str] | None = None,
    ) -> None:
        self.rrule_obj = recurrences.checked(rrule_obj)
        self._zone = recurrences.zone_of(rrule_obj)
        super().__init__(start_date, end_date, parameter_defaults, labels)

    @property
    def zone(self) -> tzinfo:
        """The zone of the rule."""
        return self._zone

    def serialize(self) -> dict[str, Any]:
        """As for every Clock."""
        return self._written(rrule_obj=written_rule(self.rrule_obj), **self._written_range())

    def _moments(self, bound: datetime) -> Iterator[datetime]:
        begin = wall_before(bound, self._zone)
        return moments(recurrences.walls(self.rrule_obj, self._zone, begin), self._zone, first_pass)
