"""Statements on PostgreSQL's writing connection, with few journeys to the server: what can wait goes together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from prefectlite.live.hints import Hint
from prefectlite.repository.database import Row
from prefectlite.repository.dialect import POSTGRES

#: Rows with more characters and bytes than this are not sent as one statement.
_MOST_AT_ONCE = 8 * 1024 * 1024
_VALUES = re.compile(r"\bVALUES\s*\(([^()]*)\)")
_Columns = list[list[Any]]


class Statements:
    """How statements are said for many rows at once, and several of them together; learnt once per database."""

    def __init__(self) -> None:
        self._types: dict[str, list[str]] = {}
        self._together: dict[tuple[str, ...], str] = {}

    async def over_arrays(self, connection: asyncpg.Connection, statements: tuple[str, ...]) -> str:
        """One statement that does what all of `statements` do, its parameters their columns, each an array."""
        if statements not in self._together:
            parts: list[str] = []
            first = 1
            for sql in statements:
                types = await self._types_of(connection, sql)
                parts.append(_over_arrays(sql, types, first))
                first += len(types)
            before = ", ".join(f"w{n} AS ({part})" for n, part in enumerate(parts[:-1]))
            self._together[statements] = f"WITH {before} {parts[-1]}" if before else parts[-1]
        return self._together[statements]

    async def _types_of(self, connection: asyncpg.Connection, sql: str) -> list[str]:
        if sql not in self._types:
            prepared = await connection.prepare(sql)
            self._types[sql] = [parameter.name for parameter in prepared.get_parameters()]
        return self._types[sql]


class PostgresTransaction:
    """A Transaction. Rows given to `executemany` are sent before the next statement, or before the commit."""

    dialect = POSTGRES

    def __init__(self, connection: asyncpg.Connection, statements: Statements) -> None:
        self.hints: list[Hint] = []
        self._connection, self._statements = connection, statements
        self._waiting: dict[str, _Columns] = {}
        self._waiting_size = 0

    async def fetch(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        await self.flush()
        return list(map(tuple, await self._connection.fetch(sql, *map(storable, params))))

    async def execute(self, sql: str, params: Sequence[Any] = ()) -> None:
        await self.flush()
        await self._connection.execute(sql, *map(storable, params))

    async def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """As one statement over arrays where the rows are not too large: a fraction of the work of one per row."""
        columns = [_storable_column(column) for column in zip(*rows, strict=True)]
        if not columns:
            return
        size = sum(map(_size, columns))
        can_wait = size <= _MOST_AT_ONCE and _VALUES.search(sql) is not None
        # What is said together cannot see what the rest of it does: the same table twice is said in turn.
        if not can_wait or sql in self._waiting or self._waiting_size + size > _MOST_AT_ONCE:
            await self.flush()
        if can_wait:
            self._waiting[sql] = columns
            self._waiting_size += size
        else:
            await self._connection.executemany(sql, zip(*columns, strict=True))

    def announce(self, hint: Hint) -> None:
        self.hints.append(hint)

    async def flush(self) -> None:
        """Send what waits."""
        if not self._waiting:
            return
        waiting, self._waiting, self._waiting_size = self._waiting, {}, 0
        if len(waiting) == 1:
            ((sql, columns),) = waiting.items()
            if len(columns[0]) == 1:
                await self._connection.execute(sql, *(column[0] for column in columns))
                return
        sql = await self._statements.over_arrays(self._connection, tuple(waiting))
        await self._connection.execute(sql, *(column for columns in waiting.values() for column in columns))


def storable(value: Any) -> Any:
    """`value` without the one character that PostgreSQL does not take, shown as it is in logs."""
    return value.replace("\x00", "␀") if type(value) is str and "\x00" in value else value


def _storable_column(column: Sequence[Any]) -> list[Any]:
    if any(type(value) is str and "\x00" in value for value in column):
        return [storable(value) for value in column]
    return list(column)


def _size(column: Sequence[Any]) -> int:
    return sum(len(value) for value in column if isinstance(value, str | bytes))


def _over_arrays(sql: str, types: Sequence[str], first: int) -> str:
    """`INSERT … VALUES ($1, …) …` as a statement whose parameters, from `$first` on, are arrays, one per column."""
    arrays = ", ".join(f"${n}::{name}[]" for n, name in enumerate(types, first))
    names = ", ".join(f"c{n}" for n in range(1, len(types) + 1))

    def chosen(match: re.Match[str]) -> str:
        columns = re.sub(r"\$(\d+)", r"r.c\1", match[1])
        return f"SELECT {columns} FROM unnest({arrays}) AS r({names})"

    return _VALUES.sub(chosen, sql, count=1)
