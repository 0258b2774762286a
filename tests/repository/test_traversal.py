"""The tasks that are reached along edges, against plain Python."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefectlite.errors import BadRequest
from prefectlite.repository.computed import TENANT_ID
from prefectlite.repository.select import compile_root
from prefectlite.repository.selection import Aggregate, Column, Count, Group, Order, Related, Root, Selection, Summary
from prefectlite.repository.tables import TRAVERSAL
from prefectlite.repository.traversal import DEPTH, MAX_DEPTH, Traversal
from tests.repository import sample_rows
from tests.repository.sample_rows import Sample, uid

TASKS = [row["id"] for row in sample_rows.rows()["task"]]
LAST = len(TASKS) - 1
FLOW = sample_rows.rows()["flow"][0]["id"]
EDGE = "INSERT INTO edge (id, flow_id, upstream_task_id, downstream_task_id, key, mapped) VALUES ($1, $2, $3, $4, $5, 0)"
Edges = list[tuple[int, int]]


def ask(sample: Sample, root: Root, edges: Edges) -> Any:
    """The answer where these are all the edges, given as places in TASKS."""
    rows = [(uid(7_000 + n), FLOW, TASKS[one], TASKS[other], f"k{n}") for n, (one, other) in enumerate(edges)]
    try:
        sample.execute_all([("DELETE FROM edge", ()), *((EDGE, row) for row in rows)])
        return sample_rows.answer(sample, compile_root(root, sample.dialect))
    finally:
        sample.rollback()


def depths(edges: Edges, starts: list[int], limit: int, *, downstream: bool) -> dict[str, int]:
    """The longest way to each task."""
    found, level, depth = {}, set(starts), 0
    while level and depth <= limit:
        found.update(dict.fromkeys((TASKS[one] for one in level), depth))
        steps = edges if downstream else [(other, one) for one, other in edges]
        level, depth = {there for here, there in steps if here in level}, depth + 1
    return found


def traversed(traversal: Traversal, **more: Any) -> Selection:
    return Selection(TRAVERSAL.name, {"task_id": Column("task_id"), "depth": Column("depth")}, source=traversal, **more)


_PLACES = st.integers(0, LAST)
_EDGES = st.lists(st.tuples(_PLACES, _PLACES).filter(lambda edge: edge[0] < edge[1]), max_size=20)


@settings(max_examples=60, deadline=None)
@given(edges=_EDGES, starts=st.lists(_PLACES, max_size=3), limit=st.one_of(st.none(), st.integers(0, 4)), downstream=...)
def test_all_tasks_are_found_by_the_longest_way(
    sample: Sample, edges: Edges, starts: list[int], limit: int | None, downstream: bool
) -> None:
    traversal = Traversal([TASKS[one] for one in starts], limit, downstream)
    rows = ask(sample, traversed(traversal), edges)
    expected = depths(edges, starts, DEPTH if limit is None else limit, downstream=downstream)
    assert {row["task_id"]: row["depth"] for row in rows} == expected
    assert len(rows) == len(expected)


CHAIN = [(n, n + 1) for n in range(LAST)]


def test_rows_are_picked_ordered_and_counted_like_those_of_tables(sample: Sample) -> None:
    source = Traversal([TASKS[0]])
    order = [Order(("depth",), "desc")]
    where = {"task": {"id": {"_in": TASKS[1:LAST]}}, "depth": {"_gt": 1}}
    rows = ask(sample, traversed(source, where=where, order_by=order, limit=2), CHAIN)
    assert [row["depth"] for row in rows] == [LAST - 1, LAST - 2]
    both = [(0, 1), (0, 2), (1, 3), (2, 4)]
    distinct = ask(sample, traversed(source, distinct_on=["depth"], order_by=[Order(("depth",), "asc")]), both)
    assert [row["depth"] for row in distinct] == [0, 1, 2]
    fields = {"a": Group({"n": Count(), "last": Summary("max", "depth")})}
    assert ask(sample, Aggregate(traversed(source), fields), CHAIN) == {"a": {"n": LAST + 1, "last": LAST}}
    some = Aggregate(traversed(source, offset=3), fields)
    assert ask(sample, some, CHAIN) == {"a": {"n": LAST - 2, "last": LAST}}


def test_tasks_are_a_relation(sample: Sample) -> None:
    task = Related("task", Selection("task", {"id": Column("id")}))
    root = Selection(
        TRAVERSAL.name,
        {"t": Column("tenant_id"), "task": task},
        source=Traversal([TASKS[LAST].upper()], 1, is_downstream=False),
    )
    found = ask(sample, root, CHAIN)
    assert {row["task"]["id"] for row in found} == {TASKS[LAST - 1], TASKS[LAST]}
    assert {row["t"] for row in found} == {TENANT_ID}


@pytest.mark.parametrize("ids", [None, [], [uid(9_999)]])
def test_from_nowhere_nothing_is_reached(sample: Sample, ids: list[str] | None) -> None:
    assert ask(sample, traversed(Traversal(ids)), CHAIN) == []


@pytest.mark.parametrize(
    ("traversal", "message"),
    [
        (Traversal([], -1), "depth_limit: -1 is not between 0 and 1,000"),
        (Traversal([], MAX_DEPTH + 1), "depth_limit: 1001"),
        (Traversal(["x"]), r"start_task_ids\[0\]: Could not parse UUID: x"),
        (Traversal([uid(1)] * 10_001), "at most 10,000 values"),
    ],
)
def test_says_what_cannot_be_asked(traversal: Traversal, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        compile_root(traversed(traversal))


def test_the_way_goes_along_an_index(sample: Sample) -> None:
    for downstream, index in ((True, "edge_by_upstream"), (False, "edge_by_downstream")):
        compiled = compile_root(traversed(Traversal(TASKS[:1], None, downstream)), sample.dialect)
        try:
            assert any(index in line for line in sample.plan(compiled))
        finally:
            sample.rollback()
