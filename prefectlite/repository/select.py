"""Queries as SQL that answers with JSON: one row, one text, relations nested, whatever the depth.

The database writes the JSON itself, so an answer of ten thousand rows costs no Python object per value and can be sent
on as it comes. Names come from TABLES only; every value of the user's is bound.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from prefectlite.errors import BadRequest
from prefectlite.repository import computed
from prefectlite.repository.dialect import SQLITE, Dialect
from prefectlite.repository.picking import Joint, conditions, joint, kind_of, picked, source, table_named
from prefectlite.repository.reach import Reach
from prefectlite.repository.selection import (
    Aggregate,
    Column,
    Constant,
    Count,
    Counted,
    Field,
    Group,
    Nodes,
    Related,
    Root,
    Selection,
    Summary,
    TaskRunCounts,
)
from prefectlite.repository.statement import Compiled, Statement, joined
from prefectlite.repository.table import Kind, Table
from prefectlite.repository.where import bound

MAX_ROWS = 10_000
_NAME = re.compile(r"[_A-Za-z][_0-9A-Za-z]*")


def compile_root(root: Root, dialect: Dialect = SQLITE, max_rows: int = MAX_ROWS) -> Compiled:
    """The SQL whose one value is the JSON text of `root`. Raises BadRequest, naming the field."""
    statement = Statement(dialect, max_rows)
    return statement.compiled(f"SELECT {_root(statement, root)}")


def compile_query(
    roots: Mapping[str, Root], dialect: Dialect = SQLITE, max_rows: int = MAX_ROWS, reach: Reach | None = None
) -> Compiled:
    """The SQL whose one value is a JSON object of all `roots`, each under its key, all of one moment, and within `reach`."""
    statement = Statement(dialect, max_rows, reach)
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


def _rows(statement: Statement, selection: Selection, tie: Joint | None) -> str:
    """A list.

    The rows are picked inside, in order, and written as JSON outside, so that only those that are kept are written.
    """
    table, alias = table_named(selection.table), statement.alias()
    text = _object(_members(statement, table, selection.fields, alias))
    rows = picked(statement, selection, tie, _needed(table, selection.fields), alias, statement.max_rows)
    return f"(SELECT '[' || COALESCE({statement.dialect.gather(text)}, '') || ']' FROM ({rows}) AS {alias})"


def _one(statement: Statement, selection: Selection, tie: Joint | None) -> str:
    table, alias = table_named(selection.table), statement.alias()
    text = _object(_members(statement, table, selection.fields, alias))
    where = conditions(statement, table, selection, tie, alias)
    return f"COALESCE((SELECT {text} FROM {table.name} AS {alias}{where}), 'null')"


def _aggregate(statement: Statement, aggregate: Aggregate, tie: Joint | None) -> str:
    rows = aggregate.rows
    table, alias = table_named(rows.table), statement.alias()
    text = _object(_counted(statement, aggregate, table, aggregate.fields, alias, tie))
    if not _has_count(aggregate.fields):  # to SQL that is no aggregate: it would be said once for each row, or never
        picked(Statement(statement.dialect, statement.max_rows), rows, tie, (), alias)  # which says what is wrong with them
        return text
    if rows.distinct_on or rows.limit is not None or rows.offset is not None:
        page = f"({picked(statement, rows, tie, _stored(table), alias)}) AS {alias}"
        return f"(SELECT {text} FROM {page})"
    return f"(SELECT {text} FROM {source(statement, rows, alias)}{conditions(statement, table, rows, tie, alias)})"


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
    confined = statement.confined("task_run", run)
    grouped = (
        f"SELECT {run}.task_id, {run}.state, count(*) AS count FROM task_run AS {run}"
        f" JOIN task AS {task} ON {task}.id = {run}.task_id"
        f" WHERE {run}.flow_run_id = {flow_run} AND ({run}.map_index >= 0 OR {task}.mapped = 0)"
        f"{f' AND {confined}' if confined else ''}"
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
            column = computed.value(statement.dialect, table, field.name, alias)
            members.append((key, statement.dialect.json(kind_of(table, field.name), column)))
        else:
            members.append((key, _relation(statement, table, field, alias)))
    return members


def _relation(statement: Statement, table: Table, related: Related, alias: str) -> str:
    relation = table.relations.get(related.relation)
    target = related.rows.rows.table if isinstance(related.rows, Aggregate) else related.rows.table
    if relation is None or relation.table != target:
        raise BadRequest(f"{table.name} has no relation {related.relation!r} to {target}")
    tie = joint(statement, table, relation, alias)
    if isinstance(related.rows, Aggregate):
        return _aggregate(statement, related.rows, tie)
    return _rows(statement, related.rows, tie) if relation.many else _one(statement, related.rows, tie)


def _counted(
    statement: Statement, whole: Aggregate, table: Table, fields: Mapping[str, Counted], alias: str, tie: Joint | None
) -> list[tuple[str, str | Constant]]:
    members: list[tuple[str, str | Constant]] = []
    for key, field in fields.items():
        if isinstance(field, Group):
            members.append((key, _object(_counted(statement, whole, table, field.fields, alias, tie))))
        elif isinstance(field, Nodes):
            members.append((key, _rows(statement, msgspec.structs.replace(whole.rows, fields=field.fields), tie)))
        elif isinstance(field, Count):
            members.append((key, _count(statement, table, field, alias)))
        elif isinstance(field, Summary):
            members.append((key, _summary(statement, table, field, alias)))
        else:
            members.append((key, field))
    return members


def _has_count(fields: Mapping[str, Counted]) -> bool:
    return any(
        _has_count(field.fields) if isinstance(field, Group) else isinstance(field, Count | Summary)
        for field in fields.values()
    )


def _count(statement: Statement, table: Table, count: Count, alias: str) -> str:
    columns = [(kind_of(table, name), computed.value(statement.dialect, table, name, alias)) for name in count.columns]
    if not columns:
        return "count(*)"
    if len(columns) == 1:
        counted = columns[0][1]
    else:  # rows of values are compared as texts
        counted = " || ',' || ".join(statement.dialect.json(kind, column) for kind, column in columns)
    return f"count({'DISTINCT ' if count.distinct else ''}{counted})"


def _summary(statement: Statement, table: Table, summary: Summary, alias: str) -> str:
    kind = kind_of(table, summary.column)
    value = f"{summary.function}({computed.value(statement.dialect, table, summary.column, alias)})"
    return statement.dialect.json(kind, value)


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


def _stored(table: Table) -> list[str]:
    """All columns that something can be counted of, or be made of that can."""
    names = (*table.columns, *table.computed)
    return list(dict.fromkeys(stored for name in names for stored in computed.needed(table, name)))


def _needed(table: Table, fields: Mapping[str, Field]) -> list[str]:
    """The columns that the fields read, those that lead to relations included, each once."""
    names = [
        name
        for field in fields.values()
        if not isinstance(field, Constant)
        for name in computed.needed(
            table, field.name if isinstance(field, Column) else table.relations[field.relation].local
        )
    ]
    return list(dict.fromkeys(names))
