"""The rules for task runs, as a table: what is in the record, what is proposed, what is answered."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefectlite.records import StateRecord
from prefectlite.rules.flow_runs import FlowRunSnapshot
from prefectlite.rules.proposals import Accept, Order, Refuse, TaskRunProposal
from prefectlite.rules.task_runs import TaskRunSnapshot, decide
from prefectlite.states import BY_NAME, FINISHED

NOW = 1_893_456_000_000_000
UNFINISHED = sorted(set(BY_NAME) - FINISHED)


def parent(state: str = "Running", lease: int = 2) -> FlowRunSnapshot:
    return FlowRunSnapshot(5, state, "me", lease, "parent's")


def run(state: str = "Running", version: int = 3) -> TaskRunSnapshot:
    return TaskRunSnapshot(version, state, "last")


def propose(state: str = "Success", state_id: str = "new", **fields: Any) -> TaskRunProposal:
    return TaskRunProposal("task-run", "flow-run", "task", -1, StateRecord(state_id, state, NOW), **fields)


def refused(verdict: Any, code: str, version: int | None = 3) -> str:
    assert isinstance(verdict, Refuse)
    assert (verdict.code, verdict.version) == (code, version)
    return verdict.reason


@pytest.mark.parametrize("snapshot", [None, run()])
def test_without_its_flow_run_it_is_not_found(snapshot: TaskRunSnapshot | None) -> None:
    reason = refused(decide(snapshot, None, propose()), "NOT_FOUND", None)
    assert reason == "State update failed for task run ID task-run: its flow run is not there"


@pytest.mark.parametrize("state", sorted(BY_NAME))
@pytest.mark.parametrize("expected", [None, 0])
def test_a_new_one_begins_in_any_state(state: str, expected: int | None) -> None:
    assert decide(None, parent(), propose(state, expected_version=expected, lease=2)) == Accept(1)


def test_a_new_one_is_at_version_0() -> None:
    reason = refused(decide(None, parent(), propose(expected_version=1)), "VERSION_CONFLICT", 0)
    assert reason == "task run task-run is at version 0, not 1"


@pytest.mark.parametrize("before", UNFINISHED)
@pytest.mark.parametrize("after", sorted(BY_NAME))
def test_what_has_not_ended_may_become_anything(before: str, after: str) -> None:
    for fields in ({}, {"lease": 2}, {"expected_version": 3}, {"lease": 2, "expected_version": 3}):
        assert decide(run(before), parent(), propose(after, **fields)) == Accept(4)


@pytest.mark.parametrize("before", sorted(FINISHED))
def test_what_has_ended_stays(before: str) -> None:
    for after in ("Running", "Success", "Pending"):
        reason = refused(decide(run(before), parent(), propose(after, lease=2)), "FINISHED")
    assert reason == f"task run task-run has ended as {before}; only a restart takes it out of that state"
    assert decide(run(before), parent(), propose("Running", lease=2, restart=True)) == Accept(4)


@pytest.mark.parametrize("expected", [0, 2, 4])
def test_another_version_was_expected(expected: int) -> None:
    reason = refused(decide(run(), parent(), propose(expected_version=expected)), "VERSION_CONFLICT")
    assert reason == f"task run task-run is at version 3, not {expected}"


@pytest.mark.parametrize("snapshot", [None, run(), run("Success")])
@pytest.mark.parametrize("lease", [0, 1, 3])
def test_a_stale_lease_is_said_before_anything_else(snapshot: TaskRunSnapshot | None, lease: int) -> None:
    reason = refused(decide(snapshot, parent(), propose(lease=lease, expected_version=9)), "STALE_LEASE", None)
    assert reason == "another process executes flow run flow-run now"


@pytest.mark.parametrize("before", sorted(BY_NAME))
@pytest.mark.parametrize(("state", "order"), [("Running", Order.GO_ON), ("Cancelling", Order.CANCEL)])
def test_a_repeated_proposal_gets_its_answer_again(before: str, state: str, order: Order) -> None:
    proposal = propose(before, "last", lease=2, expected_version=2)  # the version it had before
    assert decide(run(before), parent(state), proposal) == Accept(3, order)


@pytest.mark.parametrize("state", sorted(set(BY_NAME) - {"Running"}))
def test_an_outsider_starts_it_only_in_a_running_flow_run(state: str) -> None:
    reason = refused(decide(run("Pending"), parent(state), propose("Running")), "NOT_RUNNING")
    assert reason.startswith("State update failed for task run ID task-run: provided a running state")
    assert "flow-run is not in a running state" in reason
    assert isinstance(decide(run("Pending"), parent(state), propose("Running", lease=2)), Accept)
    assert isinstance(decide(run("Pending"), parent(state), propose("Success")), Accept)


@pytest.mark.parametrize("version", [None, 1, 7, 8, 9, 100])
def test_a_cancelled_flow_run_tells_its_executor_with_every_answer(version: int | None) -> None:
    snapshot = None if version is None else run(version=version)
    assert decide(snapshot, parent("Cancelling"), propose(lease=2)) == Accept((version or 0) + 1, Order.CANCEL)
    assert decide(snapshot, parent(), propose(lease=2)) == Accept((version or 0) + 1, Order.GO_ON)


@settings(deadline=None)
@given(
    before=st.none() | st.sampled_from(sorted(BY_NAME)),
    version=st.integers(1, 20),
    state=st.sampled_from(sorted(BY_NAME)),
    proposed=st.sampled_from(sorted(BY_NAME)),
    fields=st.fixed_dictionaries(
        {}, optional={"lease": st.integers(1, 3), "expected_version": st.integers(0, 20), "restart": st.booleans()}
    ),
)
def test_versions_grow_by_one_and_nothing_is_changed(
    before: str | None, version: int, state: str, proposed: str, fields: Any
) -> None:
    snapshot = None if before is None else run(before, version)
    at = 0 if before is None else version
    verdict = decide(snapshot, parent(state), propose(proposed, **fields))
    assert snapshot == (None if before is None else run(before, version))
    if isinstance(verdict, Refuse):
        assert verdict.version in (None, at)
        return
    assert isinstance(verdict, Accept)
    assert verdict.version == at + 1
    assert fields.get("lease", 2) == 2
    assert fields.get("expected_version", at) == at
    assert before not in FINISHED or fields.get("restart")
    assert (verdict.order is Order.CANCEL) == (state == "Cancelling" or state in FINISHED)
