"""Conditions on documents: both databases find what plain Python says, and nothing that is asked is an error inside them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prefectlite.errors import BadRequest
from prefectlite.repository import documents
from prefectlite.repository.database import Database, Transaction
from prefectlite.repository.select import compile_root
from prefectlite.repository.selection import Column, Selection
from tests.repository import sample_rows
from tests.repository.sample_rows import Sample, uid

#: What a path would have to quote, and what is nearly the same.
KEYS = ["", "a", "A", "a.b", 'a"b', "a'b", "a\\b", 'a\\"b', "$", "$.a", "[0]", "#-1", "ü", "u\u0308", "👋", "0", "1", "null"]
SCALARS = st.one_of(
    st.sampled_from([None, True, False, 0, 1, -0.0, 1.0, 0.1, 1e22, 10**22 // 10**4, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)]),
    st.sampled_from([*KEYS, "true", "{}", "\x01\x1f\x7f\u2028", "\ufffd"]),
    st.floats(allow_nan=False, allow_infinity=False),
)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=8,
)


def same(one: Any, other: Any) -> bool:
    return (
        isinstance(one, bool) == isinstance(other, bool)
        and type(one) in (int, float, bool, str, type(None))
        and one == other
    )


def inside(wanted: Any, document: Any, *, is_outermost: bool = True) -> bool:
    """What PostgreSQL's manual says of `@>`, item by item."""
    if isinstance(wanted, dict):
        return isinstance(document, dict) and all(
            any(key == k and inside(value, v, is_outermost=False) for k, v in document.items())
            for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(document, list) and all(
            any(inside(value, item, is_outermost=False) for item in document) for value in wanted
        )
    if is_outermost and isinstance(document, list):
        return any(same(item, wanted) for item in document)
    return same(document, wanted)


@st.composite
def pairs(draw: Any) -> tuple[Any, Any]:
    """A document, and one that it may hold: a part of it, mostly."""
    document = draw(DOCUMENTS)

    def part(value: Any) -> Any:
        if draw(st.integers(0, 9)) == 0:
            return draw(DOCUMENTS)
        if isinstance(value, dict):
            return {key: part(inner) for key, inner in value.items() if draw(st.booleans())}
        if isinstance(value, list):
            return [part(inner) for inner in value if draw(st.booleans())]
        return float(value) if isinstance(value, int) and abs(value) < 2**40 and draw(st.booleans()) else value

    return document, part(document)


def matches(sample: Sample, documents: list[Any], comparison: dict[str, Any]) -> list[bool]:
    """Which of the documents, as labels of flow groups, a comparison is true of."""
    for n, document in enumerate(documents):
        text = None if document is ... else msgspec.json.encode(document).decode()
        sample.fetch("UPDATE flow_group SET labels = $1 WHERE id = $2", text, uid(90 + n))
    try:
        compiled = compile_root(Selection("flow_group", {"id": Column("id")}, {"labels": comparison}), sample.dialect)
        found = {row["id"] for row in sample_rows.answer(sample, compiled)}
    finally:
        sample.rollback()
    return [uid(90 + n) in found for n in range(len(documents))]


@settings(max_examples=400, deadline=None)
@given(pairs())
@example(({"a": "x"}, {"a": {"b": 1}}))
@example(({"a": [[{"b": [1, {"c": 2}]}]]}, {"a": [[{"b": [{"c": 2.0}]}]]}))
@example((["a", "b"], "b"))
@example(([["a"]], "a"))
@example(({"a": ["b"]}, {"a": "b"}))
@example(("a", ["a"]))
@example(([1], True))
@example(({"a": None}, {"a": None}))
@example(({}, {"a": None}))
def test_contains_what_python_says(sample: Sample, pair: tuple[Any, Any]) -> None:
    document, wanted = pair
    expected = inside(wanted, document)
    found = matches(sample, [document, wanted], {"_contains": wanted})
    assert found == ([True, True] if wanted is None else [expected, True])  # null is no comparison


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS, st.lists(st.sampled_from(KEYS), max_size=3))
@example("a", ["a"])
@example(["a", 1, None, ["b"]], ["1", "b"])
@example({"a.b": 1}, ["a.b"])
def test_has_the_keys_that_python_says(sample: Sample, document: Any, keys: list[str]) -> None:
    there = document if isinstance(document, dict | list) else [document]
    has = [any(isinstance(item, str) and item == key for item in there) for key in keys]
    assert matches(sample, [document], {"_has_keys_any": keys}) == [any(has)]
    assert matches(sample, [document], {"_has_keys_all": keys}) == [all(has)]
    for key, expected in zip(keys, has, strict=True):
        assert matches(sample, [document], {"_has_key": key}) == [expected]


