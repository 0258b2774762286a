"""Mutations of schedules."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import graphene

from prefectlite.api.context import Context
from prefectlite.api.mutation import DONE, SUCCESS, Payload, mutation, text
from prefectlite.api.scalars import JSON, UUID, DateTime
from prefectlite.api.state_json import json_object
from prefectlite.api.types import input_type, listed
from prefectlite.errors import BadRequest
from prefectlite.roles import OPERATORS
from prefectlite.schedules import Schedule
from prefectlite.schedules.documents import schedule_from

_SECOND = 1_000_000


async def set_flow_group_schedule(context: Context, given: Payload) -> Payload:
    schedule = _schedule(given, context.session.clock.now())
    await context.session.client.flows.set_group_schedule(given["flow_group_id"], schedule.serialize())
    return DONE


async def delete_flow_group_schedule(context: Context, given: Payload) -> Payload:
    await context.session.client.flows.set_group_schedule(given["flow_group_id"], None)
    return DONE


async def backfill_flow(context: Context, given: Payload) -> Payload:
    client = context.session.client
    return {"flow_run_ids": await client.schedules.backfill(given["flow_id"], given["start"], given["end"])}


def _schedule(given: Payload, now: datetime) -> Schedule:
    """The schedule that a caller describes by clocks, or as a whole. Raises BadRequest and ScheduleError."""
    if given.get("schedule") is not None:
        return schedule_from(json_object(given["schedule"], "schedule"))
    start = {"dt": now.astimezone(_zone(given.get("timezone"))).replace(tzinfo=None).isoformat(), "tz": _name(given)}
    clocks: list[dict[str, Any]] = [
        {"type": "CronClock", "cron": clock["cron"], "start_date": start, **_defaults(clock)}
        for clock in given.get("cron_clocks") or ()
    ]
    clocks += [
        {"type": "IntervalClock", "interval": clock["interval"] * _SECOND, "start_date": start, **_defaults(clock)}
        for clock in given.get("interval_clocks") or ()
    ]
    if not clocks:
        raise BadRequest("A schedule needs cron_clocks or interval_clocks")
    return schedule_from({"type": "Schedule", "clocks": clocks})


def _name(given: Payload) -> str:
    return given.get("timezone") or "UTC"


def _zone(name: str | None) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (ValueError, OSError):  # no such zone, or no name at all
        raise BadRequest(f"Invalid timezone provided for schedule: {name}") from None


def _defaults(clock: Payload) -> dict[str, Any]:
    given = clock.get("parameter_defaults")
    return {} if given is None else {"parameter_defaults": json_object(given, "parameter_defaults")}


_group = {"flow_group_id": UUID(required=True)}
_cron = {"cron": text(required=True), "parameter_defaults": JSON()}
_interval = {"interval": graphene.Int(required=True), "parameter_defaults": JSON()}
FIELDS = {
    "set_flow_group_schedule": mutation(
        set_flow_group_schedule,
        {
            **_group,
            "cron_clocks": listed(input_type("cron_clock_input", _cron, "Times by a cron expression.")),
            "interval_clocks": listed(input_type("interval_clock_input", _interval, "Every so many seconds.")),
            "timezone": text(),
            "schedule": JSON(),
        },
        SUCCESS,
        "When all versions of a flow run, in place of their own schedule: by clocks, or a whole `schedule` as JSON.",
        needs=OPERATORS,
    ),
    "delete_flow_group_schedule": mutation(
        delete_flow_group_schedule,
        _group,
        SUCCESS,
        "Have the versions of a flow run by their own schedule again.",
        needs=OPERATORS,
    ),
    "backfill_flow": mutation(
        backfill_flow,
        {"flow_id": UUID(required=True), "start": DateTime(required=True), "end": DateTime(required=True)},
        {"flow_run_ids": listed(text)},
        "Make the runs of a flow's schedule from `start` up to `end` that are missing.",
        needs=OPERATORS,
    ),
}
