"""One connection to SQLite, with a thread of its own."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import aiosqlite

from prefectlite.kept import kept

T = TypeVar("T")


class Connection(aiosqlite.Connection):
    """A connection that runs whole functions on its thread: a cancelled caller never leaves it inside a transaction."""

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, iter_chunk_size=64)
        self._thread.daemon = True  # an application that forgets to close must still be able to end

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """What `function(sqlite3 connection, *args)` returns on the connection's thread."""
        result: T = await self._execute(function, self._conn, *args)  # type: ignore[no-untyped-call]
        return result


async def connected(connector: Callable[[], sqlite3.Connection], closing: set[asyncio.Task[None]]) -> Connection:
    """An open connection. Cancelled halfway, it is closed by a task in `closing`, which the caller has to wait for."""
    connection = Connection(connector)
    loop = asyncio.get_running_loop()
    opening = kept(loop.create_task(_opened(connection)))
    try:
        await asyncio.shield(opening)
    except asyncio.CancelledError:
        task = kept(loop.create_task(_closed(connection, opening)))
        closing.add(task)
        task.add_done_callback(closing.discard)
        raise
    return connection


async def _opened(connection: Connection) -> None:
    await connection


async def _closed(connection: Connection, opening: asyncio.Future[None]) -> None:
    with suppress(sqlite3.Error, ValueError):
        await opening
        await connection.close()
