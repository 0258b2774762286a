"""The door for executors of another runtime: unmodified clients and agents of Prefect 1.x."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefectlite.clock import Clock
from prefectlite.errors import TransitionRefused
from prefectlite.ids import new_id
from prefectlite.orchestrator.protocols import Orchestrator
from prefectlite.records import LogRow, record_state, sent_state
from prefectlite.repository import foreign_runs, runs
from prefectlite.repository.database import Database, Transaction
from prefectlite.repository.flows import FOREIGN
from prefectlite.repository.foreign_runs import TaskRunState
from prefectlite.repository.logs import append_lines
from prefectlite.rules.proposals import FlowRunProposal, Refuse, Replace, TaskRunProposal, Verdict, Wait
from prefectlite.states import Cancelled, Pending, Running, Scheduled, State, Submitted


class ForeignRuns:
    """Runs that something else executes: it decides on retries itself, sends whole documents, and beats its heart."""

    def __init__(self, database: Database, orchestrator: Orchestrator, clock: Clock) -> None:
        self._database, self._orchestrator, self._clock = database, orchestrator, clock

    async def set_flow_run_state(
        self, run_id: str, state: State, document: dict[str, Any], agent_id: str | None = None
    ) -> str | None:
        """Why the run has to wait instead of being in `state`, which the client described by `document`: empty if it is.

        None if it is not such a run. Scheduled is the explicit restart of a run that has ended. Raises TransitionRefused
        and NotFound.
        """
        if not await foreign_runs.is_foreign(self._database, run_id):
            return None
        record = sent_state(state, document, new_id(), self._clock.micros())
        restart = isinstance(state, Scheduled)
        verdict = await self._orchestrator.propose(FlowRunProposal(run_id, record, restart=restart))
        _check(verdict)
        if isinstance(state, Running | Submitted):
            await self.beat(run_id, agent_id)
            await self._make_task_runs(run_id)
        if isinstance(state, Cancelled):
            await self.cancel_task_runs(run_id)
        return reason_to_wait(verdict) or ""

    async def set_task_run_state(self, run_id: str, state: State, document: dict[str, Any]) -> str | None:
        """As `set_flow_run_state`, for a task run; Pending is its explicit restart."""
        place = await runs.task_run_place(self._database, run_id)
        if place.runtime != FOREIGN:
            return None
        record = sent_state(state, document, new_id(), self._clock.micros())
        restart = state.is_pending() or state.is_meta_state() or place.state == "Looped"  # after each round of a loop
        proposal = TaskRunProposal(
            run_id, place.flow_run_id, place.task_id, place.map_index, record, restart=restart, waits=True
        )
        verdict = await self._orchestrator.propose(proposal)
        _check(verdict)
        return reason_to_wait(verdict) or ""

    async def task_run(self, flow_run_id: str, task_id: str, map_index: int = -1) -> TaskRunState:
        """The run of a task, or of a child of it; made, in state Pending, if there is none. Raises NotFound."""
        found = await foreign_runs.task_run_at(self._database, flow_run_id, task_id, map_index)
        if found is not None:
            return found
        await foreign_runs.check_place(self._database, flow_run_id, task_id)
        # Somebody else may have made it meanwhile, under the same id: then this is refused, and theirs is there.
        proposal = self._new_task_run(flow_run_id, task_id, map_index)
        await self._orchestrator.propose(proposal)
        return await foreign_runs.task_run_state(self._database, proposal.run_id)

    async def _make_task_runs(self, flow_run_id: str) -> None:
        """Make the runs of all tasks, because a client finds the ids of its tasks among them."""
        missing = await foreign_runs.tasks_without_runs(self._database, flow_run_id)
        proposals = [self._new_task_run(flow_run_id, task_id, -1) for task_id in missing]
        for answer in [self._orchestrator.propose(proposal) for proposal in proposals]:
            await answer

    def _new_task_run(self, flow_run_id: str, task_id: str, map_index: int) -> TaskRunProposal:
        run_id = foreign_runs.place_id(flow_run_id, task_id, map_index)
        record = record_state(Pending("Task run created"), new_id(), self._clock.micros())
        return TaskRunProposal(run_id, flow_run_id, task_id, map_index, record, 0)

    async def beat(self, run_id: str, agent_id: str | None = None) -> None:
        """Note that a run is alive; unknown ones do no harm."""

        async def work(tx: Transaction) -> None:
            await foreign_runs.beat(tx, run_id, self._clock.micros(), agent_id)

        await self._database.write(work)

    async def count_resurrection(self, run_id: str) -> None:
        """Note that a run was begun again because its process was lost."""

        async def work(tx: Transaction) -> None:
            await foreign_runs.count_resurrection(tx, run_id)

        await self._database.write(work)

    async def write_logs(self, lines: Sequence[LogRow]) -> None:
        """Add lines to the logs of runs, in their order; lines of unknown runs are left out."""

        async def work(tx: Transaction) -> None:
            known = await foreign_runs.known_runs(tx, {line.flow_run_id for line in lines})
            if kept := [line for line in lines if line.flow_run_id in known]:
                await append_lines(tx, kept)

        await self._database.write(work)

    async def cancel_task_runs(self, flow_run_id: str) -> None:
        """Bring what has not ended of a cancelled run to Cancelled, as no engine does it."""

        def cancelled(run_id: str, task_id: str, map_index: int) -> TaskRunProposal:
            record = record_state(Cancelled("Flow run was cancelled."), new_id(), self._clock.micros())
            return TaskRunProposal(run_id, flow_run_id, task_id, map_index, record)

        unfinished = await foreign_runs.unfinished_task_runs(self._database, flow_run_id)
        for answer in [self._orchestrator.propose(cancelled(*run)) for run in unfinished]:
            await answer


def _check(verdict: Verdict) -> None:
    if isinstance(verdict, Refuse):
        known = verdict.reason.startswith("State update failed")
        raise TransitionRefused(verdict.reason if known else f"State update failed: {verdict.reason}")


def reason_to_wait(verdict: Verdict) -> str | None:
    """Why a run has to wait for a slot of a concurrency limit; None if it need not."""
    if isinstance(verdict, Wait):
        return verdict.reason
    return verdict.state.message if isinstance(verdict, Replace) and verdict.state.name == "Queued" else None
