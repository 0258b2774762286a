"""Events: the moments at which a schedule wants its flow to run, and with what."""

from __future__ import annotations

import functools
import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from prefectlite.errors import ScheduleError


@functools.total_ordering
class ClockEvent:
    """A run that a clock asks for: when, with which parameters, and for agents of which labels.

    Events stand in the order of their start times, among each other and with datetimes; they are equal if all three are.
    """

    __slots__ = ("labels", "parameter_defaults", "start_time")
    __hash__ = None  # type: ignore[assignment]  # the parameters may be changed

    def __init__(
        self, start_time: datetime, parameter_defaults: dict[str, Any] | None = None, labels: list[str] | None = None
    ) -> None:
        self.start_time, self.parameter_defaults, self.labels = start_time, parameter_defaults or {}, labels

    def __repr__(self) -> str:
        return f"<{self.start_time},{self.labels},{self.parameter_defaults}>"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, datetime):
            return in_utc(self.start_time) == in_utc(other)
        if not isinstance(other, ClockEvent):
            return NotImplemented
        same = in_utc(self.start_time) == in_utc(other.start_time)
        return same and (self.parameter_defaults, self.labels) == (other.parameter_defaults, other.labels)

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, ClockEvent | datetime):
            return NotImplemented
        return in_utc(self.start_time) < in_utc(other.start_time if isinstance(other, ClockEvent) else other)


def in_utc(moment: datetime) -> datetime:
    """`moment` in UTC, the one zone in which comparing is safe (within others the hour that comes twice is ignored)."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def event_key(event: ClockEvent) -> str:
    """A short text that is the same whenever the same event is computed: its moment, and a digest of what it runs with.

    The order of labels and of keys does not matter. Raises ScheduleError for parameters that are not JSON.
    """
    moment = in_utc(event.start_time).replace(tzinfo=None).isoformat() + "Z"
    labels = sorted(set(event.labels or ()))
    if not event.parameter_defaults and not labels:
        return moment
    try:
        content = json.dumps([event.parameter_defaults, labels], sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise ScheduleError(f"The event at {moment}: its parameter_defaults are not JSON: {error}") from None
    return f"{moment}-{hashlib.sha256(content.encode()).hexdigest()[:32]}"
