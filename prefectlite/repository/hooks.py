"""Cloud hooks and their deliveries, as the database has them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

from prefectlite.errors import BadRequest, NotFound
from prefectlite.repository.database import Database, Transaction

_NAMES = uuid.UUID("5f8c3c1a-6f0e-5d4b-9c39-0d4a4d8f1b12")  # of ids that are made of what is delivered
_SEAL = "cloud hook "
_CREATE = """
INSERT INTO cloud_hook (id, flow_group_id, name, type, states, config, sealed, active, since, created, updated)
VALUES ($1, $2, $3, $4, $5, $6, $7, 1, (SELECT value FROM counter WHERE name = 'seq'), $8, $8)
"""
_SWITCH = """
UPDATE cloud_hook SET active = $2, updated = $3,
    since = CASE WHEN active < $2 THEN (SELECT value FROM counter WHERE name = 'seq') ELSE since END
WHERE id = $1 RETURNING id
"""
_DELIVERY = """
INSERT INTO hook_delivery
    (id, cloud_hook_id, flow_run_id, seq, automation_id, status, attempts, next_attempt, created, updated)
VALUES ($1, $2, $3, $4, $5, 'Pending', 0, $6, $7, $7) ON CONFLICT (id) DO NOTHING
"""
# The first few of each hook, so that one that hangs does not keep the others from being asked.
_DUE = """
SELECT id, cloud_hook_id, flow_run_id, seq, automation_id, attempts FROM (
    SELECT d.*, row_number() OVER (PARTITION BY cloud_hook_id ORDER BY next_attempt, id) AS place
    FROM hook_delivery d WHERE status = 'Pending' AND next_attempt <= $1
) AS due WHERE place <= $2 ORDER BY next_attempt, id LIMIT 1000
"""


class Hook(msgspec.Struct, frozen=True):
    """Whom to tell of which states; `flow_group_id` None means of all flows."""

    id: str
    flow_group_id: str | None
    states: frozenset[str]
    since: int


class Delivery(msgspec.Struct, frozen=True):
    """A message that is to be delivered."""

    id: str
    cloud_hook_id: str
    flow_run_id: str | None
    seq: int | None
    automation_id: str | None
    attempts: int


def delivery_id(hook_id: str, cause: object) -> str:
    """The id of what is delivered to a hook because of `cause`: who makes it a second time finds the first."""
    return str(uuid.uuid5(_NAMES, f"{hook_id}/{cause}"))


def sealed_as(hook_id: str) -> str:
    """The name under which a hook's config is encrypted."""
    return _SEAL + hook_id


async def group_named(tx: Transaction, version_group_id: str) -> str:
    """The id of the flow group of this name. Raises NotFound."""
    rows = await tx.fetch("SELECT id FROM flow_group WHERE name = $1", (version_group_id,))
    if not rows:
        raise NotFound(f"Version group {version_group_id} not found")
    return str(rows[0][0])


async def create(tx: Transaction, row: Sequence[Any]) -> None:
    """Insert a hook: id, group, name, type, states, config to show, sealed config, now."""
    await tx.execute(_CREATE, row)


async def set_active(tx: Transaction, hook_id: str, now: int, *, is_active: bool) -> None:
    """Switch a hook on or off; off, what is to be delivered to it is given up. Raises NotFound."""
    if not await tx.fetch(_SWITCH, (hook_id, int(is_active), now)):
        raise NotFound(f"Cloud hook {hook_id} not found")
    if not is_active:
        await tx.execute(
            "UPDATE hook_delivery SET status = 'Failed', last_error = $3, next_attempt = NULL, updated = $2"
            " WHERE cloud_hook_id = $1 AND status = 'Pending'",
            (hook_id, now, "The hook was switched off"),
        )


async def delete(tx: Transaction, hook_id: str) -> None:
    """Delete a hook and what is known of its deliveries. Raises NotFound, and BadRequest if an automation uses it."""
    users = await tx.fetch("SELECT name FROM automation WHERE cloud_hook_id = $1 ORDER BY name LIMIT 1", (hook_id,))
    if users:
        raise BadRequest(f"Automation {users[0][0]!r} notifies cloud hook {hook_id}: delete that first")
    if not await tx.fetch("DELETE FROM cloud_hook WHERE id = $1 RETURNING id", (hook_id,)):
        raise NotFound(f"Cloud hook {hook_id} not found")


