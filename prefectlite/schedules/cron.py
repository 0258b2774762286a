"""Cron expressions: the times on the wall that they name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from cronsim import CronSim, CronSimError

from prefectlite.errors import ScheduleError

_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_WEEKDAYS = dict(zip("SUN MON TUE WED THU FRI SAT".split(), range(7), strict=True))
_MONTHS = dict(zip("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split(), range(1, 13), strict=True))
_Values = tuple[int, int, dict[str, int]]  # the least and greatest of a field, and their names
_FIELDS: list[_Values] = [(0, 59, {}), (0, 23, {}), (1, 31, {}), (1, 12, _MONTHS), (0, 6, _WEEKDAYS), (0, 59, {})]
_RANGE = re.compile(r"(\w+)-(\w+)(?:/(\d+))?")
_LONGEST = 1000
_ANY_DAY = datetime(2000, 1, 1)


class CronExpression:
    """Five fields (minute, hour, day of the month, month, day of the week), a sixth for seconds, or `@daily` and the like.

    Where both day fields are restricted, either may match; with `day_or=False` both must. `*/2` restricts, `*` and `?` do
    not. Raises ScheduleError for text that is no cron expression, and for days that do not exist.
    """

    def __init__(self, text: str, day_or: bool) -> None:
        if not isinstance(text, str):
            raise TypeError(f"cron should be a string, not {text!r}")
        fields = _ALIASES.get(text.lower(), text).upper().split()
        if len(fields) not in (5, 6) or len(text) > _LONGEST:
            raise ScheduleError(f"Invalid cron string: {text[:_LONGEST]}")
        fields[2], fields[4] = (_star(field) for field in (fields[2], fields[4]))
        self.is_fixed = not fields[0].startswith("*") and not fields[1].startswith("*")
        self._both_days = not day_or or "*" in (fields[2], fields[4])
        try:
            translated = [_translated(field, values) for field, values in zip(fields, _FIELDS, strict=False)]
            self._fields = " ".join([*translated[5:], *translated[:5]])  # where we have seconds last, cronsim has them first
            self._exists()
        except (CronSimError, ValueError) as error:
            raise ScheduleError(f"Invalid cron string: {text}") from error

    def walls(self, after: datetime) -> Iterator[datetime]:
        """The times that match, later than `after`, as if clocks were never moved. Fifty years without one end it."""
        simulation = CronSim(self._fields, after)
        simulation.day_and = self._both_days
        return simulation

    def _exists(self) -> None:
        if next(self.walls(_ANY_DAY), None) is None:
            raise ValueError("no such day")


def _star(field: str) -> str:
    return "*" if field == "?" else field


def _translated(field: str, values: _Values) -> str:
    """The field as cronsim writes it: ranges that go round the end become lists, `L5` (the last Friday) becomes `5L`."""
    return ",".join(_translated_term(term, values) for term in field.split(","))


def _translated_term(term: str, values: _Values) -> str:
    least, greatest, names = values
    if names is _WEEKDAYS and re.fullmatch(r"L[0-7]", term):
        return f"{term[1]}L"
    if (found := _RANGE.fullmatch(term)) is None:
        return term
    first, last = (names[bound] if bound in names else int(bound) for bound in found.groups()[:2])
    if first <= last:
        return term
    if not (least <= first <= greatest and least <= last <= greatest):
        raise ValueError(term)
    around = [*range(first, greatest + 1), *range(least, last + 1)]
    return ",".join(map(str, around[:: int(found[3] or 1)]))
