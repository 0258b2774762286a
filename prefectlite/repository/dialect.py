"""The few words in which the databases differ when they answer a query with JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from prefectlite.repository.tables import Kind

_SECOND = 1_000_000


class Dialect(Protocol):
    """What a database must be able to say; every expression takes and gives SQL text."""

    def json(self, kind: Kind, column: str) -> str:
        """The JSON text of `column`, the text `null` where it is NULL; never NULL itself."""
        ...

    def gather(self, expression: str) -> str:
        """The texts of all rows joined by commas, in the order of the rows; NULL when there are none."""
        ...

    def like(self, column: str, pattern: str, bind: Callable[[Any], str], *, any_case: bool) -> str:
        """Whether `column` matches `pattern` (`%`, `_`, a backslash before either to mean itself).

        `bind` gives placeholders.
        """
        ...


class SqliteDialect:
    """SQLite from 3.37 on. Letter case is ignored for ASCII only, which is what SQLite's LIKE knows."""

    def json(self, kind: Kind, column: str) -> str:
        if kind is Kind.TIME:
            return _sqlite_time(column)
        if kind is Kind.DURATION:
            return _sqlite_duration(column)
        if kind is Kind.BOOL:
            return f"CASE WHEN {column} THEN 'true' WHEN NOT {column} THEN 'false' ELSE 'null' END"
        if kind is Kind.JSON:
            return f"COALESCE({column}, 'null')"
        return f"json_quote({column})"

    def gather(self, expression: str) -> str:
        return f"group_concat({expression}, ',')"

    def like(self, column: str, pattern: str, bind: Callable[[Any], str], *, any_case: bool) -> str:
        if any_case:
            dangling = (len(pattern) - len(pattern.rstrip("\\"))) % 2 == 1  # nothing follows: it means itself
            return rf"{column} LIKE {bind(pattern + chr(92) * dangling)} ESCAPE '\'"
        # SQLite's LIKE ignores case and can only be told otherwise for the whole connection; GLOB does not.
        return f"{column} GLOB {bind(_glob(pattern))}"


#: The embedded database.
SQLITE: Dialect = SqliteDialect()


def _sqlite_time(column: str) -> str:
    # The remainder is made positive first, so that moments before 1970 come out right too.
    rest = f"(({column} % {_SECOND}) + {_SECOND}) % {_SECOND}"
    seconds = f"({column} - {rest}) / {_SECOND}"
    text = f"strftime('%Y-%m-%dT%H:%M:%S', {seconds}, 'unixepoch') || printf('.%06d+00:00', {rest})"
    return f"""COALESCE('"' || {text} || '"', 'null')"""


def _sqlite_duration(column: str) -> str:
    size = f"abs({column})"
    parts = f"{size} / 3600000000, {size} / 60000000 % 60, {size} / {_SECOND} % 60"
    fraction = f"CASE WHEN {size} % {_SECOND} THEN printf('.%06d', {size} % {_SECOND}) ELSE '' END"
    sign = f"CASE WHEN {column} < 0 THEN '-' ELSE '' END"
    text = f"""'"' || {sign} || printf('%02d:%02d:%02d', {parts}) || {fraction} || '"'"""
    return f"CASE WHEN {column} IS NULL THEN 'null' ELSE {text} END"


def _glob(pattern: str) -> str:
    """The GLOB pattern that matches what the LIKE pattern matches, letter case included."""
    out: list[str] = []
    escaped = False
    for letter in pattern:
        if letter == "\\" and not escaped:
            escaped = True
            continue
        if letter in "%_" and not escaped:
            out.append("*" if letter == "%" else "?")
        else:
            out.append(f"[{letter}]" if letter in "*?[" else letter)
        escaped = False
    if escaped:
        out.append("\\")
    return "".join(out)
