"""Messages to those who look at the pages of the server, as the database has them."""

from __future__ import annotations

from prefectlite.errors import NotFound
from prefectlite.repository.database import Transaction

#: Rows that one transaction deletes at the most.
MOST_ROWS = 400

_NEW = """
INSERT INTO message (id, read, type, text, content, created, updated) VALUES ($1, 0, $2, $3, $4, $5, $5)
ON CONFLICT (id) DO NOTHING
"""


async def add(tx: Transaction, message_id: str, kind: str, text: str, content: str, now: int) -> None:
    """Write a message down, unless it is there already; `content` is JSON text."""
    await tx.execute(_NEW, (message_id, kind, text, content, now))


async def mark(tx: Transaction, message_id: str, now: int, *, is_read: bool) -> None:
    """Say whether a message has been read. Raises NotFound."""
    sql = "UPDATE message SET read = $2, updated = $3 WHERE id = $1 RETURNING id"
    _check(await tx.fetch(sql, (message_id, int(is_read), now)), message_id)


async def delete(tx: Transaction, message_id: str) -> None:
    """Delete a message. Raises NotFound."""
    _check(await tx.fetch("DELETE FROM message WHERE id = $1 RETURNING id", (message_id,)), message_id)


async def delete_some(tx: Transaction, before: int) -> bool:
    """Delete some messages from before this moment, the oldest first; whether there may be more."""
    sql = f"""
    DELETE FROM message WHERE created < $1 AND id IN (SELECT id FROM message ORDER BY created LIMIT {MOST_ROWS}) RETURNING id
    """
    return len(await tx.fetch(sql, (before,))) == MOST_ROWS


def _check(found: object, message_id: str) -> None:
    if not found:
        raise NotFound(f"Message {message_id} not found")
