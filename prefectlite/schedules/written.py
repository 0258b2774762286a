"""The values of a schedule as JSON, as Prefect 1.x writes them: moments, recurrence rules, the arguments of filters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

from dateutil.rrule import rrule, rruleset, rrulestr

from prefectlite.errors import ScheduleError
from prefectlite.schedules import recurrences
from prefectlite.schedules.zones import aware, name_of, zone_named

_LONGEST_RULE, _MOST_RULES, _MOST_DATES = 10_000, 10, 1_000


def json_value(value: Any, what: str) -> Any:
    """`value`, if JSON can hold it as it is. Raises ScheduleError, naming `what`."""
    try:
        if json.loads(json.dumps(value, allow_nan=False)) == value:
            return value
        why = "it would be read back as something else"
    except (TypeError, ValueError, RecursionError) as error:
        why = str(error)
    raise ScheduleError(f"{what} must be JSON compatible: {why}. Unable to serialize {value!r}.")


def written_time(moment: datetime | None) -> dict[str, Any] | None:
    """`{"dt": "2024-01-31T09:00:00", "tz": "Europe/Berlin"}`: what the wall clock shows, and whose.

    Of a time that comes twice, the second has `"fold": 1`, too.
    """
    if moment is None:
        return None
    assert moment.tzinfo is not None
    second = moment.fold and moment.utcoffset() != moment.replace(fold=0).utcoffset()
    local = moment.replace(tzinfo=None, fold=0).isoformat()
    return {"dt": local, "tz": name_of(moment.tzinfo), **({"fold": 1} if second else {})}


def read_time(value: Any) -> datetime | None:
    """The moment that `written_time` wrote. Raises ScheduleError."""
    if value is None:
        return None
    if not isinstance(value, dict) or not {"dt", "tz"} <= value.keys() <= {"dt", "tz", "fold"}:
        raise ScheduleError(f'should be {{"dt": "2024-01-31T09:00:00", "tz": "Europe/Berlin"}}, not {value!r}')
    zone = zone_named(_text(value["tz"], "tz"))
    moment = _iso(value["dt"])
    if moment.tzinfo is not None:
        return aware(moment, "dt").astimezone(zone)
    return moment.replace(tzinfo=zone, fold=1 if value.get("fold") == 1 else 0)


def written_rule(rule: rrule | rruleset) -> dict[str, Any]:
    """A recurrence rule: its text, its first and last datetime, and its zone, which the text does not tell."""
    if isinstance(rule, rrule):
        return {"type": "rrule", **_written_part(rule), "tz": name_of(recurrences.zone_of(rule))}
    return {
        "type": "rruleset",
        "_rrule": [_written_part(part) for part in rule._rrule],
        "_exrule": [_written_part(part) for part in rule._exrule],
        "_rdate": [_plain_iso(moment) for moment in rule._rdate],
        "_exdate": [_plain_iso(moment) for moment in rule._exdate],
        "tz": name_of(recurrences.zone_of(rule)),
    }


def read_rule(value: Any) -> rrule | rruleset:
    """The rule that `written_rule` wrote, or a Prefect client, which tells no zone but an offset. Raises ScheduleError."""
    if not isinstance(value, dict) or value.get("type") not in ("rrule", "rruleset"):
        raise ScheduleError(f'should be an object with "type": "rrule" or "rruleset", not {value!r}')
    zone = None if value.get("tz") is None else zone_named(_text(value["tz"], "tz"))
    if value["type"] == "rrule":
        return _read_part(value, zone)
    most = {"_rrule": _MOST_RULES, "_exrule": _MOST_RULES, "_rdate": _MOST_DATES, "_exdate": _MOST_DATES}
    parts = {key: value.get(key) or [] for key in most}
    for key, part in parts.items():
        if not isinstance(part, list) or len(part) > most[key]:
            raise ScheduleError(f"{key} should be a list of at most {most[key]}")
    rules = rruleset()
    for part in parts["_rrule"]:
        rules.rrule(_read_part(part, zone))
    for part in parts["_exrule"]:
        rules.exrule(_read_part(part, zone))
    for text in parts["_rdate"]:
        rules.rdate(_in_zone(_iso(text), zone))
    for text in parts["_exdate"]:
        rules.exdate(_in_zone(_iso(text), zone))
    return rules


def written_argument(value: Any) -> Any:
    """An argument of a filter or adjustment: moments, times and durations are text that says what it is."""
    if isinstance(value, datetime):
        return f"//datetime:{value.isoformat()}"
    if isinstance(value, time):
        return f"//time:{value.isoformat()}"
    return f"//timedelta:{value.total_seconds()}" if isinstance(value, timedelta) else value


def read_argument(value: Any) -> Any:
    """The argument that `written_argument` wrote. Raises ValueError or OverflowError."""
    kind, found, text = value.partition(":") if isinstance(value, str) else ("", "", "")
    if found and kind == "//datetime":
        return _iso(text)
    if found and kind == "//date":
        return date.fromisoformat(text)
    if found and kind == "//time":
        return time.fromisoformat(text)
    return timedelta(seconds=float(text)) if found and kind == "//timedelta" else value


def _written_part(rule: rrule) -> dict[str, Any]:
    until = None if rule._until is None else _plain_iso(rule._until)
    return {"_dtstart": _plain_iso(rule._dtstart), "_until": until, "rr": str(rule)}


def _read_part(value: Any, zone: Any) -> rrule:
    if not isinstance(value, Mapping) or len(_text(value.get("rr"), "rr")) > _LONGEST_RULE:
        raise ScheduleError(f"is no recurrence rule: {str(value)[:100]!r}")
    start, until = _in_zone(_iso(value.get("_dtstart")), zone), value.get("_until")
    try:
        # The dates in the text have no zone, and its last one may not stand beside a count: both come from the other keys.
        lines = [line for line in value["rr"].splitlines() if not line.startswith("DTSTART")]
        clauses = [clause for clause in "".join(lines).split(";") if not clause.startswith("UNTIL=")]
        rule = rrulestr(";".join(clauses), dtstart=start)
        if not isinstance(rule, rrule):
            raise ScheduleError(f"is more than one recurrence rule: {value['rr']!r}")
        recurrences.checked(rule)
        if until is not None:  # set like this, since dateutil warns whoever makes a rule with both a count and an end
            rule._until = _in_zone(_iso(until), zone)
        return rule
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise ScheduleError(f"is no recurrence rule: {value['rr']!r}: {error}") from None


def _plain_iso(moment: datetime) -> str:
    return moment.isoformat() if moment.tzinfo is None else aware(moment, "A recurrence rule's datetime").isoformat()


def _in_zone(moment: datetime, zone: Any) -> datetime:
    if moment.tzinfo is None or zone is None:
        return moment
    return moment.astimezone(zone)


def _iso(value: Any) -> datetime:
    try:
        return datetime.fromisoformat(_text(value, "a datetime"))
    except ValueError:
        raise ScheduleError(f"{value!r} is no datetime such as '2024-01-31T09:00:00'") from None


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise ScheduleError(f"{what} should be text, not {value!r}")
    return value
