"""`where` as SQL: boolean expressions over the columns and relations of TABLES.

The shapes are Hasura's: `{"_and": [...], "_or": [...], "_not": {...}, "name": {"_eq": "x"}, "flow": {"name": ...}}`. A
comparison with None is true, as is an expression that says nothing. NULL in a column follows SQL: no comparison but
`_is_null` is true of it, and the `_not` of such a comparison is not true either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from prefectlite.clock import to_micros
from prefectlite.errors import BadRequest
from prefectlite.ids import is_id
from prefectlite.repository import computed, documents
from prefectlite.repository.statement import Statement, joined
from prefectlite.repository.table import Kind, Relation, Table
from prefectlite.repository.tables import TABLES
from prefectlite.repository.words import terms

MAX_DEPTH = 16
MAX_LIST = 10_000
MAX_PATTERN = 1_000
MAX_KEYS = 100
FALSE = "1 = 0"

_ORDERED = {"_eq": "=", "_neq": "<>", "_gt": ">", "_gte": ">=", "_lt": "<", "_lte": "<="}
_COMPARISONS = (*_ORDERED, "_in", "_nin", "_is_null")
_PATTERNS = ("_like", "_nlike", "_ilike", "_nilike")

#: The comparisons that a column of each kind knows.
OPERATORS: dict[Kind, tuple[str, ...]] = {
    **dict.fromkeys(Kind, _COMPARISONS),
    Kind.TEXT: (*_COMPARISONS, *_PATTERNS),
    Kind.PROSE: (*_COMPARISONS, *_PATTERNS, "_search"),
    # The databases do not agree on when two documents are equal or which is less.
    Kind.JSON: ("_contains", "_has_key", "_has_keys_any", "_has_keys_all", "_is_null"),
}


def condition(
    statement: Statement, table: Table, where: Mapping[str, Any] | None, alias: str, path: str = "where", depth: int = 0
) -> str | None:
    """The SQL of `where` over the row `alias` of `table`; None when it is true of every row.

    Raises BadRequest, naming the field by `path`, for what cannot be compared.
    """
    if depth > MAX_DEPTH:
        raise BadRequest(f"{path}: conditions may be nested {MAX_DEPTH} deep")
    parts: list[str] = []
    for name, value in (where or {}).items():
        if value is None:
            continue
        here = f"{path}.{name}"
        if name in ("_and", "_or"):
            part = _list(statement, table, value, alias, name, here, depth)
        elif name == "_not":
            inner = condition(statement, table, _mapping(value, here), alias, here, depth + 1)
            part = FALSE if inner is None else f"NOT ({inner})"
        elif kind := table.kind(name):
            column = computed.value(statement.dialect, table, name, alias)
            part = _comparison(statement, kind, column, _mapping(value, here), here)
        elif name in table.relations:
            part = _related(statement, table, table.relations[name], _mapping(value, here), alias, here, depth)
        else:
            raise BadRequest(f"{here}: {table.name} has no column or relation of that name")
        if part is not None:
            parts.append(part)
    return _all(parts)


def key_condition(statement: Statement, table: Table, key: Any, alias: str) -> str:
    """The SQL that is true of the one row of `table` with that key."""
    return f"{alias}.{table.key} = {statement.bind(bound(table.columns[table.key], key, table.key))}"


def bound(kind: Kind, value: Any, path: str) -> Any:
    """`value` as the database keeps it. Raises BadRequest where it is not of that kind."""
    if kind is Kind.ID:
        if isinstance(value, str) and is_id(value):
            return value.lower()
        raise BadRequest(f"{path}: Could not parse UUID: {value}")
    if kind is Kind.TIME and isinstance(value, datetime):
        return to_micros(value)
    if kind is Kind.DURATION and isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    if kind is Kind.BOOL and isinstance(value, bool):
        return int(value)
    if kind is Kind.INT and isinstance(value, int) and not isinstance(value, bool):
        if -(2**63) <= value < 2**63:
            return value
        raise BadRequest(f"{path}: {value} is out of range; whole numbers have 64 bits")
    if kind in (Kind.TEXT, Kind.PROSE) and isinstance(value, str):
        return documents.storable(value, path)
    raise BadRequest(f"{path}: {_SHAPES.get(kind, 'such a comparison')} is expected, got {type(value).__name__}")


_SHAPES = {
    Kind.TIME: "a moment like 2030-01-31T12:00:00+00:00",
    Kind.DURATION: "a duration like 01:30:00",
    Kind.BOOL: "true or false",
    Kind.INT: "a whole number",
    Kind.TEXT: "a text",
    Kind.PROSE: "a text",
}


def _list(statement: Statement, table: Table, value: Any, alias: str, name: str, path: str, depth: int) -> str | None:
    items = [value] if isinstance(value, Mapping) else value
    if not isinstance(items, Sequence) or isinstance(items, str):
        raise BadRequest(f"{path}: a list of conditions is expected")
    mark = statement.mark()
    parts = [
        condition(statement, table, _mapping(item, f"{path}[{i}]"), alias, f"{path}[{i}]", depth + 1)
        for i, item in enumerate(items)
    ]
    known = [part for part in parts if part is not None]
    if name == "_and":
        return _all(known)
    if len(known) < len(parts):
        statement.forget(mark)
        return None
    return joined([f"({part})" for part in known], "OR") if known else FALSE


def _comparison(statement: Statement, kind: Kind, column: str, comparison: Mapping[str, Any], path: str) -> str | None:
    parts: list[str] = []
    for operator, operand in comparison.items():
        here = f"{path}.{operator}"
        if operator not in OPERATORS[kind]:
            raise BadRequest(f"{here}: known here are {', '.join(OPERATORS[kind])}")
        if operand is None:
            continue
        if operator == "_is_null":
            parts.append(f"{column} IS {'' if bound(Kind.BOOL, operand, here) else 'NOT '}NULL")
        elif operator in ("_in", "_nin"):
            parts.append(_membership(statement, kind, column, operator, operand, here))
        elif operator in _PATTERNS:
            parts.append(_pattern(statement, column, operator, operand, here))
        elif operator == "_contains":
            parts.append(statement.dialect.contains(column, documents.asked(operand, here), statement.bind))
        elif operator.startswith("_has_key"):
            parts.append(_keys(statement, column, operator, operand, here))
        elif operator == "_search":
            parts.append(_search(statement, column, operand, here))
        else:
            parts.append(f"{column} {_ORDERED[operator]} {statement.bind(bound(kind, operand, here))}")
    return _all(parts)


def _pattern(statement: Statement, column: str, operator: str, operand: Any, path: str) -> str:
    pattern = bound(Kind.TEXT, operand, path)
    if len(pattern) > MAX_PATTERN:
        raise BadRequest(f"{path}: a pattern has at most {MAX_PATTERN:,} characters")
    like = statement.dialect.like(column, pattern, statement.bind, any_case=operator.endswith("ilike"))
    return f"NOT ({like})" if operator.startswith("_n") else like


def _keys(statement: Statement, column: str, operator: str, operand: Any, path: str) -> str:
    keys = [operand] if operator == "_has_key" else operand
    if not isinstance(keys, Sequence) or isinstance(keys, str):
        raise BadRequest(f"{path}: a list of texts is expected")
    if len(keys) > MAX_KEYS:
        raise BadRequest(f"{path}: a list has at most {MAX_KEYS} keys")
    wanted = [bound(Kind.TEXT, key, path) for key in keys]
    return statement.dialect.has_keys(column, wanted, statement.bind, all_of_them=operator != "_has_keys_any")


def _search(statement: Statement, column: str, operand: Any, path: str) -> str:
    if not isinstance(operand, str):
        raise BadRequest(f"{path}: a text is expected, got {type(operand).__name__}")
    statement.is_search = True
    wanted = terms(operand, path)
    return statement.dialect.search(column.partition(".")[0], wanted, statement.bind) if wanted else FALSE


def _membership(statement: Statement, kind: Kind, column: str, operator: str, operand: Any, path: str) -> str:
    if not isinstance(operand, Sequence) or isinstance(operand, str):
        raise BadRequest(f"{path}: a list is expected")
    if len(operand) > MAX_LIST:
        raise BadRequest(f"{path}: a list has at most {MAX_LIST:,} values; ask in several parts")
    if not operand:
        return FALSE if operator == "_in" else "1 = 1"
    places = ", ".join(statement.bind(bound(kind, item, f"{path}[{i}]")) for i, item in enumerate(operand))
    return f"{column} {'IN' if operator == '_in' else 'NOT IN'} ({places})"


def _related(
    statement: Statement, table: Table, relation: Relation, where: Mapping[str, Any], alias: str, path: str, depth: int
) -> str:
    other = TABLES[relation.table]
    inner_alias = statement.alias()
    wanted = (statement.confined(other.name, inner_alias), condition(statement, other, where, inner_alias, path, depth + 1))
    inner = _all([part for part in wanted if part])
    local = computed.value(statement.dialect, table, relation.local, alias)
    if inner is None or relation.many:
        rest = f" AND ({inner})" if inner else ""
        joint = f"{inner_alias}.{relation.remote} = {local}"
        return f"EXISTS (SELECT 1 FROM {other.name} AS {inner_alias} WHERE {joint}{rest})"
    # For the one row that is pointed to, a list computed once beats a look-up per row, and lets an index on `local`
    # serve. The first half keeps the answer two-valued where `local` is NULL, as EXISTS would.
    members = f"SELECT {inner_alias}.{relation.remote} FROM {other.name} AS {inner_alias} WHERE {inner}"
    return f"({local} IS NOT NULL AND {local} IN ({members}))"


def _all(parts: list[str]) -> str | None:
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else joined([f"({part})" for part in parts], "AND")


def _mapping(value: Any, path: str) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    raise BadRequest(f"{path}: an object is expected, got {type(value).__name__}")
