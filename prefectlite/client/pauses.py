"""Pausing runs, and letting them go on."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from prefectlite.client.foreign import ForeignRuns
from prefectlite.clock import Clock
from prefectlite.errors import BadRequest, TransitionRefused
from prefectlite.ids import new_id
from prefectlite.input_schemas import problem
from prefectlite.orchestrator.protocols import Orchestrator
from prefectlite.pauses import ANSWERS, PAUSE, Pause, expired, new_pause, pause_in, pause_of, paused, words_of
from prefectlite.records import StateRecord, context_of, record_state
from prefectlite.repository import foreign_runs, runs
from prefectlite.repository.database import Database
from prefectlite.rules.proposals import Accept, FlowRunProposal, Refuse, Replace, TaskRunProposal, Verdict
from prefectlite.states import FINISHED, Paused, Resume, Running, State, names_of

#: How long a run is held at the most while one of its tasks is being paused.
LONGEST_HOLD = timedelta(seconds=10)
#: Who pauses or resumes, where nobody says.
SOMEBODY = "somebody"
#: What people give is kept in the record with the states of the run.
MOST_INPUT_BYTES = 64 * 1024


class Pauses:
    """What people, and the passing of time, do with paused runs. Every method raises NotFound for what is not there."""

    def __init__(self, database: Database, orchestrator: Orchestrator, clock: Clock, foreign: ForeignRuns) -> None:
        self._database, self._orchestrator, self._clock = database, orchestrator, clock
        self._foreign = foreign

    async def pause_flow_run(
        self,
        flow_run_id: str,
        reason: str | None = None,
        by: str = SOMEBODY,
        *,
        expires: datetime | None = None,
        then: str | None = None,
    ) -> None:
        """Have a run begin no more task runs; those that execute go on to their end, and one that waits does not begin.

        If nobody has resumed it until `expires`, it fails, or is cancelled or resumed, as `then` says. A run that is paused
        already has this reason and end from now on. Raises TransitionRefused, if it has ended, and BadRequest.
        """
        pause = new_pause(expires, then)
        if expires is not None and expires <= self._clock.now():
            raise BadRequest(f"expires: {expires.isoformat()} is past")
        row = await runs.flow_run(self._database, flow_run_id)
        if row.state in names_of(Running) and await foreign_runs.is_foreign(self._database, flow_run_id):
            raise BadRequest(f"Flow run {row.name!r} is executed by an agent of Prefect 1.x, which cannot pause it")
        record = self._record(paused(words_of("Paused", by, reason), pause))
        _check(await self._orchestrator.propose(FlowRunProposal(flow_run_id, record)))

    async def resume_flow_run(self, flow_run_id: str, reason: str | None = None, by: str = SOMEBODY) -> str:
        """The name of the state in which a paused run goes on. Raises BadRequest if it is not paused."""
        while True:
            state, version = await runs.state_of(self._database, "flow_run", flow_run_id)
            if state.name != "Paused":
                raise BadRequest(f"Flow run {flow_run_id} is not paused: it is {state.name}")
            record = self._record(Resume(words_of("Resumed", by, reason), start_time=self._clock.now()))
            verdict = await self._orchestrator.propose(FlowRunProposal(flow_run_id, record, version))
            if not _is_late(verdict):
                _check(verdict)
                return verdict.state.name if isinstance(verdict, Replace) else "Resume"

    async def pause_task_run(self, task_run_id: str, state: Paused, version: int | None = None) -> None:
        """Have a task run that has not begun wait in this state until it is resumed; with `version`, if it still has it.

        Raises TransitionRefused if it has ended or executes, and NotFound.
        """
        place = await runs.task_run_place(self._database, task_run_id)
        found, known = await runs.state_of(self._database, "task_run", task_run_id)
        if found.name == "Paused":
            raise TransitionRefused(f"task run {task_run_id} is paused already")
        if found.name != "Pending" and found.name not in FINISHED:
            raise TransitionRefused(
                f"task run {task_run_id} has begun, it is {found.name}: only its own code pauses it; pause its flow run, and"
                " nothing else begins"
            )
        where = (task_run_id, place.flow_run_id, place.task_id, place.map_index)
        proposal = TaskRunProposal(*where, self._record(state), known if version is None else version)
        # Whoever executes the run looks, before it goes on, what was made of its task runs meanwhile.
        held = await self._hold(place.flow_run_id)
        try:
            _check(await self._orchestrator.propose(proposal))
        finally:
            if held is not None:
                going_on = self._record(Resume("A task of it has been paused", start_time=self._clock.now()))
                await self._orchestrator.propose(FlowRunProposal(place.flow_run_id, going_on, held))

    async def _hold(self, flow_run_id: str) -> int | None:
        """Pause a run that is being executed, for a moment: the version that it has then. None where it is not."""
        state, version = await runs.state_of(self._database, "flow_run", flow_run_id)
        if state.name != "Running":
            return None
        # Should this process end before it lets the run go on, that does so by itself.
        pause = new_pause(self._clock.now() + LONGEST_HOLD, "resume")
        record = self._record(paused("A task of it is being paused", pause))
        verdict = await self._orchestrator.propose(FlowRunProposal(flow_run_id, record, version))
        return verdict.version if isinstance(verdict, Accept) else None

    async def resume_task_run(
        self, task_run_id: str, reason: str | None = None, by: str = SOMEBODY, given: Any = None
    ) -> None:
        """Let a paused task go on, with what it asked for. Raises BadRequest if it is not paused, or for what is given.

        Then nothing has changed; the message names the field at fault.
        """
        place = await runs.task_run_place(self._database, task_run_id)
        state, version = await runs.state_of(self._database, "task_run", task_run_id)
        if state.name != "Paused":
            raise BadRequest(f"Task run {task_run_id} is not paused: it is {state.name}")
        context = context_of(state.details)
        pause = pause_in(context)
        _check_given(task_run_id, pause, given)
        context.pop(PAUSE, None)
        if pause.input is not None:
            context[ANSWERS] = [*context.get(ANSWERS, ()), given]
        resume = Resume(words_of("Resumed", by, reason), start_time=self._clock.now(), context=context)
        where = (task_run_id, place.flow_run_id, place.task_id, place.map_index)
        verdict = await self._orchestrator.propose(TaskRunProposal(*where, self._record(resume), version))
        if _is_late(verdict):
            raise BadRequest(f"Task run {task_run_id} is not paused any more: somebody else was faster")
        _check(verdict)

    async def put_away(self, flow_run_id: str, owner: str) -> bool:
        """Whether a run, whose process `owner` is gone, is paused: whoever resumes it lets another process take it up."""
        state, version = await runs.state_of(self._database, "flow_run", flow_run_id)
        if state.name != "Paused":
            return False
        again = msgspec.structs.replace(state, id=new_id(), timestamp=self._clock.micros())
        verdict = await self._orchestrator.propose(FlowRunProposal(flow_run_id, again, version, takeover_from=owner))
        return not _is_late(verdict)

    async def expire(self, flow_run_id: str) -> int | None:
        """Do with a paused run as its pause says, if it is over; otherwise, when that will be."""
        state, version = await runs.state_of(self._database, "flow_run", flow_run_id)
        pause = pause_of(state)
        if state.name != "Paused" or pause.end is None or pause.end > self._clock.micros():
            return pause.end if state.name == "Paused" else None
        over = self._record(expired(pause, self._clock.now()))
        verdict = await self._orchestrator.propose(FlowRunProposal(flow_run_id, over, version))
        row = await runs.flow_run(self._database, flow_run_id)
        if not isinstance(verdict, Refuse) and row.state in FINISHED:  # nobody has it, who would end its task runs
            await self._foreign.cancel_task_runs(flow_run_id)
        return None

    def _record(self, state: State) -> StateRecord:
        return record_state(state, new_id(), self._clock.micros())


def _check_given(task_run_id: str, pause: Pause, given: Any) -> None:
    if pause.input is None:
        if given is not None:
            raise BadRequest(f"input: task run {task_run_id} did not ask for any")
        return
    if (wrong := problem(pause.input, given)) is not None:
        raise BadRequest(wrong)
    if len(msgspec.json.encode(given)) > MOST_INPUT_BYTES:
        raise BadRequest(f"input: it is larger than {MOST_INPUT_BYTES:,} bytes")


def _is_late(verdict: Verdict) -> bool:
    return isinstance(verdict, Refuse) and verdict.code == "VERSION_CONFLICT"


def _check(verdict: Verdict) -> None:
    if isinstance(verdict, Refuse):
        raise TransitionRefused(verdict.reason)
