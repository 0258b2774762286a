"""One SQL text under construction: its parameters and the names it gives to tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from prefectlite.errors import BadRequest
from prefectlite.repository.dialect import Dialect
from prefectlite.repository.reach import Reach

MAX_PARAMETERS = 20_000  # SQLite's own limit is 32,766, PostgreSQL's protocol stops at 32,767


class Compiled(msgspec.Struct, frozen=True):
    """An SQL text with `$1` … `$n`, and what they stand for."""

    sql: str
    parameters: tuple[Any, ...]
    is_search: bool = False  # the index of words has to be up to date for it


class Statement:
    """Collects values and aliases while the parts of one SQL text are written."""

    def __init__(self, dialect: Dialect, max_rows: int, reach: Reach | None = None) -> None:
        """`reach` is how far who asks may see; None: everything."""
        self.dialect, self._reach = dialect, reach
        self.max_rows = max_rows
        self.is_search = False
        self._parameters: list[Any] = []
        self._aliases = 0

    def bind(self, value: Any) -> str:
        """The placeholder that stands for `value`. Raises BadRequest when there are too many."""
        if len(self._parameters) >= MAX_PARAMETERS:
            raise BadRequest(f"A query may compare with at most {MAX_PARAMETERS:,} values; ask in several parts")
        self._parameters.append(value)
        return f"${len(self._parameters)}"

    def mark(self) -> int:
        """Where the values stand now, for `forget`."""
        return len(self._parameters)

    def forget(self, mark: int) -> None:
        """Drop the values bound since `mark`, whose text is not used after all: PostgreSQL takes none without a use."""
        del self._parameters[mark:]

    def confined(self, table: str, alias: str) -> str | None:
        """Whether who asks may see the row `alias` of `table`; None where they may see all."""
        return None if self._reach is None else self._reach.row(self.dialect, table, alias, self.bind)

    def alias(self) -> str:
        """A name for a table that no other part of the text uses."""
        self._aliases += 1
        return f"t{self._aliases}"

    def compiled(self, sql: str) -> Compiled:
        """`sql` with the values bound so far."""
        return Compiled(sql, tuple(self._parameters), self.is_search)


def joined(parts: Sequence[str], operator: str) -> str:
    """`parts` with `operator` between them, as a balanced tree.

    Written flat, a chain of n parts is an expression n deep, and SQLite stops at a depth of 1,000.
    """
    if len(parts) <= 8:
        return f" {operator} ".join(parts)
    middle = len(parts) // 2
    return f"({joined(parts[:middle], operator)}) {operator} ({joined(parts[middle:], operator)})"
