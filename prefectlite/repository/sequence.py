"""The sequence that orders everything which is ever published: states and log lines."""

from __future__ import annotations

from prefectlite.repository.database import Database, Transaction

# One statement, as every commit of states passes here: limits cost nothing as long as there are none.
_TAKE_WITH_LIMITS = """
UPDATE counter SET value = value + $1 WHERE name = 'seq'
RETURNING value, (SELECT c.value FROM counter c WHERE c.name = 'limits')
"""


async def take_sequence(tx: Transaction, count: int) -> int:
    """The first of `count` numbers that nothing else has: larger than those of every earlier commit."""
    ((last,),) = await tx.fetch("UPDATE counter SET value = value + $1 WHERE name = 'seq' RETURNING value", (count,))
    return int(last) - count + 1


async def take_with_limits(tx: Transaction, count: int) -> tuple[int, int]:
    """As `take_sequence`, and how often concurrency limits have been changed so far."""
    ((last, changes),) = await tx.fetch(_TAKE_WITH_LIMITS, (count,))
    return int(last) - count + 1, int(changes)


async def last_taken(database: Database) -> int:
    """The largest number that something has which is committed."""
    ((last,),) = await database.read("SELECT value FROM counter WHERE name = 'seq'")
    return int(last)
