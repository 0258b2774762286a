"""What a JSON document holds, as SQLite says it; PostgreSQL has operators for that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from prefectlite.errors import BadRequest

Bind = Callable[[Any], str]
_MOST_PARTS = 200
_TYPES = {int: ("integer", "real"), float: ("integer", "real"), str: ("text",)}


def parts_of(document: Any) -> int:
    """How many values a document has. Raises BadRequest if they are too many to be compared with."""
    inner = document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    count = 1 + sum(parts_of(value) for value in inner)
    if count > _MOST_PARTS:
        raise BadRequest(f"A document to be contained has at most {_MOST_PARTS} values")
    return count


def contains(column: str, document: Any, bind: Bind) -> str:
    """Whether the document in `column` has all that `document` has, objects inside of lists included."""
    if isinstance(document, dict):
        parts = [_at(column, key, value, bind) for key, value in document.items()]
        return " AND ".join([f"json_type({column}) = 'object'", *parts])
    if isinstance(document, list):
        parts = [_in_list(column, value, bind) for value in document]
        return " AND ".join([f"json_type({column}) = 'array'", *parts])
    return _is(f"json_type({column})", f"json_extract({column}, '$')", document, bind)


def has_keys(column: str, keys: Sequence[str], bind: Bind, *, all_of_them: bool) -> str:
    """Whether the object in `column` has these keys, or the list these texts: all or any of them."""
    parts = [
        f"EXISTS (SELECT 1 FROM json_each({column}) AS e WHERE {bind(key)} ="
        f" CASE json_type({column}) WHEN 'object' THEN e.key ELSE CASE e.type WHEN 'text' THEN e.value END END)"
        for key in keys
    ]
    return "(" + (" AND " if all_of_them else " OR ").join(parts or ["1 = 1" if all_of_them else "1 = 0"]) + ")"


def _at(column: str, key: str, value: Any, bind: Bind) -> str:
    path = bind('$."' + key.replace('"', '\\"') + '"')
    if isinstance(value, dict | list):
        return f"({contains(f'json_extract({column}, {path})', value, bind)})"
    return _is(f"json_type({column}, {path})", f"json_extract({column}, {path})", value, bind)


def _in_list(column: str, value: Any, bind: Bind) -> str:
    if isinstance(value, dict | list):
        kind = "object" if isinstance(value, dict) else "array"
        inner = contains("e.value", value, bind)
        return f"EXISTS (SELECT 1 FROM json_each({column}) AS e WHERE e.type = '{kind}' AND {inner})"
    return f"EXISTS (SELECT 1 FROM json_each({column}) AS e WHERE {_is('e.type', 'e.value', value, bind)})"


def _is(kind: str, value: str, wanted: Any, bind: Bind) -> str:
    if wanted is None or isinstance(wanted, bool):
        return f"{kind} = '{'null' if wanted is None else str(wanted).lower()}'"
    types = ", ".join(f"'{name}'" for name in _TYPES[type(wanted)])
    return f"({kind} IN ({types}) AND {value} = {bind(wanted)})"
