"""Columns that are not stored: the states' documents can be read by whoever reads Prefect's, whatever the state."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings

from prefectlite import records, states
from prefectlite.records import StateRecord
from prefectlite.repository.computed import TENANT_ID
from prefectlite.repository.select import compile_root
from prefectlite.repository.selection import Aggregate, Column, Count, Group, Order, Related, Selection, Summary
from prefectlite.repository.table import SUMMARIES
from prefectlite.repository.tables import TABLES
from prefectlite.states import State
from prefectlite.version import __version__
from tests.repository import sample_rows
from tests.repository.sample_rows import DAY, Sample, uid
from tests.test_records import recordable

START = dt.datetime(2030, 1, 31, 12, 30, 0, 1, dt.UTC)
RUN = uid(200)


def ask(sample: Sample, root: Any) -> Any:
    return sample_rows.answer(sample, compile_root(root, sample.dialect))


def documents_of(sample: Sample, record: StateRecord) -> list[dict[str, Any]]:
    """What a run and its history show of a state."""
    values = (record.name, record.message, record.start_time, record.details)
    change = "state = $1, state_message = $2, state_start_time = $3, state_details = $4"
    sample.fetch(f"UPDATE flow_run SET {change} WHERE id = $5", *values, RUN)
    history = "seq, id, version, timestamp, flow_run_id, state, message, start_time, details"
    sample.fetch(
        f"INSERT INTO flow_run_state ({history}) VALUES (1, $1, 1, 0, $2, $3, $4, $5, $6)", uid(7_000), RUN, *values
    )
    try:
        row = Selection("flow_run_state", {"s": Column("serialized_state")})
        run = ask(sample, Selection("flow_run", {"s": Column("serialized_state"), "all": Related("states", row)}, key=RUN))
    finally:
        sample.rollback()
    return [run["s"], *(one["s"] for one in run["all"])]


@settings(max_examples=200, deadline=None)
@given(recordable())
@example(states.Success('quo"te\\ \n\t\x00 ü \U0001f44b \u2028'))
@example(states.Submitted(state=states.Retrying("again", start_time=START, run_count=3)))
def test_every_state_can_be_read_back(sample: Sample, state: State) -> None:
    record = records.record_state(state, "id", DAY)
    if record.message and "\0" in record.message:  # PostgreSQL has no such text; the recorder sees to that
        record = msgspec.structs.replace(record, message=record.message.replace("\0", ""))
    shown = documents_of(sample, record)
    assert len(shown) == 2
    for document in shown:
        assert document["type"] == state.name
        assert document["__version__"] == __version__
        read = State.deserialize(document)
        assert records.record_state(read, "id", DAY) == record


def shape(sample: Sample, state: State) -> Any:
    """The document without what all documents have."""
    [document, _] = documents_of(sample, records.record_state(state, "id", DAY))
    assert document.pop("_result") == {"type": "NoResultType", "__version__": __version__}
    assert document.pop("cached_inputs") == {}
    assert document.pop("__version__") == __version__
    return document


WHEN = "2030-01-31T12:30:00.000001+00:00"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (states.Success(), {"type": "Success", "message": None}),
        (states.Scheduled("s", start_time=START), {"type": "Scheduled", "message": "s", "start_time": WHEN}),
        (states.Paused("p"), {"type": "Paused", "message": "p"}),
        (
            states.Retrying(start_time=START, run_count=2),
            {"type": "Retrying", "message": None, "start_time": WHEN, "run_count": 2},
        ),
        (states.Mapped(n_map_states=3), {"type": "Mapped", "message": None, "n_map_states": 3}),
        (states.Looped(loop_count=4), {"type": "Looped", "message": None, "loop_count": 4}),
        (states.Failed("f", context={"tags": ["a"]}), {"type": "Failed", "message": "f", "context": {"tags": ["a"]}}),
        (
            states.Cached(hashed_inputs={"a": "b"}, cached_parameters={"x": 1}, cached_result_expiration=START),
            {
                "type": "Cached",
                "message": None,
                "hashed_inputs": {"a": "b"},
                "cached_parameters": {"x": 1},
                "cached_result_expiration": "2030-01-31T12:30:00.000001Z",
            },
        ),
        (
            states.Queued("q", start_time=START, state=states.Retrying("r", start_time=START, run_count=2)),
            {
                "type": "Queued",
                "message": "q",
                "start_time": WHEN,
                "state": {"type": "Retrying", "message": "r", "start_time": WHEN, "run_count": 2},
            },
        ),
        (
            states.Submitted(state=states.Pending()),
            {"type": "Submitted", "message": None, "state": {"type": "Pending", "message": None}},
        ),
    ],
)
def test_the_documents_are_those_that_prefects_clients_know(sample: Sample, state: State, expected: Any) -> None:
    assert shape(sample, state) == expected


def test_what_a_client_has_sent_is_shown_as_it_was(sample: Sample) -> None:
    sent = {"type": "Scheduled", "start_time": None, "_result": {"type": "X", "a": ["}", "ü", 10**30, 1.5]}, "extra": {}}
    record = records.sent_state(states.Scheduled("other", start_time=START), sent, "id", DAY)
    assert documents_of(sample, record) == [sent, sent]


def test_a_nul_in_what_a_client_has_sent_does_no_harm(sample: Sample) -> None:
    sent = {"type": "Failed", "message": "a\0b\\u0000"}
    record = records.sent_state(states.Failed(), sent, "id", DAY)
    expected = sent if sample.dialect.listed([]) == "[]" else {**sent, "message": "a\ufffdb\\u0000"}
    assert documents_of(sample, record) == [expected, expected]


def test_details_that_say_nothing_are_no_harm(sample: Sample) -> None:
    record = StateRecord("id", "Success", DAY, None, None, "{}")
    assert documents_of(sample, record)[0]["type"] == "Success"


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_computed_column_can_be_read_ordered_by_compared_and_counted(sample: Sample, name: str) -> None:
    table = TABLES[name]
    total = len(sample_rows.rows().get(name, []))
    for column in table.computed:
        order = [Order((column,), "desc")]
        rows = ask(sample, Selection(name, {"v": Column(column)}, {column: {"_is_null": False}}, order, 5))
        assert all(row["v"] is not None for row in rows)
        ask(sample, Selection(name, {"v": Column(column)}, None, order, distinct_on=[column]))
        ask(sample, Selection(name, {"v": Column(column)}, None, distinct_on=[column], limit=2))
        counts = Group({"n": Count((column,)), "d": Count((column,), distinct=True), "two": Count((column, table.key))})
        counted = ask(sample, Aggregate(Selection(name, {}), {"aggregate": counts}))["aggregate"]
        assert counted["n"] in (0, total, len(rows)) or column in ("trigger", "version_group_id")
        assert counted["two"] == total
        assert counted["d"] <= counted["n"]
        summed_up = {function: Summary(function, column) for function in SUMMARIES if table.is_summed_up(function, column)}
        some = Aggregate(Selection(name, {}, limit=3), {"aggregate": Group({"n": Count((column,)), **summed_up})})
        of_some = ask(sample, some)["aggregate"]
        assert of_some["n"] <= min(total, 3)
        assert all((of_some[function] is None) == (of_some["n"] == 0) for function in summed_up)
    if "tenant_id" in table.computed:
        for comparison in ({"_eq": TENANT_ID}, {"_in": [TENANT_ID, uid(1)]}, {"_neq": uid(1)}):
            found = ask(sample, Selection(name, {"t": Column("tenant_id")}, {"tenant_id": comparison}))
            assert found == [{"t": TENANT_ID}] * total


def test_times_that_nobody_keeps_are_null_and_comparable(sample: Sample) -> None:
    for comparison in ({"_gt": START}, {"_lt": START}, {"_in": [START]}):
        assert ask(sample, Selection("task_run", {"h": Column("heartbeat")}, {"heartbeat": comparison})) == []
    assert ask(sample, Selection("task_run", {"h": Column("heartbeat")}, limit=1)) == [{"h": None}]


@pytest.mark.parametrize("name", sorted(name for name, table in TABLES.items() if "tenant" in table.relations))
def test_the_tenant_is_a_relation(sample: Sample, name: str) -> None:
    tenant = Related("tenant", Selection("tenant", {"id": Column("id"), "slug": Column("slug")}))
    order = [Order(("tenant", "slug"), "asc")]
    rows = ask(sample, Selection(name, {"tenant": tenant}, {"tenant": {"slug": {"_eq": "default"}}}, order, 3))
    assert rows
    assert all(row["tenant"] == {"id": TENANT_ID, "slug": "default"} for row in rows)
