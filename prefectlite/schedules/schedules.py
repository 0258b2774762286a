"""Schedules: clocks joined, filtered and adjusted, and what is to be done about runs that were missed or overlap."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, get_args, overload

from dateutil.rrule import rrule, rruleset

from prefectlite.clock import current_time
from prefectlite.errors import ScheduleError
from prefectlite.schedules import adjustments as known_adjustments
from prefectlite.schedules import filters as known_filters
from prefectlite.schedules.adjustments import Adjustment
from prefectlite.schedules.clocks import Clock, CronClock, IntervalClock, RRuleClock
from prefectlite.schedules.events import ClockEvent, in_utc
from prefectlite.schedules.filters import Filter
from prefectlite.schedules.moment_function import MomentFunction
from prefectlite.schedules.written import written_argument
from prefectlite.schedules.zones import aware

Missed = Literal["skip", "latest", "all"]
Overlap = Literal["allow", "skip", "queue", "cancel"]
#: After so many events of the clocks a schedule stops looking for one that its filters keep.
MOST_CANDIDATES = 10_000


class Schedule:
    """When a flow is to run: the events of `clocks`, merged, that pass the filters, adjusted.

    An event is kept if all of `filters`, at least one of `or_filters` (if there are any) and none of `not_filters` say so;
    then the `adjustments` move it, one after another. Filters get the moment in the zone of its clock.

    A server that was down makes up for no runs (`missed="skip"`), the last or all of them, those of the last
    `missed_window`. While a run is under way, the next one is started beside it (`overlap="allow"`), left out ("skip"),
    waits for it ("queue") or cancels it ("cancel"). Runs begin up to `jitter` late, so that many do not begin at once.
    Raises TypeError or ScheduleError.
    """

    def __init__(
        self,
        clocks: Iterable[Clock],
        filters: Sequence[Filter] | None = None,
        or_filters: Sequence[Filter] | None = None,
        not_filters: Sequence[Filter] | None = None,
        adjustments: Sequence[Adjustment] | None = None,
        *,
        missed: Missed = "skip",
        missed_window: timedelta | None = None,
        overlap: Overlap = "allow",
        jitter: timedelta | None = None,
    ) -> None:
        if not isinstance(clocks, Iterable):
            raise TypeError("clocks should be a list of clocks.")
        self.clocks = list(clocks)
        for clock in self.clocks:
            if not callable(getattr(clock, "events", None)):
                raise TypeError(f"clocks should be a list of clocks, not of {clock!r}")
        self.filters = _functions(filters, "filters")
        self.or_filters = _functions(or_filters, "or_filters")
        self.not_filters = _functions(not_filters, "not_filters")
        self.adjustments = _functions(adjustments, "adjustments")
        self.missed, self.overlap = _one_of(missed, Missed, "missed"), _one_of(overlap, Overlap, "overlap")
        self.missed_window, self.jitter = _duration(missed_window, "missed_window"), _duration(jitter, "jitter")
        if missed_window is not None and missed == "skip":
            raise ScheduleError(
                "missed_window says how old a missed run may be that is made up for; missed='skip' skips all"
            )

    @property
    def start_date(self) -> datetime | None:
        """The earliest of the clocks' start dates; None if none has one."""
        dates = [clock.start_date for clock in self.clocks if clock.start_date is not None]
        return min(dates, key=in_utc, default=None)

    @property
    def end_date(self) -> datetime | None:
        """The latest of the clocks' end dates; None if none has one."""
        dates = [clock.end_date for clock in self.clocks if clock.end_date is not None]
        return max(dates, key=in_utc, default=None)

    @overload
    def next(self, n: int, after: datetime | None = None, return_events: Literal[False] = False) -> list[datetime]: ...

    @overload
    def next(self, n: int, after: datetime | None = None, *, return_events: Literal[True]) -> list[ClockEvent]: ...

    @overload
    def next(self, n: int, after: datetime | None, return_events: Literal[True]) -> list[ClockEvent]: ...

    def next(self, n: int, after: datetime | None = None, return_events: bool = False) -> list[datetime] | list[ClockEvent]:
        """The start times of the next `n` events later than `after` (or now), or the events themselves.

        They are fewer where the clocks end, or where the filters keep too few of the clocks' next 10,000.
        """
        found = list(itertools.islice(self._kept(current_time() if after is None else after), max(n, 0)))
        return found if return_events else [event.start_time for event in found]

    def serialize(self) -> dict[str, Any]:
        """The schedule as JSON values, of which `schedule_from` makes one again. Raises ScheduleError if that cannot be."""
        return {
            "type": "Schedule",
            "clocks": [_written_clock(clock) for clock in self.clocks],
            "filters": [_written_function(f, "filters", known_filters) for f in self.filters],
            "or_filters": [_written_function(f, "or_filters", known_filters) for f in self.or_filters],
            "not_filters": [_written_function(f, "not_filters", known_filters) for f in self.not_filters],
            "adjustments": [_written_function(f, "adjustments", known_adjustments) for f in self.adjustments],
            "missed": self.missed,
            "missed_window": _micros(self.missed_window),
            "overlap": self.overlap,
            "jitter": _micros(self.jitter),
        }

    def _kept(self, after: datetime) -> Iterator[ClockEvent]:
        merged = heapq.merge(*(clock.events(after) for clock in self.clocks), key=lambda event: in_utc(event.start_time))
        seen: dict[datetime, list[ClockEvent]] = {}
        for event in itertools.islice(merged, MOST_CANDIDATES):
            if not self._keeps(event.start_time):
                continue
            adjusted = self._adjusted(event)
            same_time = seen.setdefault(in_utc(adjusted.start_time), [])
            if adjusted not in same_time:  # of another clock, or moved to the same time by an adjustment
                same_time.append(adjusted)
                yield adjusted

    def _keeps(self, moment: datetime) -> bool:
        if self.or_filters and not any(keeps(moment) for keeps in self.or_filters):
            return False
        return all(keeps(moment) for keeps in self.filters) and not any(keeps(moment) for keeps in self.not_filters)

    def _adjusted(self, event: ClockEvent) -> ClockEvent:
        if not self.adjustments:
            return event
        moment = event.start_time
        for adjust in self.adjustments:
            moment = aware(adjust(moment), f"What the adjustment {adjust!r} returns")
        return ClockEvent(moment, event.parameter_defaults, event.labels)


