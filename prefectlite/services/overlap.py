"""Overlap: what becomes of a run that a schedule made when it is due while another run of its flow is under way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from prefectlite.clock import from_micros
from prefectlite.errors import NotFound
from prefectlite.ids import new_id
from prefectlite.records import FlowRunRow, record_state
from prefectlite.repository import overlapping
from prefectlite.repository.overlapping import DueRun, RunAhead
from prefectlite.rules.proposals import FlowRunProposal
from prefectlite.session import Session
from prefectlite.states import Cancelled, Queued, Scheduled, State

_logger = logging.getLogger("prefectlite.agent")


class Overlap:
    """Lets runs begin as the schedules of their flows say, and knows which wait for which.

    Those that wait are Queued in the record, so that they outlast the process. `begin(run id)` has a run looked at again.
    """

    def __init__(self, session: Session, begin: Callable[[str], None]) -> None:
        self._session, self._begin = session, begin
        self._waiting: dict[str, dict[str, None]] = {}  # run ahead -> those that wait for it

    async def may_begin(self, row: FlowRunRow) -> bool:
        """Whether a run that is due may begin now; if not, it is cancelled, or waits until it is looked at again.

        Runs that people ask for may, and those that had begun before.
        """
        if not row.auto_scheduled or row.lease_epoch:
            return True
        run = await overlapping.due_run(self._session.database, row.id)
        if run is None or run.overlap == "allow":
            return True
        ahead = await self._ahead(run)
        if not ahead:
            return True
        if run.overlap == "skip":
            await self._enter(run, Cancelled(f"Skipped: {_told(ahead)} when this run was due."))
            return False
        if row.state != "Queued":
            await self._enter(run, Queued(f"Waits for its turn: {_told(ahead)}.", start_time=from_micros(run.due)))
            if ahead[0].state == "Queued":
                self._begin(ahead[0].id)  # should what it waited for have been deleted, nobody else would say so
        if run.overlap == "cancel":
            await self._cancel(run, ahead)
        return await self._is_first(run, ahead)

    async def leave(self, row: FlowRunRow) -> None:
        """A run that waited for its turn is for agents elsewhere, which hear of it when it is scheduled again."""
        if row.state == "Queued" and row.auto_scheduled and await self.may_begin(row):
            state = Scheduled("It is this run's turn.", start_time=self._session.clock.now())
            record = record_state(state, new_id(), self._session.clock.micros())
            await self._session.orchestrator.propose(FlowRunProposal(row.id, record, expected_version=row.version))

    def gone(self, run_id: str) -> None:
        """A run has ended, was put off or deleted: look again at those that waited for it."""
        for waiting in self._waiting.pop(run_id, ()):
            self._begin(waiting)

    async def _ahead(self, run: DueRun) -> list[RunAhead]:
        return await overlapping.runs_ahead(self._session.database, run, self._session.clock.micros())

    async def _is_first(self, run: DueRun, ahead: list[RunAhead]) -> bool:
        """Whether nothing is ahead of it any more; if anything is, it waits for that."""
        while ahead:
            for one in ahead:
                self._waiting.setdefault(one.id, {})[run.id] = None
            # What has ended before it was waited for will not say so again.
            still = await self._ahead(run)
            if {one.id for one in ahead} <= {one.id for one in still}:
                return False
            self._forget(run, ahead)
            ahead = still
        return True

    def _forget(self, run: DueRun, ahead: Iterable[RunAhead]) -> None:
        for one in ahead:
            waiting = self._waiting.get(one.id, {})
            waiting.pop(run.id, None)
            if not waiting:
                self._waiting.pop(one.id, None)

    async def _cancel(self, run: DueRun, ahead: Iterable[RunAhead]) -> None:
        """Cancel what schedules made; what people asked for is waited for."""
        for one in ahead:
            if one.by_schedule and one.state != "Cancelling":
                _logger.info("flow run %s is cancelled: the next one, %s, is due", one.id, run.id)
                try:
                    await self._session.client.cancel_flow_run(one.id)
                except NotFound:
                    continue  # it was deleted

    async def _enter(self, run: DueRun, state: State) -> None:
        """Have the run in `state`, unless somebody was quicker to change it."""
        record = record_state(state, new_id(), self._session.clock.micros())
        await self._session.orchestrator.propose(FlowRunProposal(run.id, record, expected_version=run.version))


def _told(ahead: list[RunAhead]) -> str:
    first = ahead[0]
    return f"flow run {first.name!r} ({first.id}) {'was under way' if first.has_begun else 'was due before'}"
