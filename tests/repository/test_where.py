"""The where-compiler against plain Python: same rows, whatever the expression."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefectlite.clock import from_micros
from prefectlite.errors import BadRequest
from prefectlite.repository.select import compile_root
from prefectlite.repository.selection import Column, Selection
from prefectlite.repository.table import Kind
from prefectlite.repository.tables import TABLES
from prefectlite.repository.words import words
from tests.repository import sample_rows
from tests.repository.sample_rows import Sample
from tests.repository.test_documents import inside

ROWS = sample_rows.rows()


def found(sample: Sample, table: str, where: Any) -> list[Any]:
    key = TABLES[table].key
    compiled = compile_root(Selection(table, {"key": Column(key)}, where), sample.dialect)
    return sorted(row["key"] for row in sample_rows.answer(sample, compiled))


# -- the same in Python, with SQL's three values ------------------------------------------------------------------------


def both(values: Iterator[bool | None]) -> bool | None:
    known = list(values)
    return False if False in known else None if None in known else True


def either(values: Iterator[bool | None]) -> bool | None:
    known = list(values)
    return True if True in known else None if None in known else False


def negated(value: bool | None) -> bool | None:
    return None if value is None else not value


def like(text: str, pattern: str, any_case: bool) -> bool:
    parts = re.findall(r"\\.|\\$|.", pattern, re.DOTALL)
    regex = "".join({"%": ".*", "_": "."}.get(p) or re.escape(p[-1] if len(p) == 2 else p) for p in parts)
    return re.fullmatch(regex, text, re.DOTALL | (re.IGNORECASE | re.ASCII if any_case else 0)) is not None


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "_eq": lambda a, b: a == b,
    "_neq": lambda a, b: a != b,
    "_gt": lambda a, b: a > b,
    "_gte": lambda a, b: a >= b,
    "_lt": lambda a, b: a < b,
    "_lte": lambda a, b: a <= b,
    "_in": lambda a, b: a in b,
    "_nin": lambda a, b: a not in b,
    "_like": lambda a, b: like(a, b, False),
    "_ilike": lambda a, b: like(a, b, True),
    "_nlike": lambda a, b: not like(a, b, False),
    "_nilike": lambda a, b: not like(a, b, True),
    "_contains": lambda a, b: inside(b, a),
    "_has_key": lambda a, b: b in a,
    "_has_keys_any": lambda a, b: any(key in a for key in b),
    "_has_keys_all": lambda a, b: all(key in a for key in b),
    "_search": lambda a, b: bool(words(b)) and set(words(b)) <= set(words(a)),  # what phrases are: test_search.py
}


def compared(kind: Kind, value: Any, operator: str, operand: Any) -> bool | None:
    if operand is None:
        return True
    if operator == "_is_null":
        return (value is None) == operand
    if operator in ("_in", "_nin") and not operand:
        return operator == "_nin"
    if value is None:
        return None
    if kind is Kind.TIME:
        value = from_micros(value)
    elif kind is Kind.DURATION:
        value = timedelta(microseconds=value)
    elif kind is Kind.BOOL:
        value = bool(value)
    elif kind is Kind.JSON:
        value = msgspec.json.decode(value)
    return COMPARE[operator](value, operand)


def true_of(table: str, row: dict[str, Any], where: dict[str, Any]) -> bool | None:
    def parts() -> Iterator[bool | None]:
        for name, value in where.items():
            if value is None:
                yield True
            elif name in ("_and", "_or"):
                items = value if isinstance(value, list) else [value]
                yield (both if name == "_and" else either)(true_of(table, row, item) for item in items)
            elif name == "_not":
                yield negated(true_of(table, row, value))
            elif name in TABLES[table].columns:
                kind = TABLES[table].columns[name]
                yield both(compared(kind, row[name], operator, operand) for operator, operand in value.items())
            else:
                relation = TABLES[table].relations[name]
                others = [r for r in ROWS.get(relation.table, []) if r[relation.remote] == row[relation.local]]
                yield any(true_of(relation.table, other, value) is True for other in others)

    return both(parts())


# -- expressions --------------------------------------------------------------------------------------------------------

TEXTS = ["etl", "ETL_nightly", "100%", "a*b?[c]", "run-1", "Running", "Success", "Message 1", "t1", "line 3", "", "ü"]
SEARCHES = ["line", "LINE 3", "3 line 3", "7", "", "nothing", "%"]
PATTERNS = [*TEXTS, "%", "etl%", "ETL\\_%", "100\\%", "r_n-%", "a*b?[_]", "MESSAGE%", "%\\", "\\", "%n%", "[e]tl"]
VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.ID: st.sampled_from([sample_rows.uid(n) for n in (1, 2, 10, 11, 12, 100, 101, 200, 203, 300, 311, 999)]),
    Kind.TEXT: st.sampled_from(TEXTS),
    Kind.PROSE: st.sampled_from(TEXTS),
    Kind.INT: st.integers(-1, 6),
    Kind.BOOL: st.booleans(),
    Kind.TIME: st.sampled_from([from_micros(sample_rows.DAY + n) for n in (-1, 0, 1, 500_001, 1_000_002, 3_000_000)]),
    Kind.DURATION: st.sampled_from([timedelta(seconds=n) for n in (-1, 0, 5, 90061)]),
}
LIKE = ("_like", "_nlike", "_ilike", "_nilike")
#: What the sample's documents hold: lists of labels, objects, null.
DOCUMENTS: dict[str, list[Any]] = {
    "_is_null": [True, False],
    "_contains": [
        {},
        [],
        ["x"],
        ["y", "x", "x"],
        "x",
        {"a": ["ü"]},
        {"a": [1.0, None]},
        {"x": True},
        {"type": "UniversalRun"},
    ],
    "_has_key": ["x", "a", "", "type"],
    "_has_keys_any": [[], ["x", "a"], ["type"], ["nothing"]],
    "_has_keys_all": [[], ["x", "y"], ["type"], ["a", "nothing"]],
}


@st.composite
def comparisons(draw: Any, kind: Kind) -> dict[str, Any]:
    if kind is Kind.JSON:
        operator = draw(st.sampled_from(sorted(DOCUMENTS)))
        return {operator: draw(st.none() | st.sampled_from(DOCUMENTS[operator]))}
    operators = ["_eq", "_neq", "_gt", "_gte", "_lt", "_lte", "_in", "_nin", "_is_null"]
    if kind in (Kind.TEXT, Kind.PROSE):
        operators += list(LIKE)
    if kind is Kind.PROSE:
        operators += ["_search"]
    chosen = draw(st.lists(st.sampled_from(operators), max_size=2, unique=True))
    out: dict[str, Any] = {}
    for operator in chosen:
        if draw(st.integers(0, 9)) == 0:
            out[operator] = None
        elif operator == "_is_null":
            out[operator] = draw(st.booleans())
        elif operator in ("_in", "_nin"):
            out[operator] = draw(st.lists(VALUES[kind], max_size=3))
        elif operator in LIKE:
            out[operator] = draw(st.sampled_from(PATTERNS))
        elif operator == "_search":
            out[operator] = draw(st.sampled_from(SEARCHES))
        else:
            out[operator] = draw(VALUES[kind])
    return out


@st.composite
def expressions(draw: Any, table: str, depth: int = 0) -> dict[str, Any]:
    description = TABLES[table]
    names = list(description.columns)
    if depth < 3:
        names += ["_and", "_or", "_not", *(n for n, r in description.relations.items() if r.table in ROWS)] * 3
    out: dict[str, Any] = {}
    # Not "at least one" everywhere: an expression that says nothing is a case of its own.
    for name in draw(st.lists(st.sampled_from(names), min_size=int(depth < 2), max_size=2, unique=True)):
        if name in ("_and", "_or"):
            out[name] = draw(st.lists(expressions(table, depth + 1), max_size=3))
        elif name == "_not":
            out[name] = draw(expressions(table, depth + 1))
        elif name in description.columns:
            out[name] = draw(comparisons(description.columns[name]))
        else:
            out[name] = draw(expressions(description.relations[name].table, depth + 1))
    return out


CASES = st.sampled_from(sorted(ROWS)).flatmap(lambda table: st.tuples(st.just(table), expressions(table)))


@settings(max_examples=400, deadline=None)
@given(CASES)
def test_finds_what_python_finds(sample: Sample, case: tuple[str, dict[str, Any]]) -> None:
    table, where = case
    key = TABLES[table].key
    expected = sorted(row[key] for row in ROWS[table] if true_of(table, row, where) is True)
    assert found(sample, table, where) == expected


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=8), st.text(alphabet="%_\\*?[]aA", max_size=6))
def test_like_is_exact_about_letters(sample: Sample, text: str, pattern: str) -> None:
    letters = pattern.replace("\\", "").replace("%", "A").replace("_", "*")
    candidates = sorted({text.replace("\0", ""), letters, letters.lower(), pattern})
    sample.fetch("UPDATE project SET name = id")
    made = "INSERT INTO project (id, name, created, updated) VALUES ($1, $2, 0, 0)"
    sample.execute_all([(made, (f"candidate {n}", name)) for n, name in enumerate(candidates)])
    for operator in LIKE:
        where = {"name": {operator: pattern}, "created": {"_eq": from_micros(0)}}
        compiled = compile_root(Selection("project", {"name": Column("name")}, where), sample.dialect)
        names = sorted(row["name"] for row in sample_rows.answer(sample, compiled))
        assert names == [name for name in candidates if COMPARE[operator](name, pattern)]
    sample.rollback()


@pytest.mark.parametrize(
    ("table", "relation", "inner"),
    [("flow", "project", {"name": {"_eq": "Alpha"}}), ("log", "task_run", {"version": {"_gt": 1}})],
)
def test_not_of_a_relation_holds_where_nothing_is_related(
    sample: Sample, table: str, relation: str, inner: dict[str, Any]
) -> None:
    key = TABLES[table].key
    where = {"_not": {relation: inner}}
    expected = [row[key] for row in ROWS[table] if true_of(table, row, where) is True]
    assert any(row[TABLES[table].relations[relation].local] is None for row in ROWS[table] if row[key] in expected)
    assert found(sample, table, where) == expected


# -- edges --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "where", [None, {}, {"_and": [{}]}, {"_and": []}, {"_or": None}, {"name": {"_eq": None}}, {"flow": None}, {"name": {}}]
)
def test_an_expression_that_says_nothing_is_true(sample: Sample, where: Any) -> None:
    assert len(found(sample, "flow_run", where)) == len(ROWS["flow_run"])


@pytest.mark.parametrize("where", [{"_or": []}, {"_not": {}}, {"state": {"_in": []}}, {"_not": {"_and": [{}]}}])
def test_the_empty_choice_is_false(sample: Sample, where: Any) -> None:
    assert found(sample, "flow_run", where) == []


def test_and_may_be_one_object(sample: Sample) -> None:
    assert found(sample, "flow", {"_and": {"name": {"_eq": "etl"}}}) == [sample_rows.uid(10)]


def test_ids_are_found_in_upper_case(sample: Sample) -> None:
    assert found(sample, "flow", {"id": {"_eq": sample_rows.uid(10).upper()}}) == [sample_rows.uid(10)]


def test_many_conditions_stay_below_the_depth_sqlite_knows(sample: Sample) -> None:
    wide = {"_or": [{"_and": [{"name": {"_neq": f"{n}"}}, {"version": {"_gte": n}}]} for n in range(3_000)]}
    assert len(found(sample, "flow_run", wide)) == len(ROWS["flow_run"])


def test_patterns_of_the_test_agree_with_the_standard_library() -> None:
    assert like("abc", "a%", False) is fnmatch.fnmatchcase("abc", "a*")


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"nam": {"_eq": "x"}}, r"where\.nam: flow_run has no column or relation"),
        ({"id": {"_eq": "x"}}, r"where\.id\._eq: Could not parse UUID: x"),
        ({"flow": {"version": {"_in": [1, "2"]}}}, r"where\.flow\.version\._in\[1\]: a whole number"),
        ({"version": {"_eq": 2**63}}, "out of range"),
        ({"version": {"_eq": True}}, "a whole number"),
        ({"start_time": {"_gt": "yesterday"}}, r"where\.start_time\._gt: a moment like"),
        ({"name": {"_regex": "x"}}, r"where\.name\._regex: known here are _eq"),
        ({"name": {"_like": "%" * 1_001}}, "at most 1,000 characters"),
        ({"name": {"_eq": "\ud800"}}, "surrogate"),
        ({"name": {"_in": ["a", "\0"]}}, r"where\.name\._in\[1\]: the text holds a NUL"),
        ({"name": {"_nlike": "\0"}}, "the text holds a NUL"),
        ({"name": "x"}, "an object is expected, got str"),
        ({"_or": "x"}, "a list of conditions is expected"),
        ({"state": {"_in": "Running"}}, "a list is expected"),
        ({"state": {"_in": [None]}}, r"_in\[0\]: a text is expected, got NoneType"),
        ({"state": {"_in": ["x"] * 10_001}}, "at most 10,000 values"),
        ({"_or": [{"state": {"_in": ["x"] * 10_000}}] * 3}, "at most 20,000 values"),
        ({"labels": {"_eq": []}}, "known here are _contains"),
    ],
)
def test_says_which_field_is_wrong(where: Any, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        compile_root(Selection("flow_run", {"id": Column("id")}, where))


def test_nesting_has_an_end() -> None:
    where: dict[str, Any] = {}
    for _ in range(20):
        where = {"_not": where}
    with pytest.raises(BadRequest, match="16 deep"):
        compile_root(Selection("flow_run", {"id": Column("id")}, where))


@pytest.mark.parametrize("text", ["'; DROP TABLE flow; --", "$1", "?1", "a' OR '1'='1", "\\", "%_", "👋"])
def test_text_is_only_ever_a_value(sample: Sample, text: str) -> None:
    compiled = compile_root(Selection("flow", {"id": Column("id")}, {"name": {"_eq": text}}), sample.dialect)
    assert text in compiled.parameters
    assert sample_rows.answer(sample, compiled) == []
