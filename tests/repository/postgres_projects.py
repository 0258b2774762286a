"""Projects in a PostgreSQL database, by name: written and read back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from prefectlite.repository.database import Transaction
from prefectlite.repository.postgres import PostgresDatabase
from prefectlite.repository.urls import open_database

Work = Callable[[Transaction], Awaitable[Any]]
MADE = "INSERT INTO project (id, name, created, updated) VALUES ($1, $1, $2, $2)"


async def opened_at(url: str) -> PostgresDatabase:
    opened = await open_database(url)
    assert isinstance(opened, PostgresDatabase)
    return opened


def insert(*names: str) -> Work:
    async def work(tx: Transaction) -> None:
        await tx.executemany(MADE, [(name, 0) for name in names])

    return work


async def names(database: PostgresDatabase) -> list[str]:
    return [name for (name,) in await database.read("SELECT name FROM project ORDER BY name")]
