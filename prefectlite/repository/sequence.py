"""The sequence that orders everything which is ever published: states and log lines."""

from __future__ import annotations

from prefectlite.repository.database import Database, Transaction


async def take_sequence(tx: Transaction, count: int) -> int:
    """The first of `count` numbers that nothing else has: larger than those of every earlier commit."""
    ((last,),) = await tx.fetch("UPDATE counter SET value = value + $1 WHERE name = 'seq' RETURNING value", (count,))
    return int(last) - count + 1


async def last_taken(database: Database) -> int:
    """The largest number that something has which is committed."""
    ((last,),) = await database.read("SELECT value FROM counter WHERE name = 'seq'")
    return int(last)
