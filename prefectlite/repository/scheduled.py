"""Flows that run by a schedule, and the runs that were made for it beforehand."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from prefectlite.repository.database import Database

_ACTIVE = "f.is_schedule_active = 1 AND f.archived = 0 AND coalesce(g.schedule, f.schedule) IS NOT NULL"
_FLOWS = "flow f JOIN flow_group g ON g.id = f.flow_group_id"


class ScheduledFlow(msgspec.Struct, frozen=True):
    """A flow and the schedule that counts for it, that of its group before its own, as a document."""

    id: str
    name: str
    runtime: str
    schedule: dict[str, Any]
    parameters: list[dict[str, Any]]
    defaults: dict[str, Any]

    def without_value(self) -> set[str]:
        """The parameters that every run must be given."""
        required = {parameter["name"] for parameter in self.parameters if parameter.get("required")}
        return required - set(self.defaults)


async def active_flows(database: Database) -> list[str]:
    """The ids of the flows whose schedule is on."""
    return [row[0] for row in await database.read(f"SELECT f.id FROM {_FLOWS} WHERE {_ACTIVE}")]


async def scheduled_flow(database: Database, flow_id: str, *, active: bool = True) -> ScheduledFlow | None:
    """A flow with its schedule; None if it has none or, with `active`, if that is off."""
    which = _ACTIVE if active else "coalesce(g.schedule, f.schedule) IS NOT NULL"
    rows = await database.read(
        "SELECT f.id, f.name, f.runtime, coalesce(g.schedule, f.schedule), f.parameters, g.default_parameters"
        f" FROM {_FLOWS} WHERE f.id = $1 AND {which}",
        (flow_id,),
    )
    if not rows:
        return None
    row_id, name, runtime, *documents = rows[0]
    return ScheduledFlow(row_id, name, runtime, *map(msgspec.json.decode, documents))


async def known_keys(database: Database, flow_id: str, keys: Collection[str]) -> set[str]:
    """Those of these idempotency keys that runs of the flow have."""
    among = database.dialect.among("idempotency_key", "$2")
    sql = f"SELECT idempotency_key FROM flow_run WHERE flow_id = $1 AND {among}"
    return {row[0] for row in await database.read(sql, (flow_id, database.dialect.listed(keys)))}


async def waiting_runs(database: Database, flow_id: str, before: int) -> list[tuple[str, int]]:
    """(id, due time) of the runs that the flow's schedule made, were due before a moment, and have not begun; in order."""
    rows = await database.read(
        "SELECT id, scheduled_start_time FROM flow_run WHERE flow_id = $1 AND scheduled_start_time < $2"
        " AND auto_scheduled = 1 AND state = 'Scheduled' ORDER BY scheduled_start_time",
        (flow_id, before),
    )
    return [(run_id, due) for run_id, due in rows]


async def last_made(database: Database, flow_id: str) -> int | None:
    """When the last run is, or was, due that the flow's schedule made."""
    sql = "SELECT max(scheduled_start_time) FROM flow_run WHERE flow_id = $1 AND auto_scheduled = 1"
    ((last,),) = await database.read(sql, (flow_id,))
    return None if last is None else int(last)
