"""distinct_on and aggregates against plain Python, for whole tables and inside of relations."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefectlite.errors import BadRequest
from prefectlite.repository.picking import DIRECTIONS
from prefectlite.repository.select import compile_root
from prefectlite.repository.selection import Aggregate, Column, Count, Group, Nodes, Order, Related, Root, Selection, Summary
from prefectlite.repository.table import Kind
from prefectlite.repository.tables import TABLES
from tests.repository import sample_rows
from tests.repository.sample_rows import Sample, uid
from tests.repository.test_select import PATHS, outside, sorted_rows
from tests.repository.test_where import expressions, true_of

ROWS = sample_rows.rows()
#: Columns with many equal values and with nulls among them.
EQUALS = {
    "flow_run": ["state", "flow_id", "start_time", "agent_id", "version", "name", "id"],
    "flow": ["project_id", "archived", "runtime", "name", "run_config"],
    "log": ["task_run_id", "flow_run_id", "level", "seq"],
    "task_run": ["state", "task_id", "map_index", "state_details", "name"],
}
NUMBERS = {
    "flow_run": ["times_resurrected", "version"],
    "flow": ["version"],
    "log": ["seq"],
    "task_run": ["map_index", "version"],
}
COMPARED = {
    "flow_run": ["start_time", "state", "name", "state_message"],
    "flow": ["description", "created"],
    "log": ["level"],
}
COMPARED["task_run"] = ["name", "state", "created", "start_time"]
RELATIONS = [
    ("flow", "flow_runs"),
    ("flow_run", "task_runs"),
    ("flow_run", "logs"),
    ("task", "task_runs"),
    ("project", "flows"),
    ("agent", "flow_runs"),
]


def ask(sample: Sample, root: Root) -> Any:
    return sample_rows.answer(sample, compile_root(root, sample.dialect))


@st.composite
def selections(draw: Any, table: str) -> Selection:
    """Rows of the table, picked in every way there is, with their keys to be shown."""
    key = TABLES[table].key
    terms = draw(st.lists(st.tuples(st.sampled_from(PATHS[table]), st.sampled_from(sorted(DIRECTIONS))), max_size=2))
    return Selection(
        table,
        {"key": Column(key)},
        draw(st.just({}) | expressions(table, 2)),
        [*(Order(path, direction) for path, direction in terms), Order((key,), draw(st.sampled_from(["asc", "desc"])))],
        draw(st.none() | st.integers(0, 12)),
        draw(st.none() | st.integers(0, 5)),
        distinct_on=draw(st.lists(st.sampled_from(EQUALS[table]), max_size=3)),
    )


def picked(rows: list[dict[str, Any]], selection: Selection) -> list[dict[str, Any]]:
    """The rows that a selection picks, in Python: conditions, order, the first among equals, page."""
    table = selection.table
    kept = sorted_rows(
        table, [row for row in rows if true_of(table, row, dict(selection.where or {})) is True], list(selection.order_by)
    )
    if selection.distinct_on:
        firsts: dict[Any, dict[str, Any]] = {}
        for row in kept:
            firsts.setdefault(tuple(row[name] for name in selection.distinct_on), row)
        kept = list(firsts.values())
    start = selection.offset or 0
    return kept[start:] if selection.limit is None else kept[start : start + selection.limit]


def children(table: str, relation_name: str, row: dict[str, Any]) -> list[dict[str, Any]]:
    relation = TABLES[table].relations[relation_name]
    return [other for other in ROWS[relation.table] if other[relation.remote] == row[relation.local]]


WHOLE = st.sampled_from(sorted(EQUALS)).flatmap(selections)
INSIDE = st.sampled_from(RELATIONS).flatmap(
    lambda pair: st.tuples(st.just(pair), selections(TABLES[pair[0]].relations[pair[1]].table))
)


# -- distinct_on --------------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(WHOLE)
def test_picks_what_python_picks(sample: Sample, selection: Selection) -> None:
    key = TABLES[selection.table].key
    expected = [row[key] for row in picked(ROWS[selection.table], selection)]
    assert [row["key"] for row in ask(sample, selection)] == expected


@settings(max_examples=200, deadline=None)
@given(INSIDE)
def test_picks_the_same_inside_of_a_relation(sample: Sample, case: tuple[tuple[str, str], Selection]) -> None:
    (table, relation), selection = case
    fields = {"id": Column("id"), "rows": Related(relation, selection)}
    answered = ask(sample, Selection(table, fields, order_by=[Order(("id",), "asc")]))
    key = TABLES[selection.table].key
    for row, shown in zip(ROWS[table], answered, strict=True):
        assert [child["key"] for child in shown["rows"]] == [
            child[key] for child in picked(children(table, relation, row), selection)
        ]


def test_distinct_rows_of_what_a_row_points_to(sample: Sample) -> None:
    runs = Selection(
        "flow_run", {"id": Column("id")}, order_by=[Order(("id",), "desc")], distinct_on=["state"], limit=2, offset=1
    )
    flow = Related("flow", Selection("flow", {"runs": Related("flow_runs", runs)}))
    answered = ask(sample, Selection("flow_run", {"flow": flow}, key=uid(205)))
    of_flow = [row for row in ROWS["flow_run"] if row["flow_id"] == ROWS["flow_run"][5]["flow_id"]]
    assert [run["id"] for run in answered["flow"]["runs"]] == [row["id"] for row in picked(of_flow, runs)]


def test_without_an_order_each_group_has_one_row(sample: Sample) -> None:
    rows = ask(sample, Selection("flow_run", {"state": Column("state"), "n": Column("version")}, distinct_on=["state"]))
    assert sorted(row["state"] for row in rows) == ["Failed", "Running", "Success"]


def test_distinct_by_what_is_computed(sample: Sample) -> None:
    order = [Order(("id",), "desc")]
    rows = ask(sample, Selection("task", {"id": Column("id")}, order_by=order, distinct_on=["trigger", "tenant_id"]))
    assert rows == [{"id": uid(104)}]


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Selection("flow", {}, distinct_on=["digest"]), "flow has no column 'digest'"),
        (Selection("flow", {}, distinct_on=["name"] * 11), "distinct_on: at most 10 columns"),
        (Selection("flow", {}, limit=2**63), "limit: 9223372036854775808 is out of range"),
        (Selection("flow", {}, offset=2**63), "offset: 9223372036854775808 is out of range"),
        (Selection("flow", {}, limit=10_001), "limit: at most 10,000 rows"),
    ],
)
def test_says_what_cannot_be_picked(selection: Selection, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        compile_root(selection)


# -- aggregates ---------------------------------------------------------------------------------------------------------


def questions(selection: Selection) -> Aggregate:
    """Everything that can be counted over the rows of a selection."""
    table = selection.table
    numbers, compared, equals = NUMBERS[table], COMPARED[table], EQUALS[table]
    counts: dict[str, Any] = {"all": Count(), "all_distinct": Count((), distinct=True)}
    for name in equals:
        counts |= {f"n_{name}": Count((name,)), f"d_{name}": Count((name,), distinct=True)}
    counts |= {"n_two": Count(equals[:2]), "d_two": Count(equals[:2], distinct=True)}
    for function in ("min", "max"):
        counts[function] = Group({name: Summary(function, name) for name in [*numbers, *compared]})
    for function in ("sum", "avg"):
        counts[function] = Group({name: Summary(function, name) for name in numbers})
    return Aggregate(selection, {"aggregate": Group(counts), "nodes": Nodes(selection.fields)})


def counted(rows: list[dict[str, Any]], selection: Selection) -> dict[str, Any]:
    """The same in Python."""
    table = selection.table
    key, equals = TABLES[table].key, EQUALS[table]
    there = {name: [row[name] for row in rows if row[name] is not None] for name in rows[0]} if rows else {}
    counts: dict[str, Any] = {"all": len(rows), "all_distinct": len(rows)}
    for name in equals:
        values = there.get(name, [])
        counts |= {f"n_{name}": len(values), f"d_{name}": len(set(values))}
    counts |= {"n_two": len(rows), "d_two": len({tuple(row[name] for name in equals[:2]) for row in rows})}

    def summary(function: Any, names: list[str]) -> dict[str, Any]:
        kinds = TABLES[table].columns
        return {name: outside(kinds[name], function(v)) if (v := there.get(name)) else None for name in names}

    names = [*NUMBERS[table], *COMPARED[table]]
    counts |= {"min": summary(min, names), "max": summary(max, names)}
    counts |= {"sum": summary(sum, NUMBERS[table]), "avg": summary(lambda v: sum(v) / len(v), NUMBERS[table])}
    return {"aggregate": counts, "nodes": [{"key": row[key]} for row in rows]}


def agree(answered: dict[str, Any], expected: dict[str, Any]) -> None:
    averages, wanted = answered["aggregate"].pop("avg"), expected["aggregate"].pop("avg")
    for name, average in wanted.items():
        assert averages.pop(name) == (None if average is None else pytest.approx(average, rel=1e-12))
    assert averages == {}
    assert answered == expected


@settings(max_examples=200, deadline=None)
@given(WHOLE)
def test_counts_what_python_counts(sample: Sample, selection: Selection) -> None:
    rows = picked(ROWS[selection.table], selection)
    agree(ask(sample, questions(selection)), counted(rows, selection))


@settings(max_examples=150, deadline=None)
@given(INSIDE)
def test_counts_the_same_inside_of_a_relation(sample: Sample, case: tuple[tuple[str, str], Selection]) -> None:
    (table, relation), selection = case
    fields = {"counts": Related(relation, questions(selection))}
    answered = ask(sample, Selection(table, fields, order_by=[Order(("id",), "asc")]))
    for row, shown in zip(ROWS[table], answered, strict=True):
        agree(shown["counts"], counted(picked(children(table, relation, row), selection), selection))


def test_of_no_rows_counts_are_zero_and_the_rest_null(sample: Sample) -> None:
    fields = {"n": Count(), "c": Count(("name",)), "d": Count(("name", "id"), distinct=True)}
    summaries = {function: Summary(function, "version") for function in ("min", "max", "sum", "avg")}
    nothing = Selection("flow_run", {}, {"state": {"_in": []}})
    answered = ask(sample, Aggregate(nothing, {"g": Group({**fields, **summaries}), "nodes": Nodes({"id": Column("id")})}))
    assert answered == {"g": {"n": 0, "c": 0, "d": 0, **dict.fromkeys(summaries)}, "nodes": []}


def test_every_summary_that_can_be_asked_for_is_answered(sample: Sample) -> None:
    for name, table in TABLES.items():
        kinds = {"min": (Kind.INT, Kind.TEXT, Kind.TIME, Kind.DURATION), "sum": (Kind.INT,), "avg": (Kind.INT,)}
        kinds["max"] = kinds["min"]
        fields = {
            f"{function}_{column}": Summary(function, column)
            for function, fitting in kinds.items()
            for column, kind in table.columns.items()
            if kind in fitting
        }
        assert ask(sample, Aggregate(Selection(name, {}), fields)).keys() == fields.keys()


def test_sums_may_be_larger_than_what_is_summed(sample: Sample) -> None:
    sample.fetch("UPDATE flow_run SET version = $1", 2**31 - 1)
    answered = ask(sample, Aggregate(Selection("flow_run", {}), {"sum": Summary("sum", "version")}))
    sample.rollback()
    assert answered == {"sum": 12 * (2**31 - 1)}


def test_durations_are_summarized_as_durations(sample: Sample) -> None:
    fields = {"min": Summary("min", "retry_delay"), "max": Summary("max", "retry_delay")}
    assert ask(sample, Aggregate(Selection("task", {}), fields)) == {"min": "-00:00:01", "max": "100:00:00"}


@pytest.mark.parametrize("more", [{}, {"distinct_on": ["id"]}, {"offset": 1}, {"limit": 20_000}])
def test_counts_have_no_most(sample: Sample, more: dict[str, Any]) -> None:
    compiled = compile_root(Aggregate(Selection("flow_run", {}, **more), {"n": Count()}), sample.dialect, max_rows=5)
    assert sample_rows.answer(sample, compiled) == {"n": 11 if "offset" in more else 12}


def test_the_nodes_have_a_most(sample: Sample) -> None:
    root = Aggregate(Selection("flow_run", {}), {"n": Count(), "nodes": Nodes({"id": Column("id")})})
    answered = sample_rows.answer(sample, compile_root(root, sample.dialect, max_rows=5))
    assert (answered["n"], len(answered["nodes"])) == (12, 5)


def test_says_what_cannot_be_counted() -> None:
    for field in (Count(("digest",)), Summary("max", "digest")):
        with pytest.raises(BadRequest, match="flow has no column 'digest'"):
            compile_root(Aggregate(Selection("flow", {}), {"n": field}))
