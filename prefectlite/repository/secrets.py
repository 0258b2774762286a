"""Secrets, as the database has them: sealed."""

from __future__ import annotations

from collections.abc import Sequence

from prefectlite.errors import SecretNotFound
from prefectlite.ids import new_id
from prefectlite.repository.database import Database, Transaction

_SET = """
INSERT INTO secret (id, name, sealed, created, updated) VALUES ($1, $2, $3, $4, $4)
ON CONFLICT (name) DO UPDATE SET sealed = EXCLUDED.sealed, updated = EXCLUDED.updated
"""


async def put(tx: Transaction, name: str, sealed: str, now: int) -> None:
    """Let the secret `name` be this from now on."""
    await tx.execute(_SET, (new_id(), name, sealed, now))


async def remove(tx: Transaction, name: str) -> None:
    """Forget a secret. Raises SecretNotFound."""
    if not await tx.fetch("DELETE FROM secret WHERE name = $1 RETURNING id", (name,)):
        raise SecretNotFound(f"There is no secret {name!r}")


async def sealed_secret(database: Database, name: str) -> str | None:
    """A secret, sealed; None if there is none of this name."""
    rows = await database.read("SELECT sealed FROM secret WHERE name = $1", (name,))
    return rows[0][0] if rows else None


async def all_sealed(database: Database) -> list[tuple[str, str]]:
    """All names, in alphabetical order, with their sealed values."""
    return [(name, sealed) for name, sealed in await database.read("SELECT name, sealed FROM secret ORDER BY name")]


async def reseal(tx: Transaction, changes: Sequence[tuple[str, str, str]]) -> None:
    """Put another seal, the third, on the secrets that still have the second; the first are their names."""
    await tx.executemany("UPDATE secret SET sealed = $3 WHERE name = $1 AND sealed = $2", changes)
