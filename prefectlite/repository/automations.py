"""Automations and what they did, as the database has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from prefectlite.errors import BadRequest, NotFound
from prefectlite.repository.database import Database, Transaction

#: Runs that are looked at in one query.
AT_ONCE = 500
_COLUMNS = (
    "id, name, flow_group_id, event, states, seconds, action, cloud_hook_id, target_flow_group_id, parameters, is_active,"
    " since"
)
_CREATE = f"""
INSERT INTO automation ({_COLUMNS}, created, updated)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, (SELECT value FROM counter WHERE name = 'seq'), $12, $12)
"""
_CHANGE = """
UPDATE automation SET name = $2, flow_group_id = $3, event = $4, states = $5, seconds = $6, action = $7, cloud_hook_id = $8,
    target_flow_group_id = $9, parameters = $10, is_active = $11, updated = $12,
    since = CASE WHEN $13 = 1 THEN (SELECT value FROM counter WHERE name = 'seq') ELSE since END
WHERE id = $1
"""
_FIRE = """
INSERT INTO automation_firing (id, automation_id, flow_run_id, seq, status, created, updated)
VALUES ($1, $2, $3, $4, 'Pending', $5, $5) ON CONFLICT (automation_id, flow_run_id) DO NOTHING
"""
_PENDING = f"""
SELECT x.id, x.flow_run_id, x.seq, r.context, r.state, f.flow_group_id, a.id, a.name, a.action, a.cloud_hook_id,
    a.target_flow_group_id, a.parameters
FROM automation_firing x JOIN automation a ON a.id = x.automation_id
    JOIN flow_run r ON r.id = x.flow_run_id JOIN flow f ON f.id = r.flow_id
