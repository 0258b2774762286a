"""The query compiler against plain Python, and the exact JSON it makes the database write."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefectlite.clock import from_micros, to_micros
from prefectlite.errors import BadRequest
from prefectlite.repository.picking import DIRECTIONS
from prefectlite.repository.select import compile_query, compile_root
from prefectlite.repository.selection import (
    AGGREGATE,
    Aggregate,
    Column,
    Constant,
    Count,
    Group,
    Nodes,
    Order,
    Related,
    Root,
    Selection,
    TaskRunCounts,
)
from prefectlite.repository.table import Kind
from prefectlite.repository.tables import TABLES
from tests.repository import sample_rows
from tests.repository.sample_rows import Sample

ROWS = sample_rows.rows()
uid = sample_rows.uid


def ask(sample: Sample, root: Root) -> Any:
    return sample_rows.answer(sample, compile_root(root, sample.dialect))


def columns(*names: str) -> dict[str, Any]:
    return {name: Column(name) for name in names}


# -- lists, in order ----------------------------------------------------------------------------------------------------


def reached(table: str, row: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    if len(path) == 1:
        return row[path[0]]
    relation = TABLES[table].relations[path[0].removesuffix(AGGREGATE)]
    others = [other for other in ROWS[relation.table] if other[relation.remote] == row[relation.local]]
    if relation.many:
        return counted(others, path[1:])
    return reached(relation.table, others[0], path[1:]) if others else None


def counted(rows: list[dict[str, Any]], path: tuple[str, ...]) -> Any:
    if path == ("count",):
        return len(rows)
    function, column = path
    values = [row[column] for row in rows if row[column] is not None]
    if function == "avg":
        return Fraction(sum(values), len(values)) if values else None
    return {"min": min, "max": max, "sum": sum}[function](values) if values else None


def sorted_rows(table: str, rows: list[dict[str, Any]], order: list[Order]) -> list[dict[str, Any]]:
    def compare(one: dict[str, Any], other: dict[str, Any]) -> int:
        for term in order:
            a, b = reached(table, one, term.path), reached(table, other, term.path)
            if a == b:
                continue
            first = DIRECTIONS[term.direction].endswith("FIRST")
            if a is None or b is None:
                return -1 if (a is None) == first else 1
            return -1 if (a < b) != term.direction.startswith("desc") else 1
        return 0

    return sorted(rows, key=functools.cmp_to_key(compare))


PATHS = {
    "flow_run": [
        ("state",),
        ("name",),
        ("start_time",),
        ("version",),
        ("flow", "name"),
        ("flow", "project", "name"),
        ("id",),
        ("task_runs_aggregate", "count"),
        ("task_runs_aggregate", "max", "start_time"),
        ("logs_aggregate", "min", "message"),
        ("task_runs_aggregate", "avg", "map_index"),
        ("flow", "flow_runs_aggregate", "sum", "version"),
    ],
    "flow": [
        ("description",),
        ("archived",),
        ("project", "name"),
        ("created",),
        ("flow_runs_aggregate", "count"),
        ("flow_runs_aggregate", "max", "name"),
        ("tasks_aggregate", "max", "retry_delay"),
        ("project", "flows_aggregate", "count"),
    ],
    "log": [("task_run_id",), ("task_run", "version"), ("flow_run", "state"), ("seq",)],
    "task_run": [("state_details",), ("task", "slug"), ("flow_run", "start_time"), ("map_index",)],
}
QUESTIONS = st.sampled_from(sorted(PATHS)).flatmap(
    lambda table: st.tuples(
        st.just(table),
        st.lists(st.tuples(st.sampled_from(PATHS[table]), st.sampled_from(sorted(DIRECTIONS))), max_size=3),
    )
)


@settings(max_examples=200, deadline=None)
@given(QUESTIONS, st.one_of(st.none(), st.integers(0, 40)), st.one_of(st.none(), st.integers(0, 40)))
def test_order_and_page_are_those_of_python(
    sample: Sample, question: tuple[str, list[Any]], limit: int | None, offset: int | None
) -> None:
    table, terms = question
    key = TABLES[table].key
    order = [Order(path, direction) for path, direction in terms]
    last = order[-1].direction.split("_")[0] if order else "asc"
    everything = sorted_rows(table, ROWS[table], [*order, Order((key,), last)])
    expected = [row[key] for row in everything][offset or 0 :][: limit if limit is not None else None]
    answered = ask(sample, Selection(table, columns(key), None, order, limit, offset))
    if order or limit is not None or offset is not None:
        assert [row[key] for row in answered] == expected
    else:
        assert sorted(row[key] for row in answered) == sorted(expected)


def test_an_index_serves_the_order(sample: Sample) -> None:
    order = [Order(("scheduled_start_time",), "desc")]
    compiled = compile_root(Selection("flow_run", columns("id"), None, order, 5), sample.dialect)
    plan = sample.plan(compiled)
    assert any("flow_run_by_scheduled" in line for line in plan)
    assert "USE TEMP B-TREE FOR ORDER BY" not in plan


def test_rows_have_a_most(sample: Sample) -> None:
    compiled = compile_root(Selection("flow_run", columns("id")), sample.dialect, max_rows=5)
    assert len(sample_rows.answer(sample, compiled)) == 5
    with pytest.raises(BadRequest, match="limit: at most 10,000 rows"):
        compile_root(Selection("flow_run", columns("id"), limit=10_001))


# -- values -------------------------------------------------------------------------------------------------------------


def outside(kind: Kind, value: Any) -> Any:
    if kind is Kind.TIME and value is not None:
        return from_micros(value).isoformat(timespec="microseconds")
    return bool(value) if kind is Kind.BOOL and value is not None else value


@pytest.mark.parametrize("table", sorted(ROWS))
def test_every_column_is_written(sample: Sample, table: str) -> None:
    kinds = {name: kind for name, kind in TABLES[table].columns.items() if kind not in (Kind.JSON, Kind.DURATION)}
    order = [Order((TABLES[table].key,), "asc")]
    answered = ask(sample, Selection(table, columns(*kinds), order_by=order))
    assert answered == [{name: outside(kind, row[name]) for name, kind in kinds.items()} for row in ROWS[table]]


def test_json_is_json(sample: Sample) -> None:
    flow = ask(sample, Selection("flow", columns("parameters", "storage"), key=uid(10)))
    assert flow == {"parameters": {"a": [1, None, "ü"]}, "storage": None}


def test_durations(sample: Sample) -> None:
    order = [Order(("max_retries",), "asc")]
    tasks = ask(sample, Selection("task", columns("retry_delay"), order_by=order))
    assert [t["retry_delay"] for t in tasks] == [None, "00:00:05", "25:01:01.500000", "-00:00:01", "100:00:00"]


@settings(max_examples=200, deadline=None)
@given(st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31, 23, 59, 59), timezones=st.just(UTC)))
def test_moments_of_all_years(sample: Sample, moment: datetime) -> None:
    sample.fetch("UPDATE project SET updated = $1 WHERE id = $2", to_micros(moment), uid(2))
    project = ask(sample, Selection("project", columns("updated"), key=uid(2)))
    sample.rollback()  # the other tests ask the same database
    assert datetime.fromisoformat(project["updated"]) == moment
    assert project["updated"] == moment.isoformat(timespec="microseconds")


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_text_comes_back_as_it_was(sample: Sample, text: str) -> None:
    sample.fetch("UPDATE project SET description = $1 WHERE id = $2", text, uid(2))
    project = ask(sample, Selection("project", columns("description"), key=uid(2)))
    sample.rollback()
    assert project["description"] == text


# -- relations and counts -----------------------------------------------------------------------------------------------


def test_relations_nest_with_their_own_questions(sample: Sample) -> None:
    runs = Selection(
        "task_run",
        {"i": Column("map_index"), "of": Related("task", Selection("task", {"s": Column("slug")}))},
        {"state": {"_neq": "Pending"}},
        [Order(("map_index",), "desc"), Order(("id",), "asc")],
        2,
        1,
    )
    root = Selection(
        "flow_run",
        {
            "id": Column("id"),
            "runs": Related("task_runs", runs),
            "all": Related("task_runs", Aggregate(Selection("task_run", {}), {"n": Count(), "__typename": Constant('"x"')})),
            "flow": Related("flow", Selection("flow", {"p": Related("project", Selection("project", columns("name")))})),
        },
        {"version": {"_eq": 1}},
        [Order(("id",), "asc")],
    )
    expected = []
    for run in ROWS["flow_run"]:
        if run["version"] != 1:
            continue
        children = [t for t in ROWS["task_run"] if t["flow_run_id"] == run["id"]]
        kept = [t for t in children if t["state"] != "Pending"]
        kept = sorted_rows("task_run", kept, [Order(("map_index",), "desc"), Order(("id",), "asc")])[1:3]
        project = reached("flow_run", run, ("flow", "project", "name"))
        expected.append(
            {
                "id": run["id"],
                "runs": [{"i": t["map_index"], "of": {"s": reached("task_run", t, ("task", "slug"))}} for t in kept],
                "all": {"n": len(children), "__typename": "x"},
                "flow": {"p": project and {"name": project}},
            }
        )
    assert ask(sample, root) == expected


def test_the_same_relation_twice_under_two_names(sample: Sample) -> None:
    def flows(where: dict[str, Any]) -> Related:
        return Related(
            "flow_runs", Aggregate(Selection("flow_run", {}, where), {"aggregate": Group({"count": Count(), "n": Count()})})
        )

    root = Selection(
        "flow", {"a": flows({"state": {"_eq": "Running"}}), "b": flows({"state": {"_eq": "Failed"}})}, key=uid(10)
    )
    assert ask(sample, root) == {
        "a": {"aggregate": {"count": 4, "n": 4}},
        "b": {"aggregate": {"count": 0, "n": 0}},
    }


def test_names_without_columns(sample: Sample) -> None:
    only = {"__typename": Constant('"project"')}
    assert ask(sample, Selection("project", only)) == [{"__typename": "project"}] * 2
    assert ask(sample, Selection("project", only, key=uid(999))) is None
    nested = Selection("flow", {"project": Related("project", Selection("project", only))}, key=uid(12))
    assert ask(sample, nested) == {"project": None}


def test_roots_are_answered_together(sample: Sample) -> None:
    compiled = compile_query(
        {
            "n": Aggregate(
                Selection("flow_run", {}, {"state": {"_eq": "Failed"}}), {"aggregate": Group({"count": Count()})}
            ),
            "hello": Constant('"it\'s"'),
            "one": Selection("project", columns("name"), key=uid(1)),
            "none": Selection("flow", columns("id"), limit=0),
        },
        sample.dialect,
    )
    assert sample_rows.answer(sample, compiled) == {
        "n": {"aggregate": {"count": 4}},
        "hello": "it's",
        "one": {"name": "Alpha"},
        "none": [],
    }


def test_aggregates_in_which_nothing_is_counted(sample: Sample) -> None:
    nodes = Aggregate(Selection("project", {}, order_by=[Order(("name",), "desc")]), {"n": Nodes(columns("name"))})
    typed = Group({"__typename": Constant('"x"')})
    assert ask(sample, nodes) == {"n": [{"name": "beta"}, {"name": "Alpha"}]}
    for limit in (None, 0, 1):
        assert ask(sample, Aggregate(Selection("project", {}, limit=limit), {"a": typed})) == {"a": {"__typename": "x"}}
    nothing = Selection("project", {}, {"name": {"_eq": "zz"}})
    assert ask(sample, Aggregate(nothing, {"a": typed, "n": Nodes({})})) == {"a": {"__typename": "x"}, "n": []}
    with pytest.raises(BadRequest, match="limit: -1"):
        ask(sample, Aggregate(Selection("project", {}, limit=-1), {"a": typed}))


def test_counts_by_task_and_state(sample: Sample) -> None:
    fields = {"task": Column("task_id"), "state": Column("state"), "n": Column("count"), "__typename": Constant('"c"')}
    expected: dict[tuple[str, str], int] = {}
    for run in ROWS["task_run"]:
        mapped = any(task["id"] == run["task_id"] and task["mapped"] for task in ROWS["task"])
        if run["flow_run_id"] == uid(202) and (run["map_index"] >= 0 or not mapped):
            place = (run["task_id"], run["state"])
            expected[place] = expected.get(place, 0) + 1
    answered = ask(sample, TaskRunCounts(uid(202), fields))
    assert {(c["task"], c["state"]): c["n"] for c in answered} == expected
    assert not any(run["task"] == uid(102) and run["n"] > 1 for run in answered)


def test_five_hundred_fields_stay_below_the_depth_sqlite_knows(sample: Sample) -> None:
    inner = Related("flow", Selection("flow", {f"f{n}": Column("name") for n in range(500)}))
    root = Selection("flow_run", {f"c{n}": Column("created") for n in range(500)} | {"flow": inner}, limit=1)
    assert len(ask(sample, root)[0]["flow"]) == 500


@pytest.mark.parametrize(
    ("root", "message"),
    [
        (Selection("secret", columns("id")), "no table 'secret'"),
        (Selection("flow", columns("digest")), "flow has no column 'digest'"),
        (Selection("flow", {'a"b': Column("id")}), "cannot be the name of a field"),
        (Selection("flow", {"x": Related("runs", Selection("flow_run", columns("id")))}), "no relation 'runs'"),
        (Selection("flow", {"x": Related("tasks", Selection("edge", columns("id")))}), "no relation 'tasks' to edge"),
        (Selection("flow", columns("id"), order_by=[Order(("tasks", "id"), "asc")]), "cannot be ordered by 'tasks'"),
        (
            Selection("flow", columns("id"), order_by=[Order(("project_aggregate", "count"), "asc")]),
            "by 'project_aggregate'",
        ),
        (Selection("flow", columns("id"), order_by=[Order(("tasks_aggregate",), "asc")]), "no column 'tasks_aggregate'"),
        (Selection("flow", columns("id"), order_by=[Order(("tasks_aggregate", "sum", "name"), "asc")]), "no 'sum.name'"),
        (Selection("flow", columns("id"), order_by=[Order(("tasks_aggregate", "max", "digest"), "asc")]), "no 'max.digest'"),
        (Selection("flow", columns("id"), order_by=[Order(("tasks_aggregate", "drop", "name"), "asc")]), "no 'drop.name'"),
        (Selection("flow", columns("id"), order_by=[Order(("digest",), "asc")]), "no column 'digest'"),
        (Selection("flow", columns("id"), order_by=[Order(("id",), "up")]), "'up' is not one of asc"),
        (Selection("flow", columns("id"), order_by=[Order(("name",), "asc")] * 21), "at most 20 columns"),
        (Selection("flow", columns("id"), limit=-1), "limit: -1 is below 0"),
        (Selection("flow", columns("id"), offset=-1), "offset: -1 is below 0"),
        (Selection("flow", columns("id"), key="x"), "id: Could not parse UUID: x"),
    ],
)
def test_says_what_cannot_be_asked(root: Root, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        compile_root(root)
