"""The sequence that orders everything which is ever published: states and log lines."""

from __future__ import annotations

from prefectlite.live.hints import DELETED
from prefectlite.repository.database import Database, Transaction

_TAKEN = "INSERT INTO counter (name, value) VALUES ('seq', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


async def take_sequence(tx: Transaction, count: int) -> int:
    """The first of `count` numbers that nothing else has: larger than those of every earlier commit."""
    ((last,),) = await tx.fetch("UPDATE counter SET value = value + $1 WHERE name = 'seq' RETURNING value", (count,))
    return int(last) - count + 1


async def take_up_to(tx: Transaction, last: int) -> None:
    """Take all numbers up to `last`, for who has read in the same transaction up to which they are taken."""
    await tx.executemany(_TAKEN, [(last,)])


async def tell_of_deletion(tx: Transaction) -> None:
    """Let all know that flow runs were deleted, those who were away by a number that nothing has any more."""
    await take_sequence(tx, 1)
    tx.announce(DELETED)


async def last_taken(database: Database) -> int:
    """The largest number that something has which is committed."""
    ((last,),) = await database.read("SELECT value FROM counter WHERE name = 'seq'")
    return int(last)
