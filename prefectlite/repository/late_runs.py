"""Runs that are late: due for a while, and nobody has begun them."""

from __future__ import annotations

from prefectlite.repository.database import Database, Transaction

# A run is late for as long as it has the version at which that was found; whatever is done with it gives it another.
_WAITING = "state = 'Scheduled' AND (late_version IS NULL OR late_version <> version)"
_LATE = f"""
SELECT id, version FROM flow_run WHERE {_WAITING} AND state_start_time <= $1 ORDER BY state_start_time, id LIMIT 1000
"""


async def overdue(database: Database, due_by: int) -> list[tuple[str, int]]:
    """(id, version) of some runs that were due by then, and are not marked yet; the longest due first."""
    return [(row[0], row[1]) for row in await database.read(_LATE, (due_by,))]


async def next_due(database: Database) -> int | None:
    """When the first of the runs was or is due that wait and are not marked."""
    ((found,),) = await database.read(f"SELECT min(state_start_time) FROM flow_run WHERE {_WAITING}")
    return None if found is None else int(found)


async def mark(tx: Transaction, runs: list[tuple[str, int]]) -> None:
    """Mark those that still have these versions as late."""
    await tx.executemany("UPDATE flow_run SET late_version = version WHERE id = $1 AND version = $2", runs)
