"""When a flow run may change its state."""

from __future__ import annotations

import msgspec

from prefectlite.records import StateRecord
from prefectlite.rules.proposals import Accept, FlowRunProposal, Order, Refuse, Replace, Verdict, Wait
from prefectlite.rules.slots import Shortage, queued
from prefectlite.states import FINISHED, ClientFailed, Pending, Queued, Running, Submitted, names_of

_WAITING = frozenset(name for kind in (Pending, Submitted, Queued, ClientFailed) for name in names_of(kind))
_EXECUTING = frozenset(names_of(Running))
#: What the executor of a run in the state of this name is told when it says how its tasks go.
ORDERS = {"Cancelling": Order.CANCEL, "Paused": Order.PAUSE}


class FlowRunSnapshot(msgspec.Struct):
    """A flow run as the record holds it at the moment of decision; the transaction moves it on as it decides."""

    version: int
    state: str
    owner: str | None
    lease_epoch: int
    last_state_id: str | None = None


def decide(snapshot: FlowRunSnapshot | None, proposal: FlowRunProposal, shortage: Shortage | None = None) -> Verdict:
    """The verdict on `proposal`; the caller writes what is accepted or replaced.

    `shortage` says, if any, what keeps it from beginning where it needs a slot.
    """
    if snapshot is None:
        if proposal.create is None:
            return Refuse("NOT_FOUND", f"State update failed for flow run ID {proposal.run_id}: there is no such run")
        return Accept(1)
    if snapshot.last_state_id == proposal.state.id:
        if snapshot.state != proposal.state.name:  # the first answer was a replacement
            lease = snapshot.lease_epoch if proposal.claim and is_executing(snapshot.state) else None
            return Replace(msgspec.structs.replace(proposal.state, name=snapshot.state), snapshot.version, lease)
        return Accept(snapshot.version, _order(snapshot), snapshot.lease_epoch if proposal.claim else None)
    if refusal := _refusal(snapshot, proposal):
        return refusal
    verdict = _on_its_merits(snapshot, proposal)
    if shortage is None or not isinstance(verdict, Accept):
        return verdict
    if snapshot.state == "Queued":
        return Wait(shortage.until, shortage.reason)
    return Replace(queued(proposal.state, shortage.reason, proposal.state.timestamp), snapshot.version + 1)


def _on_its_merits(snapshot: FlowRunSnapshot, proposal: FlowRunProposal) -> Verdict:
    if proposal.claim is not None:
        return _claim(snapshot, proposal)
    if proposal.state.name == "Resume" and is_held(snapshot):
        going_on = msgspec.structs.replace(proposal.state, name="Running", start_time=None)
        return Replace(going_on, snapshot.version + 1)
    if proposal.state.name == "Cancelling" and snapshot.state in _WAITING and not is_held(snapshot):
        return Replace(_cancelled(proposal.state), snapshot.version + 1)
    return Accept(snapshot.version + 1, _order(snapshot))


def decide_again(snapshot: FlowRunSnapshot, proposal: FlowRunProposal, version: int, name: str) -> Verdict:
    """The verdict on what was accepted before, at `version` and as `name`; the flow run may have moved on since."""
    lease = None
    if proposal.claim is not None and proposal.create is None and name != "Queued":
        if snapshot.owner != proposal.claim:
            return Refuse("OWNED", f"flow run {proposal.run_id} is not executed by this process any more", snapshot.version)
        lease = snapshot.lease_epoch
    if name != proposal.state.name:
        return Replace(msgspec.structs.replace(proposal.state, name=name), version, lease)
    return Accept(version, _order(snapshot), lease)


