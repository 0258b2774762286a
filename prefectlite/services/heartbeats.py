"""Watches over runs that another runtime executes: who is silent for ten minutes is taken for dead, as in Prefect 1.x."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from prefectlite.clock import from_micros, to_micros
from prefectlite.ids import new_id
from prefectlite.records import LogRow, record_state
from prefectlite.repository import foreign_runs
from prefectlite.repository.foreign_runs import RunningTask, SilentRun
from prefectlite.rules.proposals import FlowRunProposal, Refuse, TaskRunProposal
from prefectlite.session import Session
from prefectlite.states import Failed, Retrying, Scheduled, State

#: How long a run may be silent.
SILENCE = timedelta(minutes=10)
#: Seconds between two looks.
EVERY = 60.0
#: How often a run is begun again whose process was lost.
MOST_RESURRECTIONS = 3

_logger = logging.getLogger("prefectlite.rescuer")


class Heartbeats:
    """Retries, fails or schedules anew what was lost. How long something was silent goes by the session's clock."""

    def __init__(self, session: Session, *, every: float = EVERY) -> None:
        self._session, self._every = session, every

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._every)

    async def look(self) -> int:
        """Deal with what is lost now; the number of runs that were silent."""
        before = to_micros(self._session.clock.now() - SILENCE)
        found = await foreign_runs.silent_runs(self._session.database, before)
        for run in found:
            await self._deal_with(run)
        return len(found)

    async def _deal_with(self, run: SilentRun) -> None:
        if run.state == "Cancelling":
            if run.heartbeat_enabled:
                message = "No heartbeat detected from the flow run; marking the run as failed."
                await self._set_flow_run(run, Failed(message), "ERROR", message)
            return
        if run.heartbeat_enabled:
            for task_run in await foreign_runs.running_tasks(self._session.database, run.id):
                await self._end(run, task_run)
        if run.heartbeat_enabled and run.lazarus_enabled and not await self._has_work(run):
            await self._resurrect(run)

    async def _has_work(self, run: SilentRun) -> bool:
        return await foreign_runs.has_waiting_tasks(self._session.database, run.id)

    async def _end(self, run: SilentRun, task_run: RunningTask) -> None:
        count = task_run.retries + 1
        if run.state == "Running" and task_run.retries < task_run.max_retries:
            start = self._session.clock.now() + timedelta(microseconds=task_run.retry_delay or 0)
            message = (
                "No heartbeat detected from the remote task; retrying the run."
                f"This will be retry {count} of {task_run.max_retries}."
            )
            state: State = Retrying(message, start_time=start, run_count=count + 1)
        else:
            message = (
                "No heartbeat detected from the remote task; marking the task run"
                f" {task_run.id} ({task_run.name}) as failed."
            )
            state = Failed(message)
        record = record_state(state, new_id(), self._session.clock.micros())
        proposal = TaskRunProposal(task_run.id, run.id, task_run.task_id, task_run.map_index, record, task_run.version)
        if not isinstance(await self._session.orchestrator.propose(proposal), Refuse):
            await self._log(run, "ERROR", message, task_run.id)

    async def _resurrect(self, run: SilentRun) -> None:
        if run.times_resurrected >= MOST_RESURRECTIONS:
            message = (
                f"A Lazarus process attempted to reschedule this run {MOST_RESURRECTIONS} times without success."
                " Marking as failed."
            )
            await self._set_flow_run(run, Failed(message), "ERROR", message)
            return
        attempt = run.times_resurrected + 1
        scheduled = Scheduled("Rescheduled by a Lazarus process.", start_time=self._session.clock.now())
        if await self._set_flow_run(run, scheduled, "INFO", f"Rescheduled by a Lazarus process. This is attempt {attempt}."):
            await self._session.client.foreign.count_resurrection(run.id)

    async def _set_flow_run(self, run: SilentRun, state: State, level: str, message: str) -> bool:
        record = record_state(state, new_id(), self._session.clock.micros())
        verdict = await self._session.orchestrator.propose(FlowRunProposal(run.id, record, run.version))
        if isinstance(verdict, Refuse):  # it has moved on meanwhile
            return False
        _logger.warning("flow run %s was silent since %s: it is %s now", run.id, from_micros(run.heartbeat), state.name)
        await self._log(run, level, message)
        return True

    async def _log(self, run: SilentRun, level: str, message: str, task_run_id: str | None = None) -> None:
        now = self._session.clock.micros()
        line = LogRow(new_id(), run.id, task_run_id, now, level, "prefectlite.rescuer", message)
        await self._session.client.foreign.write_logs([line])