@pytest.mark.parametrize(
    "comparison", [{"_contains": {}}, {"_has_key": "a"}, {"_has_keys_any": ["a"]}, {"_has_keys_all": []}]
)
def test_nothing_is_said_of_a_document_that_is_not_there(sample: Sample, comparison: dict[str, Any]) -> None:
    assert matches(sample, [...], comparison) == [False]
    where = {"_not": {"run_config": comparison}, "schedule": {"_is_null": True}}
    compiled = compile_root(Selection("flow_group", {"id": Column("id")}, where), sample.dialect)
    assert sample_rows.answer(sample, compiled) == []


def test_a_document_with_an_escaped_nul_does_no_harm(sample: Sample) -> None:
    stored = {"a": "\0", "\0\0": "\\u0000", "b": "\\\0\\\\\0"}
    assert matches(sample, [stored, ["x"]], {"_contains": ["x"]}) == [False, True]
    assert matches(sample, [stored], {"_has_key": "b"}) == [True]
    assert matches(sample, [{"b": "\\u0000"}], {"_contains": {"b": "\\u0000"}}) == [True]
    assert matches(sample, [{"b": "\\\\u0000\0"}], {"_has_key": "b"}) == [True]


@pytest.mark.parametrize("column", ["tenant_id", "settings", "state_result", "info", "serialized_state", "heartbeat"])
def test_computed_documents_can_be_asked_too(sample: Sample, column: str) -> None:
    table = {"settings": "flow", "info": "log"}.get(column, "task_run")
    for comparison in ({"_contains": {"type": "Running"}}, {"_has_key": "type"}, {"_is_null": True}):
        if column in ("tenant_id", "heartbeat") and "_is_null" not in comparison:
            continue
        compiled = compile_root(Selection(table, {"state": Column(column)}, {column: comparison}), sample.dialect)
        found = sample_rows.answer(sample, compiled)
        if column == "serialized_state":
            running = [row for row in sample_rows.rows()["task_run"] if row["state"] == "Running"]
            assert len(found) == (0 if "_is_null" in comparison else len(running) if "_contains" in comparison else 30)


@pytest.mark.parametrize(
    ("comparison", "message"),
    [
        ({"_contains": float("inf")}, r"where\.labels\._contains: inf is no number of JSON"),
        ({"_contains": {"a": [float("nan")]}}, "nan is no number of JSON"),
        ({"_contains": 10**20}, "whole numbers have 64 bits"),
        ({"_contains": [-(2**63) - 1]}, "whole numbers have 64 bits"),
        ({"_contains": {"a": 10**5000}}, "whole numbers have 64 bits"),
        ({"_contains": "a\0"}, "holds a NUL character"),
        ({"_contains": {"a\0": 1}}, "holds a NUL character"),
        ({"_contains": ["\ud800"]}, "half of a surrogate pair"),
        ({"_contains": {"\udfff": 1}}, "half of a surrogate pair"),
        ({"_contains": list(range(200))}, "at most 200 values"),
        ({"_has_key": "a\0"}, r"where\.labels\._has_key: the text holds a NUL"),
        ({"_has_key": "\ud800"}, "half of a surrogate pair"),
        ({"_has_key": 5}, "a text is expected, got int"),
        ({"_has_keys_any": ["a", None]}, "a text is expected, got NoneType"),
        ({"_has_keys_all": "a"}, "a list of texts is expected"),
        ({"_has_keys_any": ["a"] * 101}, "at most 100 keys"),
    ],
)
def test_says_what_cannot_be_compared(comparison: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        compile_root(Selection("flow_group", {"id": Column("id")}, {"labels": comparison}))


def test_a_deep_document_has_too_many_values() -> None:
    deep: Any = None
    for _ in range(500):
        deep = [deep]
    with pytest.raises(BadRequest, match="at most 200 values"):
        documents.asked(deep, "where")


@pytest.mark.asyncio
async def test_every_connection_knows_how_to_compare_documents(database: Database) -> None:
    where = {"settings": {"_contains": {}, "_has_keys_any": ["a"], "_has_keys_all": []}}
    compiled = compile_root(Selection("tenant", {"id": Column("id")}, where), database.dialect)

    async def inside_of_a_transaction(tx: Transaction) -> Any:
        return await tx.fetch(compiled.sql, compiled.parameters)

    for _ in range(3):
        assert [tuple(row) for row in await database.read(compiled.sql, compiled.parameters)] == [("[]",)]
    assert [tuple(row) for row in await database.write(inside_of_a_transaction)] == [("[]",)]
