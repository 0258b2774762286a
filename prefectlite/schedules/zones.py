"""Time zones, and moments in them: always with a zone, so that nobody has to guess what a datetime means."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from prefectlite.errors import ScheduleError
from prefectlite.schedules.wall_clock import later_pass

_OFFSET = re.compile(r"[+-](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?")
_DAY = timedelta(days=1)


def aware(moment: Any, what: str) -> datetime:
    """`moment` as a plain datetime in a zone that has a name or a fixed offset; naive ones are in UTC.

    Datetimes of other libraries will do, if their zone says its name. Raises TypeError, naming `what`, for anything else,
    ScheduleError for a zone without a name.
    """
    if not isinstance(moment, datetime):
        raise TypeError(f"{what} should be a datetime, not {moment!r}")
    if moment.tzinfo is None:
        return _plain(moment).replace(tzinfo=UTC)
    zone = _known(moment.tzinfo, moment, what)
    if moment.tzinfo is zone:
        return _plain(moment)
    try:
        return _plain(moment.astimezone(UTC)).astimezone(zone)
    except OverflowError:
        raise ScheduleError(f"{what}: {moment} is out of range") from None


def zone_named(name: str) -> tzinfo:
    """The zone of a name such as "UTC", "Europe/Berlin" or "+05:30". Raises ScheduleError if there is none."""
    if name in ("UTC", "Z"):
        return UTC
    if _OFFSET.fullmatch(name):
        return datetime.fromisoformat(f"2000-01-01T00:00:00{name}").tzinfo or UTC
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # unknown; no name at all; the name of a directory, or too long for a file
        raise ScheduleError(f"Invalid timezone provided for schedule: {name}") from None


def name_of(zone: tzinfo) -> str:
    """What `zone_named` makes this zone of again."""
    if isinstance(zone, ZoneInfo):
        return str(zone.key)
    return "UTC" if zone is UTC else datetime(2000, 1, 1, tzinfo=zone).isoformat()[19:]


def plus(moment: datetime, duration: timedelta) -> datetime:
    """`moment` so much later (or earlier): whole days by the calendar and the clock on the wall, the rest as time elapsed.

    So a day after nine o'clock is nine o'clock, also where the day has 23 hours. A time on the wall that is skipped then is
    as much later as the clock was moved; of one that comes twice, the second is meant.
    """
    days, rest = divmod(abs(duration), _DAY)
    sign = -1 if duration < timedelta() else 1
    zone = moment.tzinfo
    assert zone is not None
    start = moment.astimezone(UTC)
    if days:
        start = later_pass(moment.replace(tzinfo=None, fold=0) + sign * days * _DAY, zone)[0]
    return (start + sign * rest).astimezone(zone)


def _plain(moment: datetime) -> datetime:
    """The same without what a subclass of datetime has of its own."""
    if type(moment) is datetime:
        return moment
    date, time = (moment.year, moment.month, moment.day), (moment.hour, moment.minute, moment.second, moment.microsecond)
    return datetime(*date, *time, tzinfo=moment.tzinfo, fold=moment.fold)


def _known(zone: tzinfo, moment: datetime, what: str) -> tzinfo:
    if zone is UTC or (type(zone) is ZoneInfo and zone.key and zone.key != "UTC"):
        return zone
    for attribute in ("key", "zone", "name", "_filename"):  # of zoneinfo and pendulum, pytz, older pendulum, dateutil
        name = getattr(zone, attribute, None)
        if isinstance(name, str) and name:
            try:
                return zone_named(name.rpartition("zoneinfo/")[2])
            except ScheduleError:
                continue
    fixed = zone.utcoffset(None)
    if fixed is None:
        raise ScheduleError(
            f"{what}: the time zone {zone!r} does not say its name: use zoneinfo.ZoneInfo, as in ZoneInfo('Europe/Berlin')"
        )
    return timezone(fixed) if fixed else UTC
