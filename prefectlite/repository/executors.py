"""Executors of this package in other processes that reach the record through a server: when each was last heard of."""

from __future__ import annotations

from prefectlite.repository.database import Database, Transaction

_SEEN = """
INSERT INTO executor (id, agent_id, last_heard) VALUES ($1, $2, $3)
ON CONFLICT (id) DO UPDATE SET last_heard = excluded.last_heard
"""


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
