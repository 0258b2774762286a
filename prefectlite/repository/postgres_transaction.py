"""Statements on PostgreSQL's writing connection, with few journeys to the server: what can wait goes together."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from prefectlite.live.hints import Hint
from prefectlite.repository.database import Row
from prefectlite.repository.dialect import POSTGRES

#: Rows with more characters and bytes than this are not sent as one statement.
_MOST_AT_ONCE = 8 * 1024 * 1024
#: So few rows are written out in their statement, value by value; more of them as arrays.
_FEW = 3
_VALUES = re.compile(r"\bVALUES\s*\(([^()]*)\)")
_SIZED = frozenset((str, bytes))
_PARAMETER = re.compile(r"\$(\d+)")


class Statements:
    """How statements are said for many rows at once, and several of them together; learnt once per database."""

    def __init__(self) -> None:
        self._types: dict[str, list[str]] = {}
        self._together: dict[tuple[tuple[str, int | None], ...], str] = {}

    async def together(self, connection: asyncpg.Connection, statements: tuple[tuple[str, int | None], ...]) -> str:
        """One statement that does what all of `statements` do, each of them for so many rows.

        Its parameters are the values of their rows, or, for a statement with None, its columns, each an array.
        """
        if statements not in self._together:
            parts: list[str] = []
            first = 1
            for sql, count in statements:
                types = await self._types_of(connection, sql)
                parts.append(_over_arrays(sql, types, first) if count is None else _over_rows(sql, types, first, count))
                first += len(types) * (count or 1)
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
        self._waiting: dict[str, list[Row]] = {}
        self._waiting_size = 0

    async def fetch(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        await self.flush()
        return list(map(tuple, await self._connection.fetch(sql, *map(storable, params))))

    async def execute(self, sql: str, params: Sequence[Any] = ()) -> None:
        await self.flush()
        await self._connection.execute(sql, *map(storable, params))

    async def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """As one statement where the rows are not too large: a fraction of the work of one per row."""
        waiting = [tuple(map(storable, row)) for row in rows]
        if not waiting:
            return
        size = sum(map(_size, waiting))
        can_wait = size <= _MOST_AT_ONCE and _VALUES.search(sql) is not None
        # What is said together cannot see what the rest of it does: the same table twice is said in turn.
        if not can_wait or sql in self._waiting or self._waiting_size + size > _MOST_AT_ONCE:
            await self.flush()
        if can_wait:
            self._waiting[sql] = waiting
            self._waiting_size += size
        else:
            await self._connection.executemany(sql, waiting)

    def announce(self, hint: Hint) -> None:
        self.hints.append(hint)

    async def flush(self) -> None:
        """Send what waits."""
        if not self._waiting:
            return
        waiting, self._waiting, self._waiting_size = self._waiting, {}, 0
        statements: list[tuple[str, int | None]] = []
        values: list[Any] = []
        for sql, rows in waiting.items():
            if len(rows) <= _FEW:
                statements.append((sql, len(rows)))
                values += itertools.chain.from_iterable(rows)
            else:
                statements.append((sql, None))
                values += map(list, zip(*rows, strict=True))
        await self._connection.execute(await self._statements.together(self._connection, tuple(statements)), *values)


def storable(value: Any) -> Any:
    """`value` without the one character that PostgreSQL does not take, shown as it is in logs."""
    return value.replace("\x00", "␀") if type(value) is str and "\x00" in value else value


def _size(row: Row) -> int:
    return sum(len(value) for value in row if type(value) in _SIZED)


def _over_arrays(sql: str, types: Sequence[str], first: int) -> str:
    """`INSERT … VALUES ($1, …) …` as a statement whose parameters, from `$first` on, are arrays, one per column."""
    arrays = ", ".join(f"${n}::{name}[]" for n, name in enumerate(types, first))
    names = ", ".join(f"c{n}" for n in range(1, len(types) + 1))

    def chosen(match: re.Match[str]) -> str:
        columns = _PARAMETER.sub(r"r.c\1", match[1])
        return f"SELECT {columns} FROM unnest({arrays}) AS r({names})"

    return _VALUES.sub(chosen, sql, count=1)


def _over_rows(sql: str, types: Sequence[str], first: int, count: int) -> str:
    """The same with the values of `count` rows as its parameters."""

    def chosen(match: re.Match[str]) -> str:
        rows = (_shifted(match[1], types, first + row * len(types)) for row in range(count))
        return f"VALUES {', '.join(f'({row})' for row in rows)}"

    return _VALUES.sub(chosen, sql, count=1)


def _shifted(values: str, types: Sequence[str], first: int) -> str:
    """The list of values with parameters from `$first` on in place of those from `$1` on."""
    return _PARAMETER.sub(lambda match: f"${first - 1 + int(match[1])}::{types[int(match[1]) - 1]}", values)
