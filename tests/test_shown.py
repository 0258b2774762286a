"""Values of users as text and as JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefectlite import shown


class Untold:
    def __repr__(self) -> str:
        raise SystemExit(1)


class Loud(str):
    pass


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1),
        (True, True),
        (2**63, "0x8000000000000000"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (Loud("a"), "a"),
        ("a\udc80", "a\\udc80"),
        ((1, [2]), [1, [2]]),
        ({1: {"a"}}, {"1": "{'a'}"}),
        (Untold(), "Untold (its repr raises)"),
    ],
)
def test_as_json(value: Any, expected: Any) -> None:
    assert shown.as_json({"value": value}) == {"value": expected}


def test_numbers_of_any_length_are_told() -> None:
    assert shown.as_json({"value": 10**5000}) == {"value": hex(10**5000)}
    assert shown.told(10**5000) == "int (its repr raises)"


def test_what_has_no_end_is_told() -> None:
    loop: list[Any] = []
    loop.append(loop)
    for value in (loop, nested(100_000)):
        assert len(msgspec.json.encode(shown.as_json({"value": value}))) < 1_000


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=())),
        st.recursive(st.text(st.characters(exclude_categories=())) | st.floats() | st.integers() | st.binary(), st.lists),
    )
)
def test_it_is_json_always(values: dict[Any, Any]) -> None:
    json.loads(msgspec.json.encode(shown.as_json(values)))


def test_long_words_keep_head_and_tail() -> None:
    assert shown.shortened("abcdefgh", 8) == "abcdefgh"
    assert shown.shortened("abcdefghi", 4) == "ab«5 characters left out»hi"
    assert shown.told("x" * 100, most=10) == "'xxxx«92 characters left out»xxxx'"


def test_printable() -> None:
    assert shown.printable("a b") == "a b"
    assert shown.printable("a\n\x1b[1m\u202eé") == "a\\n\\x1b[1m\\u202eé"
    assert shown.printable_lines("a\n\tb\r\x1b\u2028c", "  ") == "a\n          b\n  \\x1b\n  c"
    assert shown.printable_lines("a b", "  ") == "a b"