WHERE x.status = 'Pending' ORDER BY x.created, x.id LIMIT {AT_ONCE}
"""
_DUE = "coalesce(r.state_start_time, r.scheduled_start_time)"
# Since it was last begun: a run that is restarted a day later has not been running for a day.
_BEGUN = """(
    SELECT min(s.timestamp) FROM flow_run_state s
    WHERE s.flow_run_id = r.id AND s.state = 'Running' AND s.version > coalesce(
        (SELECT max(q.version) FROM flow_run_state q WHERE q.flow_run_id = r.id AND q.state = 'Scheduled'), 0)
)"""
#: Which states a run waits in, and executes in, and the moment from which the seconds are counted then.
WAITING, EXECUTING = ("Pending", "Queued", "Scheduled", "Submitted"), ("Cancelling", "Running")
_TIMED = {"LATE": (WAITING, _DUE), "RUNNING": (EXECUTING, _BEGUN)}


class Automation(msgspec.Struct, frozen=True):
    """What is to happen because of what; see the schema."""

    id: str
    name: str
    flow_group_id: str | None
    event: str
    states: list[str]
    seconds: int | None
    action: str
    cloud_hook_id: str | None
    target_flow_group_id: str | None
    parameters: dict[str, Any]
    is_active: bool
    since: int = 0


class Firing(msgspec.Struct, frozen=True):
    """What an automation is to do because of a run."""

    id: str
    flow_run_id: str
    seq: int | None
    context: dict[str, Any]
    state: str
    flow_group_id: str
    automation_id: str
    name: str
    action: str
    cloud_hook_id: str | None
    target_flow_group_id: str | None
    parameters: dict[str, Any]


async def create(tx: Transaction, automation: Automation, now: int) -> None:
    """Insert an automation. Raises BadRequest if the name is taken, NotFound for what it speaks of and is not there."""
    await _check(tx, automation)
    await tx.execute(_CREATE, (*_row(automation), now))


async def change(tx: Transaction, automation: Automation, now: int, *, anew: bool) -> None:
    """Write an automation that is there already; with `anew`, only of states from now on. Raises as `create` does."""
    await _check(tx, automation)
    await tx.execute(_CHANGE, (*_row(automation), now, int(anew)))


async def delete(tx: Transaction, automation_id: str) -> None:
    """Delete an automation and the record of what it did. Raises NotFound."""
    if not await tx.fetch("DELETE FROM automation WHERE id = $1 RETURNING id", (automation_id,)):
        raise NotFound(f"Automation {automation_id} not found")


async def by_id(tx: Transaction, automation_id: str) -> Automation:
    """One automation. Raises NotFound."""
    rows = await tx.fetch(f"SELECT {_COLUMNS} FROM automation WHERE id = $1", (automation_id,))
    if not rows:
        raise NotFound(f"Automation {automation_id} not found")
    return _automation(rows[0])


async def active(database: Database) -> list[Automation]:
    """The automations that are switched on."""
    rows = await database.read(f"SELECT {_COLUMNS} FROM automation WHERE is_active = 1 ORDER BY id")
    return [_automation(row) for row in rows]


async def candidates(database: Database, automation: Automation) -> list[tuple[str, int]]:
    """(run, when it is time) of the runs that an automation of time watches and did nothing about; the first ones first."""
    states, moment = _TIMED[automation.event]
    group = "" if automation.flow_group_id is None else "AND f.flow_group_id = $2"
    params = [automation.id] + ([automation.flow_group_id] if automation.flow_group_id is not None else [])
    rows = await database.read(
        f"""
        SELECT id, moment FROM (
            SELECT r.id, {moment} AS moment FROM flow_run r JOIN flow f ON f.id = r.flow_id
            WHERE r.state IN ('{"', '".join(states)}') {group}
                AND NOT EXISTS (SELECT 1 FROM automation_firing x WHERE x.automation_id = $1 AND x.flow_run_id = r.id)
        ) AS watched WHERE moment IS NOT NULL ORDER BY moment, id LIMIT {AT_ONCE}
        """,
        params,
    )
    return [(row[0], row[1] + (automation.seconds or 0) * 1_000_000) for row in rows]


async def fire(tx: Transaction, firings: Sequence[tuple[str, str, str, int | None]], now: int) -> None:
    """Note that automations are to do something, unless they did it about that run: (id, automation, run, seq)."""
    await tx.executemany(_FIRE, [(*firing, now) for firing in firings])


async def pending(database: Database) -> list[Firing]:
    """What is to be done, in order."""
    return [
        Firing(*row[:3], _decoded(row[3]), *row[4:11], _decoded(row[11]))  # type: ignore[call-arg]
        for row in await database.read(_PENDING)
    ]


async def end_firing(tx: Transaction, firing_id: str, now: int, status: str, message: str) -> None:
    """Write down what came of it."""
    sql = "UPDATE automation_firing SET status = $3, message = $4, updated = $2 WHERE id = $1 AND status = 'Pending'"
    await tx.execute(sql, (firing_id, now, status, message))


async def forget(tx: Transaction, before: int) -> None:
    """Delete the record of what was done before that moment about runs that are gone."""
    await tx.execute("DELETE FROM automation_firing WHERE flow_run_id IS NULL AND created < $1", (before,))
    await tx.execute("DELETE FROM hook_delivery WHERE flow_run_id IS NULL AND created < $1", (before,))


async def flow_to_run(database: Database, group_id: str) -> str:
    """The version of a flow group that counts. Raises NotFound."""
    sql = "SELECT id FROM flow WHERE flow_group_id = $1 AND archived = 0 ORDER BY version DESC LIMIT 1"
    rows = await database.read(sql, (group_id,))
    if not rows:
        raise NotFound(f"Flow group {group_id} has no flow that is not archived")
    return str(rows[0][0])


async def scheduled_flows(database: Database, group_id: str) -> list[str]:
    """The ids of the versions of a flow group whose schedule is on."""
    sql = "SELECT id FROM flow WHERE flow_group_id = $1 AND is_schedule_active = 1 ORDER BY version"
    return [row[0] for row in await database.read(sql, (group_id,))]


async def _check(tx: Transaction, automation: Automation) -> None:
    if await tx.fetch("SELECT 1 FROM automation WHERE name = $1 AND id <> $2", (automation.name, automation.id)):
        raise BadRequest(f"name: there is an automation {automation.name!r} already")
    for table, what, row_id in (
        ("flow_group", "Flow group", automation.flow_group_id),
        ("flow_group", "Flow group", automation.target_flow_group_id),
        ("cloud_hook", "Cloud hook", automation.cloud_hook_id),
    ):
        if row_id is not None and not await tx.fetch(f"SELECT 1 FROM {table} WHERE id = $1", (row_id,)):
            raise NotFound(f"{what} {row_id} not found")


def _row(a: Automation) -> tuple[Any, ...]:
    states, parameters = (msgspec.json.encode(value).decode() for value in (a.states, a.parameters))
    targets = (a.cloud_hook_id, a.target_flow_group_id)
    return a.id, a.name, a.flow_group_id, a.event, states, a.seconds, a.action, *targets, parameters, int(a.is_active)


def _automation(row: Sequence[Any]) -> Automation:
    automation_id, name, group, event, states, seconds, action, hook, target, parameters, is_active, since = row
    whose = (automation_id, name, group, event, _decoded(states), seconds)
    return Automation(*whose, action, hook, target, _decoded(parameters), bool(is_active), since)


def _decoded(text: str) -> Any:
    return msgspec.json.decode(text)
