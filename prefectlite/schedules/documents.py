"""Schedules from JSON values: our own, and those that a Prefect 1.4 client sends. Nothing is imported by name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any, TypeVar

from prefectlite.errors import ScheduleError
from prefectlite.schedules import adjustments, filters
from prefectlite.schedules.clocks import Clock, CronClock, DatesClock, IntervalClock, RRuleClock
from prefectlite.schedules.schedules import Schedule
from prefectlite.schedules.written import json_value, read_argument, read_rule, read_time

#: How many clocks or filters there may be, and how many dates of a clock.
MOST_PARTS, MOST_DATES = 100, 1_000
Read = TypeVar("Read")
_LISTS = ("clocks", "filters", "or_filters", "not_filters", "adjustments")
_POLICIES = ("missed", "missed_window", "overlap", "jitter")
_SHORTEST = timedelta(minutes=1)


def schedule_from(document: Any) -> Schedule:
    """The schedule that `document` describes. Raises ScheduleError that names the clock and the key at fault."""
    content = _keys(document, "A schedule", _LISTS + _POLICIES)
    if document.get("type", "Schedule") != "Schedule":
        raise ScheduleError(f"A schedule: type: should be 'Schedule', not {document['type']!r}")
    lists = {key: _reading(key, _list, content[key]) for key in _LISTS if content.get(key) is not None}
    if "clocks" not in lists:
        raise ScheduleError("A schedule: clocks: is missing")
    policies = {
        key: _reading(key, _micros, content[key]) if key in ("missed_window", "jitter") else content[key]
        for key in _POLICIES
        if content.get(key) is not None
    }
    return _reading(
        "A schedule",
        Schedule,
        clocks=[_clock(value, f"clocks[{place}]") for place, value in enumerate(lists["clocks"])],
        **{key: _functions(lists.get(key), key, filters) for key in ("filters", "or_filters", "not_filters")},
        adjustments=_functions(lists.get("adjustments"), "adjustments", adjustments),
        **policies,
    )


def _clock(value: Any, where: str) -> Clock:
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in _CLOCKS:
        raise ScheduleError(f"{where}: type: should be one of {', '.join(_CLOCKS)}, not {kind!r}")
    made, readers = _CLOCKS[kind]
    where = f"{where} ({kind})"
    given = _keys(value, where, tuple(readers))
    for key in readers:
        if key not in given and key in _NEEDED:
            raise ScheduleError(f"{where}: {key}: is missing")
    arguments = {key: _reading(f"{where}: {key}", readers[key], content) for key, content in given.items()}
    return _reading(where, made, **arguments)


def _functions(values: list[Any] | None, key: str, known: ModuleType) -> list[Any]:
    return [_function(value, f"{key}[{place}]", known) for place, value in enumerate(values or ())]


def _function(value: Any, where: str, known: ModuleType) -> Any:
    given = _keys(value, where, ("fn", "kwargs"))
    module, _, name = str(given.get("fn")).rpartition(".")
    arguments = given.get("kwargs") or {}
    if module not in (known.__name__, known.__name__.replace("prefectlite.", "prefect.")):
        name = ""
    if name in known.PLAIN and not arguments:
        return known.PLAIN[name]
    if name not in known.MAKERS or not isinstance(arguments, dict):
        raise ScheduleError(f"{where}: there is no {given.get('fn')!r} with the arguments {arguments!r}")
    read = {key: _reading(f"{where}: {key}", read_argument, content) for key, content in arguments.items()}
    return _reading(where, known.MAKERS[name], **read)


def _reading(where: str, read: Callable[..., Read], *values: Any, **arguments: Any) -> Read:
    """What `read` makes of them; what it raises says where."""
    try:
        return read(*values, **arguments)
    except (TypeError, ValueError, OverflowError) as error:
        raise ScheduleError(f"{where}: {error}") from error


def _keys(value: Any, where: str, known: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ScheduleError(f"{where}: should be an object, not {value!r}")
    unknown = [key for key in value if key not in (*known, "type", "__version__")]
    if unknown:
        raise ScheduleError(f"{where}: {unknown[0]}: is not known; known are {', '.join(known)}")
    return {key: value[key] for key in known if key in value}


def _list(value: Any, most: int = MOST_PARTS) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise ScheduleError(f"should be a list of at most {most}, not {str(value)[:100]}")
    return value


def _dates(value: Any) -> list[datetime | None]:
    return [read_time(date) for date in _list(value, MOST_DATES)]


def _micros(value: Any) -> timedelta:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ScheduleError(f"should be a whole number of microseconds, not {value!r}")
    return timedelta(microseconds=value)


def _interval(value: Any) -> timedelta:
    interval = _micros(value)
    if interval < _SHORTEST:
        raise ScheduleError(f"Interval can not be less than one minute, but is {interval}")
    return interval


def _parameters(value: Any) -> dict[str, Any] | None:
    if value is not None and not isinstance(value, dict):
        raise ScheduleError(f"should be an object, not {value!r}")
    return json_value(value, "it")  # type: ignore[no-any-return]


def _labels(value: Any) -> list[str] | None:
    if value is not None and not (isinstance(value, list) and all(isinstance(label, str) for label in value)):
        raise ScheduleError(f"should be a list of strings, not {value!r}")
    return value


def _switch(value: Any) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise ScheduleError(f"should be true or false, not {value!r}")
    return value


def _itself(value: Any) -> Any:
    return value


_RUNS: dict[str, Callable[[Any], Any]] = {"parameter_defaults": _parameters, "labels": _labels}
_RANGE: dict[str, Callable[[Any], Any]] = {"start_date": read_time, "end_date": read_time, **_RUNS}
_CLOCKS: dict[str, tuple[Callable[..., Clock], dict[str, Callable[[Any], Any]]]] = {
    "IntervalClock": (IntervalClock, {"interval": _interval, **_RANGE}),
    "CronClock": (CronClock, {"cron": _itself, **_RANGE, "day_or": _switch, "dst": _itself}),
    "DatesClock": (DatesClock, {"dates": _dates, **_RUNS}),
    "RRuleClock": (RRuleClock, {"rrule_obj": read_rule, **_RANGE}),
}
_NEEDED = ("interval", "cron", "dates", "rrule_obj")
