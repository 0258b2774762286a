"""Looking at a database without changing it: neither made nor brought to another schema."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from prefectlite.repository.urls import is_postgres, postgres_place, sqlite_path

_PATIENCE = 5.0
_SCHEMA = "SELECT max(number) FROM migration"


class Reachability(msgspec.Struct):
    """What there is to say of a database; `schema` is the number of its last migration, None where it has none."""

    kind: str
    place: str
    reachable: bool = False
    version: str | None = None
    schema: int | None = None
    problem: str | None = None


async def reachability(url: str) -> Reachability:
    """What a look at the database shows; that it cannot be had is an answer, too. Raises SettingsError for a wrong URL."""
    if is_postgres(url):
        return await _postgres(url)
    path = sqlite_path(url)
    found = Reachability("SQLite", "in memory" if path is None else str(path), version=sqlite3.sqlite_version)
    if path is None:
        found.reachable = True
    elif not path.exists():
        found.problem = "the file does not exist yet: it is made by the first run"
    else:
        await asyncio.to_thread(_sqlite, path, found)
    return found


def _sqlite(path: Path, found: Reachability) -> None:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=_PATIENCE)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            found.reachable = True
            with suppress(sqlite3.OperationalError):  # there is no such table yet
                found.schema = connection.execute(_SCHEMA).fetchone()[0]
    except sqlite3.Error as error:
        found.problem = str(error)


async def _postgres(url: str) -> Reachability:
    import asyncpg  # noqa: PLC0415 - 30 ms that users of SQLite need not spend

    found = Reachability("PostgreSQL", postgres_place(url))
    try:
        connection = await asyncpg.connect(url, timeout=_PATIENCE)
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        found.problem = str(error) or type(error).__name__
        return found
    try:
        found.reachable = True
        found.version = await connection.fetchval("SHOW server_version")
        with suppress(asyncpg.UndefinedTableError):
            found.schema = await connection.fetchval(_SCHEMA)
    finally:
        await connection.close()
    return found
