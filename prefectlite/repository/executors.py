"""Executors of this package in other processes that reach the record through a server: when each was last heard of."""

from __future__ import annotations

import msgspec

from prefectlite.repository.database import Database, Transaction
from prefectlite.repository.runs import UNFINISHED

_SEEN = """
INSERT INTO executor (id, agent_id, last_heard) VALUES ($1, $2, $3)
ON CONFLICT (id) DO UPDATE SET last_heard = excluded.last_heard
"""

_OWNERS = f"""
SELECT r.owner, count(*), max(e.agent_id), max(e.last_heard)
FROM flow_run AS r LEFT JOIN executor AS e ON e.id = r.owner
WHERE r.state IN ({UNFINISHED}) AND r.owner IS NOT NULL GROUP BY r.owner ORDER BY 1
"""


class Owner(msgspec.Struct, frozen=True):
    """Who has flow runs to execute; `agent_id` and `last_heard` are those of who reaches the record through a server."""

    owner: str
    flow_runs: int
    agent_id: str | None
    last_heard: int | None


async def owners(database: Database) -> list[Owner]:
    """All who have runs that are not finished."""
    return [Owner(*row) for row in await database.read(_OWNERS)]


async def note(tx: Transaction, executor_id: str, agent_id: str, now: int) -> None:
    """Note that an executor is alive."""
    await tx.execute(_SEEN, (executor_id, agent_id, now))


async def leave(tx: Transaction, executor_id: str) -> None:
    """Note that an executor has ended: it was heard of never, which is before everything."""
    await tx.execute("UPDATE executor SET last_heard = 0 WHERE id = $1", (executor_id,))


async def forget_silent(tx: Transaction, before: int) -> None:
    """Forget those of whom nothing was heard since the moment `before`, and that own no run."""
    await tx.execute(
        "DELETE FROM executor WHERE last_heard < $1 AND id NOT IN (SELECT owner FROM flow_run WHERE owner IS NOT NULL)",
        (before,),
    )


async def last_heard(database: Database, executor_id: str) -> int | None:
    """When an executor was last heard of; None for an owner of runs that is none."""
    rows = await database.read("SELECT last_heard FROM executor WHERE id = $1", (executor_id,))
    return rows[0][0] if rows else None


async def oldest(database: Database) -> int | None:
    """When that executor was last heard of which is silent the longest; None if there are none."""
    ((moment,),) = await database.read("SELECT min(last_heard) FROM executor")
    return None if moment is None else int(moment)
