"""When a task run may change its state."""

from __future__ import annotations

import msgspec

from prefectlite.rules.flow_runs import ORDERS, FlowRunSnapshot
from prefectlite.rules.proposals import Accept, Order, Refuse, Replace, TaskRunProposal, Verdict, Wait
from prefectlite.rules.slots import Shortage, queued
from prefectlite.states import FINISHED

_GO_ON = {version: Accept(version) for version in range(1, 9)}


class TaskRunSnapshot(msgspec.Struct):
    """A task run as the record holds it at the moment of decision."""

    version: int
    state: str
    last_state_id: str | None = None
    flow_run_id: str | None = None


def decide(
    snapshot: TaskRunSnapshot | None,
    parent: FlowRunSnapshot | None,
    proposal: TaskRunProposal,
    shortage: Shortage | None = None,
) -> Verdict:
    """The verdict on `proposal`, given the task run (None: it does not exist yet) and the flow run it belongs to.

    `shortage` says, if any, what keeps it from beginning where it needs a slot.
    """
    if parent is None:
        return Refuse("NOT_FOUND", f"State update failed for task run ID {proposal.run_id}: its flow run is not there")
    if snapshot is not None and snapshot.flow_run_id not in (None, proposal.flow_run_id):
        # Who has the lease of one flow run has it of that one's task runs.
        return Refuse("NOT_FOUND", f"State update failed for task run ID {proposal.run_id}: it is another flow run's")
    if snapshot is not None and snapshot.last_state_id == proposal.state.id:  # said again, whoever executes the run by now
        return decide_again(parent, snapshot.version, proposal, snapshot.state)
    if proposal.lease is not None and proposal.lease != parent.lease_epoch:
        return Refuse("STALE_LEASE", f"another process executes flow run {proposal.flow_run_id} now")
    version = 0 if snapshot is None else snapshot.version
    if snapshot is not None and snapshot.state in FINISHED and not proposal.restart:
        return Refuse(
            "FINISHED",
            f"task run {proposal.run_id} has ended as {snapshot.state}; only a restart takes it out of that state",
            version,
        )
    if proposal.expected_version is not None and proposal.expected_version != version:
        return Refuse(
            "VERSION_CONFLICT",
            f"task run {proposal.run_id} is at version {version}, not {proposal.expected_version}",
            version,
        )
    if proposal.state.name == "Running" and parent.state != "Running" and proposal.lease is None:
        return Refuse(
            "NOT_RUNNING",
            f"State update failed for task run ID {proposal.run_id}: provided a running state but associated flow run"
            f" {proposal.flow_run_id} is not in a running state.",
            version,
        )
    if parent.state == "Cancelling" or parent.state in FINISHED:
        return Accept(version + 1, Order.CANCEL)
    if shortage is not None and snapshot is not None and snapshot.state == "Queued":
        return Wait(shortage.until, shortage.reason)
    if shortage is not None:
        return Replace(queued(proposal.state, shortage.reason), version + 1)
    if parent.state == "Paused":
        return Accept(version + 1, Order.PAUSE)
    return _GO_ON.get(version + 1) or Accept(version + 1)


def decide_again(parent: FlowRunSnapshot, version: int, proposal: TaskRunProposal, name: str) -> Verdict:
    """The verdict on what was accepted before, at `version` and as `name`; the task run may have moved on since."""
    if name != proposal.state.name:
        return Replace(msgspec.structs.replace(proposal.state, name=name), version)
    return Accept(version, _order(parent))


def _order(parent: FlowRunSnapshot) -> Order:
    return ORDERS.get(parent.state, Order.GO_ON)
