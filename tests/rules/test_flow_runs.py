"""The rules for flow runs, as a table: what is in the record, what is proposed, what is answered."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefectlite.records import StateRecord
from prefectlite.rules.flow_runs import FlowRunSnapshot, decide, decide_again, is_executing, keeps_owner
from prefectlite.rules.proposals import Accept, FlowRunCreation, FlowRunProposal, Order, Refuse, Replace
from prefectlite.states import BY_NAME, FINISHED, Pending, names_of

NOW = 1_893_456_000_000_000
CREATION = FlowRunCreation("flow", "run", {}, {}, [], NOW)
WAITING = names_of(Pending)
UNFINISHED = sorted(set(BY_NAME) - FINISHED)


def run(state: str = "Running", *, version: int = 3, owner: str | None = "me", lease: int = 2, last: str = "last") -> Any:
    return FlowRunSnapshot(version, state, owner, lease, last)


def propose(state: str = "Success", state_id: str = "new", **fields: Any) -> FlowRunProposal:
    return FlowRunProposal("run", StateRecord(state_id, state, NOW, "message"), **fields)


def refused(verdict: Any, code: str, version: int | None = 3) -> str:
    assert isinstance(verdict, Refuse)
    assert (verdict.code, verdict.version) == (code, version)
    return verdict.reason


# -- making ---------------------------------------------------------------------------------------------------------------


def test_a_run_is_made() -> None:
    assert decide(None, propose("Scheduled", create=CREATION)) == Accept(1)


@pytest.mark.parametrize("fields", [{}, {"claim": "me"}, {"restart": True}, {"expected_version": 0}])
def test_a_run_that_is_not_there_is_not_found(fields: dict[str, Any]) -> None:
    reason = refused(decide(None, propose(**fields)), "NOT_FOUND", None)
    assert reason == "State update failed for flow run ID run: there is no such run"


# -- moving ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", UNFINISHED)
@pytest.mark.parametrize("after", sorted(set(BY_NAME) - {"Cancelling", "Paused", "Resume"}))
def test_what_has_not_ended_may_become_anything(before: str, after: str) -> None:
    order = Order.CANCEL if before == "Cancelling" else Order.GO_ON
    for fields in ({}, {"lease": 2}, {"expected_version": 3}, {"lease": 2, "expected_version": 3}):
        if after == "Submitted" and before in ("Submitted", "Running", "Cancelling"):
            reason = refused(decide(run(before), propose(after, **fields)), "OWNED")
            assert reason == "State update failed: this run has already been submitted."
        else:
            assert decide(run(before), propose(after, **fields)) == Accept(4, order)


@pytest.mark.parametrize("before", sorted(FINISHED))
@pytest.mark.parametrize("after", ["Running", "Success", "Cancelling", "Scheduled"])
def test_what_has_ended_stays(before: str, after: str) -> None:
    reason = refused(decide(run(before), propose(after)), "FINISHED")
    assert reason == f"flow run run has ended as {before}; only a restart takes it out of that state"
    refused(decide(run(before, owner=None), propose("Running", claim="me")), "FINISHED")


@pytest.mark.parametrize("before", sorted(FINISHED))
def test_a_restart_takes_it_out(before: str) -> None:
    assert decide(run(before), propose("Scheduled", restart=True)) == Accept(4)


# -- versions, leases, repetition -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("expected", [0, 2, 4])
def test_another_version_was_expected(expected: int) -> None:
    reason = refused(decide(run(), propose(expected_version=expected)), "VERSION_CONFLICT")
    assert reason == f"flow run run is at version 3, not {expected}"


@pytest.mark.parametrize("lease", [0, 1, 3])
def test_another_process_has_it_now(lease: int) -> None:
    reason = refused(decide(run(), propose(lease=lease, expected_version=3)), "STALE_LEASE")
    assert reason == "another process executes flow run run now"


def test_a_stale_lease_is_said_before_anything_else() -> None:
    refused(decide(run("Success"), propose(lease=1, expected_version=9)), "STALE_LEASE")
    refused(decide(run("Success"), propose(lease=2, expected_version=9)), "VERSION_CONFLICT")


@pytest.mark.parametrize("before", sorted(BY_NAME))
def test_a_repeated_proposal_gets_its_answer_again(before: str) -> None:
    order = Order.CANCEL if before == "Cancelling" else Order.GO_ON
    proposal = propose(before, "last", lease=0, expected_version=2)  # both were right before it was accepted
    assert decide(run(before), proposal) == Accept(3, order)


def test_a_repeated_claim_gets_its_lease_again() -> None:
    snapshot = run("Scheduled", owner=None)
    claim = propose("Running", claim="me")
    first = decide(snapshot, claim)
    assert isinstance(first, Accept)
    assert first.lease is not None
    after = run("Running", version=first.version, owner="me", lease=first.lease, last=claim.state.id)
    assert decide(after, claim) == first


# -- claims ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", sorted(set(UNFINISHED) - {"Cancelling", "Paused"}))
def test_a_free_run_is_claimed_with_a_new_lease(before: str) -> None:
    assert decide(run(before, owner=None), propose("Running", claim="me")) == Accept(4, lease=3)


@pytest.mark.parametrize("owner", ["me", "somebody"])
def test_a_run_has_one_owner(owner: str) -> None:
    reason = refused(decide(run(owner="somebody"), propose("Running", claim=owner)), "OWNED")
    assert reason == "flow run run is executed by another process"


def test_a_repeated_claim_that_found_the_run_cancelled_is_answered_so_again() -> None:
    verdict = decide(FlowRunSnapshot(4, "Cancelled", None, 2, "new"), propose("Running", claim="me"))
    assert isinstance(verdict, Replace)
    assert (verdict.state.name, verdict.version) == ("Cancelled", 4)


def test_who_made_a_run_for_itself_begins_it_once() -> None:
    assert decide(run("Scheduled", owner="me"), propose("Running", claim="me")) == Accept(4, lease=3)
    refused(decide(run("Scheduled", owner="me"), propose("Running", claim="somebody")), "OWNED")
    refused(decide(run("Running", owner="me"), propose("Running", claim="me")), "OWNED")


def test_a_run_is_taken_over_from_an_owner_that_is_gone() -> None:
    assert decide(run(), propose("Running", claim="other", takeover_from="me")) == Accept(4, lease=3)
    refused(decide(run(), propose("Running", claim="other", takeover_from="somebody")), "OWNED")


@pytest.mark.parametrize("owner", [None, "gone"])
def test_who_claims_a_run_that_is_being_cancelled_finds_it_cancelled(owner: str | None) -> None:
    snapshot = run("Cancelling", owner=owner)
    snapshot.lease_epoch = 0
    verdict = decide(snapshot, propose("Running", claim="me", takeover_from=owner))
    assert verdict == Replace(StateRecord("new", "Cancelled", NOW, "Flow run was cancelled before it ran"), 4)


def test_who_takes_over_a_run_that_is_being_cancelled_is_to_end_what_it_began() -> None:
    snapshot, claim = run("Cancelling", owner="gone"), propose("Running", claim="me", takeover_from="gone")
    verdict = decide(snapshot, claim)
    assert verdict == Replace(StateRecord("new", "Cancelling", NOW, "Flow run is being cancelled"), 4, lease=3)
    snapshot.version, snapshot.lease_epoch, snapshot.owner, snapshot.last_state_id = 4, 3, "me", "new"
    again = decide(snapshot, claim)
    assert isinstance(again, Replace)
    assert (again.state.name, again.version, again.lease) == ("Cancelling", 4, 3)


def test_what_was_accepted_is_accepted_again_though_the_run_has_moved_on() -> None:
    snapshot = run("Cancelling", owner="me")
    assert decide_again(snapshot, propose("Running", claim="me"), 2, "Running") == Accept(2, Order.CANCEL, 2)
    refused(decide_again(snapshot, propose("Running", claim="other"), 2, "Running"), "OWNED")
    created = propose("Scheduled", create=FlowRunCreation("f", "n", {}, {}, [], 0))
    assert decide_again(snapshot, created, 1, "Scheduled") == Accept(1, Order.CANCEL)
    assert isinstance(decide_again(snapshot, propose("Cancelling"), 2, "Cancelled"), Replace)


# -- cancelling -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", WAITING)
def test_cancelling_what_waits_cancels_it_at_once(before: str) -> None:
    verdict = decide(run(before, owner=None), propose("Cancelling"))
    assert verdict == Replace(StateRecord("new", "Cancelled", NOW, "Flow run was cancelled before it ran"), 4)


def test_cancelling_what_runs_is_an_order_to_its_owner() -> None:
    assert decide(run(), propose("Cancelling")) == Accept(4)
    assert decide(run("Cancelling"), propose("Running", lease=2)) == Accept(4, Order.CANCEL)


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_who_executes(name: str) -> None:
    assert is_executing(name) == (name in ("Running", "Cancelling"))


# -- whatever comes -------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    state=st.sampled_from(sorted(BY_NAME)),
    owner=st.none() | st.just("me"),
    proposed=st.sampled_from(sorted(BY_NAME)),
    fields=st.fixed_dictionaries(
        {},
        optional={
            "lease": st.integers(0, 3),
            "expected_version": st.integers(0, 4),
            "claim": st.sampled_from(["me", "other"]),
            "takeover_from": st.sampled_from(["me", "other"]),
            "restart": st.booleans(),
        },
    ),
)
def test_versions_grow_by_one_and_nothing_is_changed(state: str, owner: str | None, proposed: str, fields: Any) -> None:
    snapshot = run(state, owner=owner)
    verdict = decide(snapshot, propose(proposed, **fields))
    assert snapshot == run(state, owner=owner)
    if isinstance(verdict, Refuse):
        assert verdict.version == 3
        return
    assert isinstance(verdict, Accept | Replace)
    assert verdict.version == 4
    assert fields.get("lease", 2) == 2
    assert fields.get("expected_version", 3) == 3
    assert state not in FINISHED or fields.get("restart")
    if isinstance(verdict, Accept):
        assert (verdict.lease is not None) == ("claim" in fields)


# -- pausing --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "owner"), [("Running", "me"), ("Paused", "me"), *((one, None) for one in WAITING)])
def test_a_run_is_paused_and_stays_whose_it_is(before: str, owner: str | None) -> None:
    proposal = propose("Paused")
    assert decide(run(before, owner=owner), proposal) == Accept(4)
    assert keeps_owner(proposal, "Paused")


@pytest.mark.parametrize("before", sorted(set(WAITING) - {"Paused"}))
def test_what_is_just_being_begun_is_not_paused(before: str) -> None:
    assert "pause it when it runs" in refused(decide(run(before), propose("Paused")), "OWNED")


def test_what_is_being_cancelled_is_not_paused() -> None:
    refused(decide(run("Cancelling"), propose("Paused")), "CANCELLING")


@pytest.mark.parametrize("fields", [{"lease": 2}, {"takeover_from": "me"}])
def test_a_paused_run_is_put_away(fields: dict[str, Any]) -> None:
    proposal = propose("Paused", **fields)
    assert decide(run("Paused"), proposal) == Accept(4)
    assert not keeps_owner(proposal, "Paused")
    refused(decide(run("Running"), proposal), "NOT_PAUSED")


def test_a_paused_run_is_put_away_only_for_whom_it_has() -> None:
    refused(decide(run("Paused", owner="you"), propose("Paused", takeover_from="me")), "NOT_PAUSED")


@pytest.mark.parametrize("fields", [{}, {"takeover_from": "me"}])
def test_nobody_begins_a_paused_run(fields: dict[str, Any]) -> None:
    reason = refused(decide(run("Paused"), propose("Running", claim="me", **fields)), "PAUSED")
    assert reason == "flow run run is paused: resume it"


def test_a_run_whose_process_waits_with_it_runs_again_at_once() -> None:
    verdict = decide(run("Paused"), propose("Resume"))
    assert isinstance(verdict, Replace)
    assert (verdict.state.name, verdict.version, verdict.lease) == ("Running", 4, None)
    assert decide(run("Paused", owner=None), propose("Resume")) == Accept(4)


def test_a_paused_run_is_cancelled_by_its_process_or_at_once() -> None:
    assert decide(run("Paused"), propose("Cancelling")) == Accept(4)
    verdict = decide(run("Paused", owner=None), propose("Cancelling"))
    assert isinstance(verdict, Replace)
    assert verdict.state.name == "Cancelled"
