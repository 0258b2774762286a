"""Proposals that are decided and written in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from prefectlite.clock import Clock
from prefectlite.live.events import ALL_FLOW_RUNS, ALL_RUNS, Event, StateChange, Topic
from prefectlite.live.hints import Hint
from prefectlite.orchestrator.allotment import Allotment, KnownLimits, allotted
from prefectlite.records import StateRecord
from prefectlite.repository import transitions
from prefectlite.repository.database import Transaction
from prefectlite.repository.sequence import take_up_to
from prefectlite.rules import flow_runs, task_runs
from prefectlite.rules.flow_runs import FlowRunSnapshot
from prefectlite.rules.proposals import (
    Accept,
    FlowRunProposal,
    Proposal,
    Replace,
    TaskRunProposal,
    Verdict,
)
from prefectlite.rules.task_runs import TaskRunSnapshot


class Batch:
    """Applies proposals in order; each sees what those before it did. One that is refused does not stop the others."""

    def __init__(
        self,
        proposals: Sequence[Proposal],
        has_listeners: Callable[[Topic], bool],
        limits: KnownLimits,
        clock: Clock,
        *,
        trusting: bool = False,
    ) -> None:
        """With `trusting`, task runs that their executor calls new are not looked up: one that is there after all makes
        `apply` raise, and nothing of it is written.
        """
        self._proposals, self._limits, self._clock = proposals, limits, clock
        self._has_listeners = has_listeners
        self._trusting = trusting
        self._tried = False
        self._slots: Allotment | None = None

    @property
    def moved_slots(self) -> bool:
        """Whether somebody who waits for a slot may have got one, once this is committed."""
        return self._slots is not None and self._slots.moved

    async def apply(self, tx: Transaction) -> tuple[list[Verdict], list[Event]]:
        """The verdicts, in the order of the proposals, and the news to publish once this is committed.

        Applied again it trusts nobody, and says all its news again: the first time may have been committed all the same.
        """
        self._trusting, self._tried = self._trusting and not self._tried, True
        self._verdicts: list[Verdict] = []
        self._flow_history: list[tuple[int, str, int, StateRecord]] = []
        self._task_history: list[tuple[int, str, int, StateRecord]] = []
        self._task_moves: dict[str, tuple[TaskRunProposal, int, int | None]] = {}
        self._events: list[Event] = []
        first = self._seq = await self._read(tx) + 1
        last = first + len(self._proposals) - 1
        self._slots = await allotted(tx, self._limits, self._proposals, self._clock.micros())
        for proposal in self._proposals:
            if isinstance(proposal, TaskRunProposal):
                self._verdicts.append(self._decide_task_run(proposal))
            else:
                self._verdicts.append(await self._decide_flow_run(tx, proposal))
            self._seq += 1
        await take_up_to(tx, last)
        if self._task_moves:
            await transitions.put_task_runs(tx, list(self._task_moves.values()))
            await transitions.append_task_run_states(tx, self._task_history)
        if self._flow_history:
            await transitions.append_flow_run_states(tx, self._flow_history)
        if self._slots is not None:
            await self._slots.write(tx)
        tx.announce(Hint(first, last, list(self._flow_runs), slots=self.moved_slots))
        return self._verdicts, self._events

    async def _read(self, tx: Transaction) -> int:
        """Up to which number the sequence is taken, once all is read that is needed to decide."""
        flows = {p.flow_run_id if isinstance(p, TaskRunProposal) else p.run_id for p in self._proposals}
        opening = await transitions.opening(tx, flows)
        self._flow_runs = opening.flow_runs
        await self._limits.refresh(tx, opening.limits)
        of_tasks = [p for p in self._proposals if isinstance(p, TaskRunProposal)]
        tasks = {p.run_id for p in of_tasks}
        if self._trusting:
            tasks -= {p.run_id for p in of_tasks if _is_new(p, self._flow_runs.get(p.flow_run_id))}
        self._task_runs = await transitions.task_run_snapshots(tx, tasks) if tasks else {}
        self._said = {}
        if not self._trusting:
            self._said = await transitions.said_before(tx, flows, tasks, [p.state.id for p in self._proposals])
        heard = self._has_listeners
        self._heard = flows if heard(ALL_RUNS) else {run_id for run_id in flows if heard(("flow_run", run_id))}
        self._heard_by_all = self._has_listeners(ALL_FLOW_RUNS)
        return opening.taken

    def _decide_task_run(self, proposal: TaskRunProposal) -> Verdict:
        run_id, state = proposal.run_id, proposal.state
        snapshot = self._task_runs.get(run_id)
        said = self._said.get(state.id)
        if said is not None and snapshot is not None and snapshot.last_state_id != state.id:
            return task_runs.decide_again(self._flow_runs[proposal.flow_run_id], said[0], proposal, said[1])
        shortage = self._slots.of_task_run(proposal) if self._slots is not None and proposal.waits else None
        verdict = task_runs.decide(snapshot, self._flow_runs.get(proposal.flow_run_id), proposal, shortage)
        if not isinstance(verdict, Accept | Replace):
            return verdict
        if isinstance(verdict, Replace):
            state = verdict.state
            proposal = msgspec.structs.replace(proposal, state=state)
        if snapshot is not None and snapshot.version == verdict.version:  # said before
            if not self._trusting:  # its answer may have been lost, and its news with it
                self._tell_task_run(proposal, verdict.version)
            return verdict
        self._task_runs[run_id] = TaskRunSnapshot(verdict.version, state.name, state.id, proposal.flow_run_id)
        earlier = self._task_moves.get(run_id)
        started = earlier[2] if earlier else None
        if started is None and state.name == "Running":
            started = state.timestamp
        self._task_moves[run_id] = (proposal, verdict.version, started)
        self._task_history.append((self._seq, run_id, verdict.version, state))
        if self._slots is not None:
            self._slots.task_run_entered(proposal, state.name)
        self._tell_task_run(proposal, verdict.version)
        return verdict

    def _tell_task_run(self, proposal: TaskRunProposal, version: int) -> None:
        if proposal.flow_run_id in self._heard:
            where = (proposal.flow_run_id, proposal.run_id, proposal.task_id, proposal.map_index)
            self._events.append(StateChange(self._seq, "task_run", *where, version, proposal.state))

    async def _decide_flow_run(self, tx: Transaction, proposal: FlowRunProposal) -> Verdict:
        run_id, state = proposal.run_id, proposal.state
        snapshot = self._flow_runs.get(run_id)
        said = self._said.get(state.id)
        if said is not None and snapshot is not None and snapshot.last_state_id != state.id:
            return flow_runs.decide_again(snapshot, proposal, *said)
        shortage = None
        if self._slots is not None and snapshot is not None:
            shortage = self._slots.of_flow_run(proposal, snapshot.state)
        verdict = flow_runs.decide(snapshot, proposal, shortage)
        if not isinstance(verdict, Accept | Replace):
            return verdict
        if isinstance(verdict, Replace):
            state = verdict.state
        if snapshot is not None and snapshot.version == verdict.version:  # said before
            if not self._trusting:
                self._tell_flow_run(run_id, verdict.version, state)
            return verdict
        if snapshot is None:
            assert proposal.create is not None
            await transitions.create_flow_run(tx, run_id, proposal.create, proposal.claim, state)
            snapshot = self._flow_runs[run_id] = FlowRunSnapshot(1, state.name, proposal.claim, 0, state.id)
        else:
            if self._slots is not None:
                self._slots.flow_run_entered(run_id, state.name)
            _move(snapshot, proposal, verdict, state)
            await transitions.move_flow_run(tx, run_id, snapshot, state)
        self._flow_history.append((self._seq, run_id, snapshot.version, state))
        self._tell_flow_run(run_id, snapshot.version, state)
        return verdict

    def _tell_flow_run(self, run_id: str, version: int, state: StateRecord) -> None:
        if run_id in self._heard or self._heard_by_all:
            self._events.append(StateChange(self._seq, "flow_run", run_id, None, None, None, version, state))


def _is_new(proposal: TaskRunProposal, run: FlowRunSnapshot | None) -> bool:
    """Whether it is, in the words of the run's executor."""
    return (
        proposal.expected_version == 0
        and proposal.lease is not None
        and run is not None
        and proposal.lease == run.lease_epoch
    )


def _move(snapshot: FlowRunSnapshot, proposal: FlowRunProposal, verdict: Accept | Replace, state: StateRecord) -> None:
    snapshot.version, snapshot.state, snapshot.last_state_id = verdict.version, state.name, state.id
    if verdict.lease is not None:
        snapshot.owner, snapshot.lease_epoch = proposal.claim, verdict.lease
    elif not flow_runs.keeps_owner(proposal, state.name) and not (isinstance(verdict, Replace) and state.name == "Queued"):
        snapshot.owner = None  # what waits for a slot is begun by who had it before
