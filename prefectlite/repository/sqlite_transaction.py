"""Transactions on SQLite's writing connection: run to their end on its thread."""

from __future__ import annotations

import functools
import re
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

from prefectlite.live.hints import Hint
from prefectlite.repository.database import Row, Transaction
from prefectlite.repository.dialect import SQLITE

T = TypeVar("T")


@functools.lru_cache(maxsize=256)  # statements of queries are bounded by the API's own limits
def to_sqlite(sql: str) -> str:
    # SQLite gives its own `$n` numbers by first appearance, and Python 3.12 warns about them; `?n` means what `$n` says.
    return re.sub(r"\$(\d+)", r"?\1", sql)


class SqliteTransaction:
    """Statements on the writing connection, on its thread: none of these ever suspends."""

    dialect = SQLITE

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.hints: list[Hint] = []

    async def fetch(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        return self._connection.execute(to_sqlite(sql), params).fetchall()

    async def execute(self, sql: str, params: Sequence[Any] = ()) -> None:
        self._connection.execute(to_sqlite(sql), params)

    async def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self._connection.executemany(to_sqlite(sql), rows)

    def announce(self, hint: Hint) -> None:
        self.hints.append(hint)


def run_transaction(connection: sqlite3.Connection, work: Callable[[Transaction], Awaitable[T]]) -> tuple[T, list[Hint]]:
    """What `work` returned, after the commit, and what it announced."""
    connection.execute("BEGIN IMMEDIATE")
    transaction = SqliteTransaction(connection)
    try:
        result = run_to_end(work(transaction))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result, transaction.hints


def run_to_end(work: Awaitable[T]) -> T:
    """What `work` returns, which never waits for anything."""
    steps = work.__await__()
    try:
        next(steps)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise RuntimeError("a transaction awaited something other than its own statements")
