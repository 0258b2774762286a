"""Queries as SQL that answers with JSON: one row, one text, relations nested, whatever the depth.

The database writes the JSON itself, so an answer of ten thousand rows costs no Python object per value and can be sent
on as it comes. Names come from TABLES only; every value of the user's is bound.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from prefectlite.errors import BadRequest
from prefectlite.repository.dialect import SQLITE, Dialect
from prefectlite.repository.selection import (
    Aggregate,
    Column,
    Constant,
    Count,
    Field,
    Group,
    Related,
    Root,
    Selection,
    TaskRunCounts,
)
from prefectlite.repository.statement import Compiled, Statement, joined
from prefectlite.repository.tables import TABLES, Kind, Relation, Table
from prefectlite.repository.where import bound, condition, key_condition

MAX_ROWS = 10_000
MAX_ORDER = 20


_NAME = re.compile(r"[_A-Za-z][_0-9A-Za-z]*")
#: The directions of an order, and how SQL says them. NULLs lie as in PostgreSQL: above everything.
DIRECTIONS = {
    "asc": "ASC NULLS LAST",
    "desc": "DESC NULLS FIRST",
    "asc_nulls_first": "ASC NULLS FIRST",
    "asc_nulls_last": "ASC NULLS LAST",
    "desc_nulls_first": "DESC NULLS FIRST",
    "desc_nulls_last": "DESC NULLS LAST",
}


def compile_root(root: Root, dialect: Dialect = SQLITE, max_rows: int = MAX_ROWS) -> Compiled:
    """The SQL whose one value is the JSON text of `root`. Raises BadRequest, naming the field."""
    statement = Statement(dialect, max_rows)
    return statement.compiled(f"SELECT {_root(statement, root)}")


def compile_query(roots: Mapping[str, Root], dialect: Dialect = SQLITE, max_rows: int = MAX_ROWS) -> Compiled:
    """The SQL whose one value is a JSON object of all `roots`, each under its key, all of one moment."""
    statement = Statement(dialect, max_rows)
    members = [(key, root if isinstance(root, Constant) else _root(statement, root)) for key, root in roots.items()]
    return statement.compiled(f"SELECT {_object(members)}")


def _root(statement: Statement, root: Root) -> str:
    if isinstance(root, Constant):
        return _literal(root.json)
    if isinstance(root, TaskRunCounts):
        return _task_run_counts(statement, root)
    if isinstance(root, Aggregate):
        return _aggregate(statement, root, None)
    return _rows(statement, root, None) if root.key is None else _one(statement, root, None)


def _rows(statement: Statement, selection: Selection, joint: tuple[Relation, str] | None) -> str:
    """A list.

    The rows are picked inside, in order, and written as JSON outside, so that only those that are kept are written.
    """
    table, alias = _table(selection.table), statement.alias()
    text = _object(_members(statement, table, selection.fields, alias))
    columns = ", ".join(f"{alias}.{name}" for name in _needed(table, selection.fields)) or "1"
    conditions = _joint(joint, alias)
    if where := condition(statement, table, selection.where, alias):
        conditions.append(where)
    picked = f"SELECT {columns} FROM {table.name} AS {alias}{_where(conditions)}"
    picked += _order(statement, table, selection, alias) + _page(statement, selection)
    return f"(SELECT '[' || COALESCE({statement.dialect.gather(text)}, '') || ']' FROM ({picked}) AS {alias})"


def _one(statement: Statement, selection: Selection, joint: tuple[Relation, str] | None) -> str:
    table, alias = _table(selection.table), statement.alias()
    text = _object(_members(statement, table, selection.fields, alias))
    conditions = _joint(joint, alias)
    if joint is None:
        conditions.append(key_condition(statement, table, selection.key, alias))
    return f"COALESCE((SELECT {text} FROM {table.name} AS {alias}{_where(conditions)}), 'null')"


def _aggregate(statement: Statement, aggregate: Aggregate, joint: tuple[Relation, str] | None) -> str:
    table, alias = _table(aggregate.table), statement.alias()
    conditions = _joint(joint, alias)
    if where := condition(statement, table, aggregate.where, alias):
        conditions.append(where)
    return f"(SELECT {_object(_counted(aggregate.fields))} FROM {table.name} AS {alias}{_where(conditions)})"


def _task_run_counts(statement: Statement, counts: TaskRunCounts) -> str:
    kinds = {"task_id": Kind.ID, "state": Kind.TEXT, "count": Kind.INT}
    alias, run, task = statement.alias(), statement.alias(), statement.alias()
    members: list[tuple[str, str | Constant]] = []
    for key, field in counts.fields.items():
        if isinstance(field, Column):
            members.append((key, statement.dialect.json(kinds[field.name], f"{alias}.{field.name}")))
        else:
            members.append((key, field))
    flow_run = statement.bind(bound(Kind.ID, counts.flow_run_id, "flow_run_id"))
    grouped = (
        f"SELECT {run}.task_id, {run}.state, count(*) AS count FROM task_run AS {run}"
        f" JOIN task AS {task} ON {task}.id = {run}.task_id"
        f" WHERE {run}.flow_run_id = {flow_run} AND ({run}.map_index >= 0 OR {task}.mapped = 0)"
        f" GROUP BY {run}.task_id, {run}.state ORDER BY {run}.task_id, {run}.state"
    )
    gathered = statement.dialect.gather(_object(members))
    return f"(SELECT '[' || COALESCE({gathered}, '') || ']' FROM ({grouped}) AS {alias})"


def _members(
    statement: Statement, table: Table, fields: Mapping[str, Field], alias: str
) -> list[tuple[str, str | Constant]]:
    members: list[tuple[str, str | Constant]] = []
    for key, field in fields.items():
        if isinstance(field, Constant):
            members.append((key, field))
        elif isinstance(field, Column):
            members.append((key, statement.dialect.json(_kind(table, field.name), f"{alias}.{field.name}")))
        else:
            members.append((key, _relation(statement, table, field, alias)))
    return members


def _relation(statement: Statement, table: Table, related: Related, alias: str) -> str:
    relation = table.relations.get(related.relation)
    if relation is None or relation.table != related.rows.table:
        raise BadRequest(f"{table.name} has no relation {related.relation!r} to {related.rows.table}")
    joint = (relation, alias)
    if isinstance(related.rows, Aggregate):
        return _aggregate(statement, related.rows, joint)
    return _rows(statement, related.rows, joint) if relation.many else _one(statement, related.rows, joint)


def _counted(fields: Mapping[str, Count | Constant | Group]) -> list[tuple[str, str | Constant]]:
    members: list[tuple[str, str | Constant]] = []
    for key, field in fields.items():
        if isinstance(field, Group):
            members.append((key, _object(_counted(field.fields))))
        else:
            members.append((key, "count(*)" if isinstance(field, Count) else field))
    return members


def _object(members: Sequence[tuple[str, str | Constant]]) -> str:
    """The text of a JSON object; what is known beforehand melts into the literals between the values."""
    parts: list[str] = []
    text = "{"
    for index, (key, value) in enumerate(members):
        if not _NAME.fullmatch(key):
            raise BadRequest(f"{key!r} cannot be the name of a field")
        text += f'{"," if index else ""}"{key}":'
        if isinstance(value, Constant):
            text += value.json
        else:
            parts += [_literal(text), value]
            text = ""
    return f"({joined([*parts, _literal(text + '}')], '||')})"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _needed(table: Table, fields: Mapping[str, Field]) -> list[str]:
    """The columns that the fields read, those that lead to relations included, each once."""
    names = [
        field.name if isinstance(field, Column) else table.relations[field.relation].local
        for field in fields.values()
        if not isinstance(field, Constant)
    ]
    return list(dict.fromkeys(names))


def _joint(joint: tuple[Relation, str] | None, alias: str) -> list[str]:
    if joint is None:
        return []
    relation, parent = joint
    return [f"{alias}.{relation.remote} = {parent}.{relation.local}"]


def _where(conditions: list[str]) -> str:
    return " WHERE " + " AND ".join(f"({part})" for part in conditions) if conditions else ""


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


def _ordered(statement: Statement, table: Table, path: tuple[str, ...], alias: str) -> str:
    if len(path) == 1:
        _kind(table, path[0])
        return f"{alias}.{path[0]}"
    relation = table.relations.get(path[0])
    if relation is None or relation.many:
        raise BadRequest(f"order_by: {table.name} cannot be ordered by {path[0]!r}")
    inner = statement.alias()
    value = _ordered(statement, _table(relation.table), path[1:], inner)
    return f"(SELECT {value} FROM {relation.table} AS {inner} WHERE {_joint((relation, alias), inner)[0]})"


def _page(statement: Statement, selection: Selection) -> str:
    for name, value in (("limit", selection.limit), ("offset", selection.offset)):
        if value is not None and value < 0:
            raise BadRequest(f"{name}: {value} is below 0")
    if selection.limit is not None and selection.limit > statement.max_rows:
        raise BadRequest(f"limit: at most {statement.max_rows:,} rows at a time; fetch further ones with offset")
    limit = statement.max_rows if selection.limit is None else selection.limit
    page = f" LIMIT {statement.bind(limit)}"
    return page + (f" OFFSET {statement.bind(selection.offset)}" if selection.offset else "")


def _table(name: str) -> Table:
    if name in TABLES:
        return TABLES[name]
    raise BadRequest(f"There is no table {name!r}")


def _kind(table: Table, column: str) -> Kind:
    if column in table.columns:
        return table.columns[column]
    raise BadRequest(f"{table.name} has no column {column!r}")