def _refusal(snapshot: FlowRunSnapshot, proposal: FlowRunProposal) -> Refuse | None:
    if proposal.lease is not None and proposal.lease != snapshot.lease_epoch:
        return Refuse("STALE_LEASE", f"another process executes flow run {proposal.run_id} now", snapshot.version)
    if proposal.expected_version is not None and proposal.expected_version != snapshot.version:
        return Refuse(
            "VERSION_CONFLICT",
            f"flow run {proposal.run_id} is at version {snapshot.version}, not {proposal.expected_version}",
            snapshot.version,
        )
    if snapshot.state in FINISHED and not proposal.restart:
        return Refuse(
            "FINISHED",
            f"flow run {proposal.run_id} has ended as {snapshot.state}; only a restart takes it out of that state",
            snapshot.version,
        )
    if proposal.state.name == "Submitted" and (snapshot.state == "Submitted" or is_executing(snapshot.state)):
        return Refuse("OWNED", "State update failed: this run has already been submitted.", snapshot.version)
    return _refusal_of_pause(snapshot, proposal)


def _refusal_of_pause(snapshot: FlowRunSnapshot, proposal: FlowRunProposal) -> Refuse | None:
    if proposal.claim is not None and snapshot.state == "Paused":
        return Refuse("PAUSED", f"flow run {proposal.run_id} is paused: resume it", snapshot.version)
    if proposal.state.name != "Paused":
        return None
    if puts_away(proposal):
        if snapshot.state == "Paused" and proposal.takeover_from in (None, snapshot.owner):
            return None
        return Refuse("NOT_PAUSED", f"flow run {proposal.run_id} is not paused any more", snapshot.version)
    if snapshot.state == "Cancelling":
        return Refuse("CANCELLING", f"flow run {proposal.run_id} is being cancelled", snapshot.version)
    if snapshot.owner is not None and snapshot.state in _WAITING and not is_held(snapshot):
        return Refuse("OWNED", f"flow run {proposal.run_id} is just being begun: pause it when it runs", snapshot.version)
    return None


def _claim(snapshot: FlowRunSnapshot, proposal: FlowRunProposal) -> Verdict:
    # Who made the run for itself begins it; a second beginning by the same process would be one too many.
    begins_own = snapshot.owner == proposal.claim and snapshot.state in _WAITING
    # By name, so that of several that find the owner gone only the first takes the run up.
    takes_up = snapshot.owner == proposal.takeover_from
    if snapshot.owner is not None and not begins_own and not takes_up:
        return Refuse("OWNED", f"flow run {proposal.run_id} is executed by another process", snapshot.version)
    if snapshot.state == "Cancelling" and snapshot.lease_epoch:  # its tasks are to be ended, too
        going_on = StateRecord(proposal.state.id, "Cancelling", proposal.state.timestamp, "Flow run is being cancelled")
        return Replace(going_on, snapshot.version + 1, snapshot.lease_epoch + 1)
    if snapshot.state == "Cancelling":
        return Replace(_cancelled(proposal.state), snapshot.version + 1)
    return Accept(snapshot.version + 1, lease=snapshot.lease_epoch + 1)


def _cancelled(proposed: StateRecord) -> StateRecord:
    return StateRecord(proposed.id, "Cancelled", proposed.timestamp, "Flow run was cancelled before it ran")


def _order(snapshot: FlowRunSnapshot) -> Order:
    return Order.CANCEL if snapshot.state == "Cancelling" else Order.GO_ON


def is_held(snapshot: FlowRunSnapshot) -> bool:
    """Whether the run is paused and its process waits with it."""
    return snapshot.state == "Paused" and snapshot.owner is not None


def puts_away(proposal: FlowRunProposal) -> bool:
    """Whether the run is to be paused, as it is, without a process that waits: its own says so, or is gone."""
    own = proposal.lease is not None or proposal.takeover_from is not None
    return proposal.state.name == "Paused" and proposal.claim is None and own


def keeps_owner(proposal: FlowRunProposal, state: str) -> bool:
    """Whether a run that enters `state` stays with the process that has it."""
    return is_executing(state) or (state == "Paused" and not puts_away(proposal))


def is_executing(state: str) -> bool:
    """Whether a flow run in the state of this name has an executor at work."""
    return state in _EXECUTING