async def listening(database: Database) -> list[Hook]:
    """The hooks that are to be told of states."""
    rows = await database.read("SELECT id, flow_group_id, states, since FROM cloud_hook WHERE active = 1 AND states <> '[]'")
    return [Hook(row[0], row[1], frozenset(msgspec.json.decode(row[2])), row[3]) for row in rows]


async def target(database: Database, hook_id: str) -> tuple[str, str, bool]:
    """(type, sealed config, whether it is switched on) of a hook. Raises NotFound."""
    rows = await database.read("SELECT type, sealed, active FROM cloud_hook WHERE id = $1", (hook_id,))
    if not rows:
        raise NotFound(f"Cloud hook {hook_id} not found")
    return rows[0][0], rows[0][1], bool(rows[0][2])


async def reason(database: Database, automation_id: str | None) -> str | None:
    """Why an automation speaks of a run; None where none does."""
    if automation_id is None:
        return None
    rows = await database.read("SELECT name, event, seconds FROM automation WHERE id = $1", (automation_id,))
    if not rows:
        return None
    name, event, seconds = rows[0]
    what = {"LATE": f": it has not begun {seconds} s after it was due", "RUNNING": f": it goes on for more than {seconds} s"}
    return f"Automation {name!r}{what.get(event, '')}"


async def add_delivery(tx: Transaction, delivery: Delivery, now: int, next_attempt: int | None) -> None:
    """Have a message delivered, unless it is known already; with no `next_attempt`, whoever made it does so itself."""
    await tx.execute(
        _DELIVERY,
        (
            delivery.id,
            delivery.cloud_hook_id,
            delivery.flow_run_id,
            delivery.seq,
            delivery.automation_id,
            next_attempt,
            now,
        ),
    )


async def due_deliveries(database: Database, now: int, of_each: int) -> list[Delivery]:
    """What is to be tried now, at most so many for each hook; the longest due first."""
    return [Delivery(*row) for row in await database.read(_DUE, (now, of_each))]


async def next_attempt(database: Database, after: int) -> int | None:
    """When the first of those deliveries is due that are not yet."""
    sql = "SELECT min(next_attempt) FROM hook_delivery WHERE status = 'Pending' AND next_attempt > $1"
    ((found,),) = await database.read(sql, (after,))
    return None if found is None else int(found)


async def begin_attempt(tx: Transaction, delivery: Delivery, now: int, until: int) -> bool:
    """Whether an attempt is this caller's: nobody else makes one before `until`, by when what came of it is noted."""
    rows = await tx.fetch(
        "UPDATE hook_delivery SET attempts = attempts + 1, next_attempt = $4, updated = $3"
        " WHERE id = $1 AND status = 'Pending' AND attempts = $2 RETURNING id",
        (delivery.id, delivery.attempts, now, until),
    )
    return bool(rows)


async def end_attempt(
    tx: Transaction, delivery_id: str, now: int, status: str, error: str | None, next_attempt: int | None
) -> None:
    """Write down what came of an attempt."""
    await tx.execute(
        "UPDATE hook_delivery SET status = $3, last_error = $4, next_attempt = $5, updated = $2"
        " WHERE id = $1 AND status = 'Pending'",
        (delivery_id, now, status, error, next_attempt),
    )


async def all_sealed(database: Database) -> list[tuple[str, str]]:
    """The configs of all hooks, sealed, with the names under which they are."""
    return [(_SEAL + row[0], row[1]) for row in await database.read("SELECT id, sealed FROM cloud_hook ORDER BY id")]


async def reseal(tx: Transaction, changes: Sequence[tuple[str, str, str]]) -> None:
    """Put another seal, the third, on the configs that still have the second; the first is what `all_sealed` called them."""
    rows = [(name.removeprefix(_SEAL), old, new) for name, old, new in changes]
    await tx.executemany("UPDATE cloud_hook SET sealed = $3 WHERE id = $1 AND sealed = $2", rows)