def IntervalSchedule(
    start_date: datetime | None = None,
    interval: timedelta | None = None,
    end_date: datetime | None = None,
    **policies: Any,
) -> Schedule:
    """A Schedule with one IntervalClock; `policies` are those of Schedule."""
    return Schedule([IntervalClock(interval, start_date, end_date)], **policies)  # type: ignore[arg-type]  # it refuses None


def CronSchedule(
    cron: str,
    start_date: datetime | None = None,
    end_date: datetime | None = None,
    day_or: bool | None = None,
    *,
    dst: str = "debian",
    **policies: Any,
) -> Schedule:
    """A Schedule with one CronClock; `policies` are those of Schedule."""
    return Schedule([CronClock(cron, start_date, end_date, day_or=day_or, dst=dst)], **policies)


def RRuleSchedule(
    rrule_obj: rrule | rruleset,
    start_date: datetime | None = None,
    end_date: datetime | None = None,
    **policies: Any,
) -> Schedule:
    """A Schedule with one RRuleClock; `policies` are those of Schedule."""
    return Schedule([RRuleClock(rrule_obj, start_date, end_date)], **policies)


def _functions(given: Sequence[Callable[..., Any]] | None, what: str) -> list[Any]:
    functions = list(given) if isinstance(given, Iterable) else given
    if functions is None:
        return []
    if not isinstance(functions, list) or not all(callable(function) for function in functions):
        raise TypeError(f"{what} should be a list of functions of a datetime, not {given!r}")
    return functions


def _one_of(value: Any, words: Any, what: str) -> Any:
    if value not in get_args(words):
        raise ScheduleError(f"{what} should be one of {', '.join(map(repr, get_args(words)))}, not {value!r}")
    return value


def _duration(value: Any, what: str) -> timedelta | None:
    if value is not None and not isinstance(value, timedelta):
        raise TypeError(f"{what} should be a timedelta, not {value!r}")
    if value is not None and value <= timedelta():
        raise ScheduleError(f"{what} should be greater than 0, not {value}")
    return value


def _micros(value: timedelta | None) -> int | None:
    return None if value is None else value // timedelta(microseconds=1)


def _written_clock(clock: Any) -> Any:
    if not isinstance(clock, Clock):
        raise ScheduleError(f"{clock!r} is none of the clocks of prefectlite, and only those can be serialized")
    return clock.serialize()


def _written_function(function: Any, what: str, known: Any) -> dict[str, Any]:
    """`{"fn": …, "kwargs": {…}}`, with the name that it has in Prefect, too."""
    prefix = known.__name__.replace("prefectlite.", "prefect.")
    if isinstance(function, MomentFunction) and function.maker in known.MAKERS.values():
        arguments = {name: written_argument(value) for name, value in function.arguments.items()}
        return {"fn": f"{prefix}.{function.maker.__name__}", "kwargs": arguments}
    if function in known.PLAIN.values():
        return {"fn": f"{prefix}.{function.__name__}", "kwargs": {}}
    raise ScheduleError(
        f"Custom functions aren't supported for `Schedule.{what}` of flows that are given to a server."
        f" Unable to serialize `{function!r}`."
    )
