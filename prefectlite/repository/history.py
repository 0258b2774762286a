"""The states of flow runs in the order of their commits, for those who do something about them, each from its own place."""

from __future__ import annotations

from typing import Any

import msgspec

from prefectlite.clock import from_micros
from prefectlite.repository import computed
from prefectlite.repository.database import Database, Transaction

#: States that are read at once.
AT_ONCE = 500
_AFTER = f"""
SELECT s.seq, s.flow_run_id, f.flow_group_id, s.state, s.timestamp, s.start_time
FROM flow_run_state s JOIN flow_run r ON r.id = s.flow_run_id JOIN flow f ON f.id = r.flow_id
WHERE s.seq > $1 ORDER BY s.seq LIMIT {AT_ONCE}
"""
_RUN = """
SELECT r.id, r.name, r.version, r.scheduled_start_time, r.start_time, r.end_time, r.labels, r.parameters,
    f.id, f.name, f.version, f.version_group_id, f.project_id,
    coalesce(s.state, r.state), coalesce(s.message, CASE WHEN s.seq IS NULL THEN r.state_message END),
    coalesce(s.timestamp, r.state_timestamp), coalesce(s.version, r.version)
FROM flow_run r JOIN flow f ON f.id = r.flow_id
    LEFT JOIN flow_run_state s ON s.flow_run_id = r.id AND s.seq = $2
WHERE r.id = $1
"""


class Entered(msgspec.Struct, frozen=True):
    """A run entered a state; `start_time` is when it is to begin, where the state says that."""

    seq: int
    flow_run_id: str
    flow_group_id: str
    state: str
    timestamp: int
    start_time: int | None


class Told(msgspec.Struct, frozen=True):
    """What messages say of a run and of one of its states."""

    flow_run: dict[str, Any]
    flow: dict[str, Any]
    state: dict[str, Any]


async def after(database: Database, seq: int) -> list[Entered]:
    """The next states after the one numbered `seq`."""
    return [Entered(*row) for row in await database.read(_AFTER, (seq,))]


async def place(database: Database, reader: str) -> int:
    """Up to which state a reader has been told."""
    ((value,),) = await database.read("SELECT value FROM counter WHERE name = $1", (reader,))
    return int(value)


async def move_place(tx: Transaction, reader: str, seq: int) -> None:
    """Note that a reader has been told up to this state; never back."""
    await tx.execute("UPDATE counter SET value = $2 WHERE name = $1 AND value < $2", (reader, seq))


async def told(database: Database, flow_run_id: str, seq: int | None) -> Told | None:
    """A run and the state numbered `seq`, or the one it is in; None if the run is gone."""
    rows = await database.read(_RUN, (flow_run_id, -1 if seq is None else seq))
    if not rows:
        return None
    run_id, name, version, due, start, end, labels, parameters, *rest = rows[0]
    flow_id, flow_name, flow_version, group, project, state, message, timestamp, state_version = rest
    times = {"scheduled_start_time": _iso(due), "start_time": _iso(start), "end_time": _iso(end)}
    values = {"labels": msgspec.json.decode(labels), "parameters": msgspec.json.decode(parameters)}
    return Told(
        {"id": run_id, "name": name, "version": version, **times, **values},
        {"id": flow_id, "name": flow_name, "version": flow_version, "version_group_id": group, "project_id": project},
        {"state": state, "message": message, "timestamp": _iso(timestamp), "version": state_version},
    )


def tenant() -> dict[str, str]:
    """The one tenant, as messages name it."""
    return {"id": computed.TENANT_ID, "slug": "default"}


def _iso(moment: int | None) -> str | None:
    return None if moment is None else from_micros(moment).isoformat()
