"""What a JSON document holds: PostgreSQL has operators for that, and SQLite gets functions which say the same."""

from __future__ import annotations

import functools
import math
import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec

from prefectlite.errors import BadRequest

MOST_PARTS = 200
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1


def asked(document: Any, path: str) -> str:
    """`document`, which others are to contain, as JSON text. Raises BadRequest, naming `path`, if it cannot be compared."""
    for index, value in enumerate(_values(document)):
        if index == MOST_PARTS:
            raise BadRequest(f"{path}: a document to be contained has at most {MOST_PARTS} values")
        if isinstance(value, str):
            storable(value, path)
        elif isinstance(value, float) and not math.isfinite(value):
            raise BadRequest(f"{path}: {value} is no number of JSON")
        elif isinstance(value, int) and not _SMALLEST <= value <= _LARGEST:
            raise BadRequest(f"{path}: a number is out of range; whole numbers have 64 bits")
    return msgspec.json.encode(document).decode()


def storable(text: str, path: str) -> str:
    """`text` as it is. Raises BadRequest, naming `path`, for one that no database can hold."""
    if "\0" in text:
        raise BadRequest(f"{path}: the text holds a NUL character, which no text here does")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadRequest(f"{path}: the text holds half of a surrogate pair") from None
    return text


def contains(document: Any, wanted: Any) -> bool:
    """Whether `document` has all that `wanted` has: the members of objects, and the items of lists in any order.

    A list also contains the values in it as such, though not where the list is inside of a document.
    """
    if isinstance(document, list) and not isinstance(wanted, list | dict):
        return any(_holds(item, wanted) for item in document)
    return _holds(document, wanted)


def has_keys(document: Any, keys: list[str], *, all_of_them: bool) -> bool:
    """Whether `document` is an object with these keys, or a list with these texts: all or any of them."""
    if isinstance(document, dict):
        there = set(document)
    else:
        there = {item for item in (document if isinstance(document, list) else [document]) if isinstance(item, str)}
    return there.issuperset(keys) if all_of_them else not there.isdisjoint(keys)


def define(connection: sqlite3.Connection) -> None:
    """Give SQLite the functions json_contains(document, wanted), json_has_any and json_has_all(document, keys)."""
    connection.create_function("json_contains", 2, _contains, deterministic=True)
    connection.create_function("json_has_any", 2, functools.partial(_has_keys, False), deterministic=True)
    connection.create_function("json_has_all", 2, functools.partial(_has_keys, True), deterministic=True)


def _contains(document: str | None, wanted: str) -> bool | None:
    return None if document is None else contains(msgspec.json.decode(document), _decoded(wanted))


def _has_keys(all_of_them: bool, document: str | None, keys: str) -> bool | None:
    return None if document is None else has_keys(msgspec.json.decode(document), _decoded(keys), all_of_them=all_of_them)


@functools.lru_cache(maxsize=32)
def _decoded(text: str) -> Any:
    return msgspec.json.decode(text)  # once for all rows of a query


def _holds(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(value, dict) and all(key in value and _holds(value[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return isinstance(value, list) and all(any(_holds(item, one) for item in value) for one in wanted)
    if isinstance(value, bool) or isinstance(wanted, bool):  # in Python, 1 is True
        return value is wanted
    return bool(value == wanted)


def _values(document: Any) -> Iterator[Any]:
    """All that is in a document, itself and the keys of objects included."""
    yield document
    if isinstance(document, dict):
        for key, value in document.items():
            yield key
            yield from _values(value)
    elif isinstance(document, list):
        for value in document:
            yield from _values(value)
