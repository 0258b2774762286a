"""The key-value store: small JSON values that outlive runs."""

from __future__ import annotations

import json
from typing import Any

from prefectlite.errors import KeyNotFound
from prefectlite.ids import new_id
from prefectlite.repository.database import Database, Transaction

_SET = """
INSERT INTO key_value (id, key, value, created, updated) VALUES ($1, $2, $3, $4, $4)
ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value, updated = EXCLUDED.updated RETURNING id
"""


async def put(tx: Transaction, key: str, text: str, now: int) -> str:
    """The id of `key`, whose value is the JSON `text` from now on."""
    [[row_id]] = await tx.fetch(_SET, (new_id(), key, text, now))
    return str(row_id)


async def remove(tx: Transaction, row_id: str) -> None:
    """Forget the key with this id. Raises KeyNotFound."""
    if not await tx.fetch("DELETE FROM key_value WHERE id = $1 RETURNING id", (row_id,)):
        raise KeyNotFound(f"Key value {row_id} not found")


async def remove_key(tx: Transaction, key: str) -> None:
    """Forget a key. Raises KeyNotFound."""
    if not await tx.fetch("DELETE FROM key_value WHERE key = $1 RETURNING id", (key,)):
        raise KeyNotFound(f"No key {key} found to delete")


async def value_of(database: Database, key: str) -> Any:
    """The value of a key. Raises KeyNotFound."""
    rows = await database.read("SELECT value FROM key_value WHERE key = $1", (key,))
    if not rows:
        raise KeyNotFound(f"No value found for key: {key}")
    return json.loads(rows[0][0])


async def keys(database: Database) -> list[str]:
    """All keys, in alphabetical order."""
    return [key for (key,) in await database.read("SELECT key FROM key_value ORDER BY key")]
