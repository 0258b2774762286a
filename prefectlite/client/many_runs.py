"""Cancelling, restarting and deleting all the flow runs that a condition is true of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from prefectlite.clock import Clock
from prefectlite.errors import BadRequest, PrefectliteError
from prefectlite.ids import new_id
from prefectlite.orchestrator.protocols import Orchestrator
from prefectlite.records import StateRecord, record_state
from prefectlite.repository import matching_runs
from prefectlite.repository.database import Database
from prefectlite.repository.matching_runs import MatchingRun
from prefectlite.rules.proposals import FlowRunProposal, Refuse, Replace, TaskRunProposal
from prefectlite.states import Cancelled, Cancelling, State

#: So many runs are changed by one call, and of so many it is said why they were not.
MOST_RUNS, MOST_REASONS = 1_000, 20
#: Proposals made together; a cancelled call waits for these, and makes no more.
_TOGETHER = 200
#: Runs restarted at the same time: each of them reads its flow and its task runs.
_RESTARTED_TOGETHER = 20

Restart = Callable[[str, str], Awaitable[None]]


class Refusal(msgspec.Struct, frozen=True):
    """A flow run that was not changed, and why."""

    flow_run_id: str
    name: str
    reason: str


class Changes(msgspec.Struct, frozen=True):
    """What came of changing many runs: how many matched, were changed and were refused; `more` if some were not looked at.

    Of those that were refused the first ones are named.
    """

    matched: int
    changed: int = 0
    refused: int = 0
    refusals: tuple[Refusal, ...] = ()
    more: bool = False


class ManyRuns:
    """Changes many flow runs at once, at most MOST_RUNS by a call.

    Asked again it does what is left to do. A call that is cancelled ends between two changes: what was done is done.
    """

    def __init__(self, database: Database, orchestrator: Orchestrator, clock: Clock, restart: Restart) -> None:
        """`restart(flow_run_id, holder)` schedules one run that has ended again."""
        self._database, self._orchestrator, self._clock = database, orchestrator, clock
        self._restart = restart

    async def cancel(self, where: Mapping[str, Any], limit: int | None = None, *, dry_run: bool = False) -> Changes:
        """Cancel those runs of which `where` is true that have not ended; `dry_run` only counts them. Raises BadRequest."""
        return await self._change(where, matching_runs.CAN_BE_CANCELLED, limit, dry_run, self._cancel, _TOGETHER)

    async def restart(
        self, where: Mapping[str, Any], holder: str, limit: int | None = None, *, dry_run: bool = False
    ) -> Changes:
        """As `cancel`, for runs that have ended and did not succeed: what did not succeed in them runs again.

        Until all of a run's tasks are reset, the process `holder` has it.
        """
        restart = partial(self._restart_some, holder)
        return await self._change(where, matching_runs.DID_NOT_SUCCEED, limit, dry_run, restart, _RESTARTED_TOGETHER)

    async def delete(self, where: Mapping[str, Any], limit: int | None = None, *, dry_run: bool = False) -> Changes:
        """As `cancel`: delete the runs, with all that is known of them. Those that are executed are refused."""
        most = matching_runs.DELETED_AT_ONCE
        return await self._change(where, matching_runs.ANY, limit, dry_run, self._delete, most)

    async def _change(
        self,
        where: Mapping[str, Any],
        also: str,
        limit: int | None,
        dry_run: bool,
        change: Callable[[Sequence[MatchingRun]], Awaitable[list[Refusal]]],
        together: int,
    ) -> Changes:
        most = MOST_RUNS if limit is None else limit
        if not 1 <= most <= MOST_RUNS:
            raise BadRequest(f"limit: {limit} is not between 1 and {MOST_RUNS:,}, which is as many as one call changes")
        matched, found = await matching_runs.matching_runs(self._database, where, also, 0 if dry_run else most)
        refusals: list[Refusal] = []
        for first in range(0, len(found), together):
            refusals += await _to_its_end(change(found[first : first + together]))
        return Changes(matched, len(found) - len(refusals), len(refusals), tuple(refusals[:MOST_REASONS]), matched > most)

    async def _cancel(self, found: Sequence[MatchingRun]) -> list[Refusal]:
        state = Cancelling("Flow run is being cancelled")
        answers = [self._orchestrator.propose(FlowRunProposal(run.id, self._record(state))) for run in found]
        verdicts = [await answer for answer in answers]
        # Nobody executes these, and so nobody ends their task runs.
        idle = [run.id for run, verdict in zip(found, verdicts, strict=True) if isinstance(verdict, Replace)]
        await self._cancel_task_runs(idle)
        return [
            Refusal(run.id, run.name, verdict.reason)
            for run, verdict in zip(found, verdicts, strict=True)
            if isinstance(verdict, Refuse)
        ]

    async def _cancel_task_runs(self, flow_run_ids: Sequence[str]) -> None:
        answers = []
        for place in await matching_runs.unfinished_task_runs(self._database, flow_run_ids):
            record = self._record(Cancelled("Flow run was cancelled."))
            answers.append(self._orchestrator.propose(TaskRunProposal(*place, record)))
        for answer in answers:
            await answer

    async def _restart_some(self, holder: str, found: Sequence[MatchingRun]) -> list[Refusal]:
        tried = await asyncio.gather(*(self._restart(run.id, holder) for run in found), return_exceptions=True)
        return list(_refusals(found, tried))

    async def _delete(self, found: Sequence[MatchingRun]) -> list[Refusal]:
        ids = [run.id for run in found]
        deleted = await self._database.write(lambda tx: matching_runs.delete_unless_executed(tx, ids), durable=True)
        return [
            Refusal(run.id, run.name, f"Flow run {run.name!r} is executed (it is {run.state}): cancel it first")
            for run in found
            if run.id not in deleted
        ]

    def _record(self, state: State) -> StateRecord:
        return record_state(state, new_id(), self._clock.micros())


def _refusals(found: Iterable[MatchingRun], tried: Iterable[BaseException | None]) -> Iterable[Refusal]:
    for run, error in zip(found, tried, strict=True):
        if isinstance(error, PrefectliteError):
            yield Refusal(run.id, run.name, str(error))
        elif error is not None:
            raise error


async def _to_its_end(work: Awaitable[list[Refusal]]) -> list[Refusal]:
    """What `work` returns, which is not cancelled with who waits for it: a change that has begun is made as a whole."""
    going = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(going)
    except asyncio.CancelledError:
        if not going.done():
            await asyncio.wait([going])
        raise
