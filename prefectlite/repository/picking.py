"""Which rows a query is about, and in what order: `where`, `order_by`, `distinct_on`, `limit` and `offset` as SQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from prefectlite.errors import BadRequest
from prefectlite.repository import computed, traversal
from prefectlite.repository.selection import AGGREGATE, Selection
from prefectlite.repository.statement import Statement
from prefectlite.repository.table import Kind, Relation, Table
from prefectlite.repository.tables import READABLE
from prefectlite.repository.where import condition, key_condition

MAX_ORDER = 20
MAX_DISTINCT = 10
#: The directions of an order, and how SQL says them. NULLs lie as in PostgreSQL: above everything.
DIRECTIONS = {
    "asc": "ASC NULLS LAST",
    "desc": "DESC NULLS FIRST",
    "asc_nulls_first": "ASC NULLS FIRST",
    "asc_nulls_last": "ASC NULLS LAST",
    "desc_nulls_first": "DESC NULLS FIRST",
    "desc_nulls_last": "DESC NULLS LAST",
}


class Joint(msgspec.Struct, frozen=True):
    """What ties rows to the row of another table that they are shown in: their column `remote` equals the SQL `local`."""

    remote: str
    local: str


def joint(statement: Statement, table: Table, relation: Relation, alias: str) -> Joint:
    """The joint of a relation to the row `alias` of `table`."""
    return Joint(relation.remote, computed.value(statement.dialect, table, relation.local, alias))


def table_named(name: str) -> Table:
    """The table of this name. Raises BadRequest if there is none."""
    if name in READABLE:
        return READABLE[name]
    raise BadRequest(f"There is no table {name!r}")


def kind_of(table: Table, column: str) -> Kind:
    """What the column holds. Raises BadRequest if there is no such column."""
    if kind := table.kind(column):
        return kind
    raise BadRequest(f"{table.name} has no column {column!r}")


def picked(
    statement: Statement,
    selection: Selection,
    tie: Joint | None,
    columns: Iterable[str],
    alias: str,
    most: int | None = None,
) -> str:
    """The statement that gives `columns` of the rows, which it calls `alias`, in their order; at most `most` of them."""
    table = table_named(selection.table)
    rows = source(statement, selection, alias)
    shown = ", ".join(f"{alias}.{name}" for name in columns) or "1"
    where = _distinct(statement, table, selection, tie, alias) if selection.distinct_on else None
    where = where or conditions(statement, table, selection, tie, alias)
    return (
        f"SELECT {shown} FROM {rows}{where}{_order(statement, table, selection, alias)}{_page(statement, selection, most)}"
    )


def source(statement: Statement, selection: Selection, alias: str) -> str:
    """Where the rows come from, which are called `alias` there."""
    rows = selection.table if selection.source is None else f"({traversal.rows(statement, selection.source)})"
    return f"{rows} AS {alias}"


def conditions(statement: Statement, table: Table, selection: Selection, tie: Joint | None, alias: str) -> str:
    """The WHERE of rows without regard to their order; nothing where all rows are meant."""
    parts = [] if tie is None else [f"{alias}.{tie.remote} = {tie.local}"]
    if selection.key is not None:
        parts.append(key_condition(statement, table, selection.key, alias))
    if confined := statement.confined(table.name, alias):
        parts.append(confined)
    if where := condition(statement, table, selection.where, alias):
        parts.append(where)
    return " WHERE " + " AND ".join(f"({part})" for part in parts) if parts else ""


def _distinct(statement: Statement, table: Table, selection: Selection, tie: Joint | None, alias: str) -> str:
    """The WHERE of those rows that come first among their equals."""
    if len(selection.distinct_on) > MAX_DISTINCT:
        raise BadRequest(f"distinct_on: at most {MAX_DISTINCT} columns")
    inner, numbered = statement.alias(), statement.alias()
    for name in selection.distinct_on:
        kind_of(table, name)
    equals = ", ".join(computed.value(statement.dialect, table, name, inner) for name in selection.distinct_on)
    order = _order(statement, table, selection, inner) or f" ORDER BY {inner}.{table.key}"
    places = f"SELECT {inner}.{table.key}, row_number() OVER (PARTITION BY {equals}{order}) AS place"
    rows = f"{places} FROM {source(statement, selection, inner)}{conditions(statement, table, selection, tie, inner)}"
    return f" WHERE {alias}.{table.key} IN (SELECT {table.key} FROM ({rows}) AS {numbered} WHERE place = 1)"


def _order(statement: Statement, table: Table, selection: Selection, alias: str) -> str:
    """ORDER BY. The key comes last, so that rows that are otherwise equal do not change places between two pages."""
    terms: list[str] = []
    last = "ASC"
    if len(selection.order_by) > MAX_ORDER:
        raise BadRequest(f"order_by: at most {MAX_ORDER} columns")
    for order in selection.order_by:
        if order.direction not in DIRECTIONS:
            raise BadRequest(f"order_by: {order.direction!r} is not one of {', '.join(DIRECTIONS)}")
        terms.append(f"{_ordered(statement, table, order.path, alias)} {DIRECTIONS[order.direction]}")
        last = "DESC" if order.direction.startswith("desc") else "ASC"
        if order.path == (table.key,):
            return " ORDER BY " + ", ".join(terms)
    if terms or selection.limit is not None or selection.offset is not None:
        terms.append(f"{alias}.{table.key} {last}")
    return " ORDER BY " + ", ".join(terms) if terms else ""


def _ordered(statement: Statement, table: Table, path: Sequence[str], alias: str) -> str:
    if len(path) == 1:
        kind_of(table, path[0])
        return computed.value(statement.dialect, table, path[0], alias)
    name = path[0].removesuffix(AGGREGATE)
    relation = table.relations.get(name)
    if relation is None or relation.many != (name != path[0]):
        raise BadRequest(f"order_by: {table.name} cannot be ordered by {path[0]!r}")
    inner = statement.alias()
    target = table_named(relation.table)
    value = (_counted if relation.many else _ordered)(statement, target, path[1:], inner)
    tie = joint(statement, table, relation, alias)
    which = f"{inner}.{tie.remote} = {tie.local}"
    if confined := statement.confined(target.name, inner):
        which += f" AND ({confined})"
    return f"(SELECT {value} FROM {relation.table} AS {inner} WHERE {which})"


def _counted(statement: Statement, table: Table, path: Sequence[str], alias: str) -> str:
    """What is counted of the rows `alias` that belong together, one value for all of them."""
    if tuple(path) == ("count",):
        return "count(*)"
    if len(path) != 2 or not table.is_summed_up(*path):
        raise BadRequest(f"order_by: rows of {table.name} have no {'.'.join(path)!r} by which others could be ordered")
    function, column = path
    return f"{function}({computed.value(statement.dialect, table, column, alias)})"


def _page(statement: Statement, selection: Selection, most: int | None) -> str:
    for name, value in (("limit", selection.limit), ("offset", selection.offset)):
        if value is not None and not 0 <= value < 2**63:
            raise BadRequest(f"{name}: {value} is {'below 0' if value < 0 else 'out of range'}")
    if selection.limit is not None and most is not None and selection.limit > most:
        raise BadRequest(f"limit: at most {most:,} rows at a time; fetch further ones with offset")
    limit = most if selection.limit is None else selection.limit
    if limit is None and selection.offset:
        limit = 2**63 - 1  # SQLite knows no OFFSET without a LIMIT
    page = "" if limit is None else f" LIMIT {statement.bind(limit)}"
    return page + (f" OFFSET {statement.bind(selection.offset)}" if selection.offset else "")
