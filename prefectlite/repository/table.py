"""What a table is to those who read it: columns of some kinds, and relations to other tables."""

from __future__ import annotations

from enum import Enum

import msgspec


class Kind(Enum):
    """What a column holds, which decides how it is compared and how it is written as JSON."""

    ID = "id"  # a UUID
    TEXT = "text"
    PROSE = "prose"  # text whose words are indexed
    INT = "int"
    BOOL = "bool"
    TIME = "time"  # microseconds since 1970 in the table, ISO 8601 outside
    DURATION = "duration"  # microseconds in the table, HH:MM:SS outside
    JSON = "json"


#: The functions that make one value of a column, and the kinds of columns that each can be made of.
SUMMARIES: dict[str, tuple[Kind, ...]] = {
    "min": (Kind.INT, Kind.TEXT, Kind.PROSE, Kind.TIME, Kind.DURATION),
    "max": (Kind.INT, Kind.TEXT, Kind.PROSE, Kind.TIME, Kind.DURATION),
    "sum": (Kind.INT,),
    "avg": (Kind.INT,),
}


class Relation(msgspec.Struct, frozen=True):
    """Rows of `table` whose column `remote` equals this table's column `local`."""

    table: str
    local: str
    remote: str
    many: bool


class Table(msgspec.Struct, frozen=True):
    """A table as queries see it. What `computed` shows is made of the row's columns by `computed.py`."""

    name: str
    columns: dict[str, Kind]
    relations: dict[str, Relation]
    key: str = "id"
    computed: dict[str, Kind] = {}

    def is_summed_up(self, function: str, column: str) -> bool:
        """Whether `function` makes one value of that column of many rows."""
        return self.kind(column) in SUMMARIES.get(function, ())

    def kind(self, column: str) -> Kind | None:
        """What a column holds, be it stored or computed; None if there is no such column."""
        return self.columns.get(column) or self.computed.get(column)


def one(table: str, local: str) -> Relation:
    """The one row of `table` whose id the column `local` holds."""
    return Relation(table, local, "id", many=False)


def many(table: str, remote: str) -> Relation:
    """The rows of `table` whose column `remote` holds this row's id."""
    return Relation(table, "id", remote, many=True)
