"""Waiting for a slot: what keeps a run from beginning while a concurrency limit is reached."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from prefectlite.engine.handlers import EndRun
from prefectlite.engine.task_run import proposal
from prefectlite.engine.units import Unit
from prefectlite.records import ResultRecord
from prefectlite.rules.proposals import Refuse, Replace, Verdict, Wait
from prefectlite.states import Cancelled, State
from prefectlite.workload import idle

if TYPE_CHECKING:
    from prefectlite.engine.flow_run import FlowRunExecution


def begin(execution: FlowRunExecution, unit: Unit, running: State, result: ResultRecord | None) -> Awaitable[None] | None:
    """Propose the state `running` for `unit`; what is to be awaited first, if its task needs a slot."""
    limited = execution.orchestrator.queue.tags
    if limited and not limited.isdisjoint(unit.node.task.tags):
        return _begin_in_turn(execution, unit, running, result)
    execution.orchestrator.note(proposal(execution, unit, running, result))
    unit.version += 1
    unit.restart = False
    return None


async def _begin_in_turn(execution: FlowRunExecution, unit: Unit, running: State, result: ResultRecord | None) -> None:
    """Return when `unit` is in the state `running`: once there is a slot of every limit on the tags of its task."""
    queue = execution.orchestrator.queue
    with queue.place("tag", queue.tags & unit.node.task.tags) as place:
        while True:
            seen = queue.stirs
            verdict = await _asked(execution, unit, running, result)
            if not is_queued(verdict):
                return
            async with execution.place_given_up(unit):
                with idle():
                    await place.turn(seen, verdict.until if isinstance(verdict, Wait) else None)


async def _asked(execution: FlowRunExecution, unit: Unit, running: State, result: ResultRecord | None) -> Verdict:
    while True:
        answer = execution.orchestrator.propose(proposal(execution, unit, running, result, waits=True))
        try:
            verdict = await answer
        except asyncio.CancelledError:  # it is decided all the same
            _enter(unit, await answer)
            raise
        if isinstance(verdict, Refuse) and verdict.code == "TAKEN":
            unit.take(verdict)
            continue
        if isinstance(verdict, Refuse) and verdict.version is not None and not execution.is_stopping():
            if verdict.code == "FINISHED":  # somebody has ended it meanwhile: it does not begin
                raise EndRun(Cancelled("Task run was ended before it began"))
            if verdict.code == "VERSION_CONFLICT":
                unit.version = verdict.version
                continue
        execution.obey(verdict)
        _enter(unit, verdict)
        return verdict


def _enter(unit: Unit, verdict: Verdict) -> None:
    if not isinstance(verdict, Wait | Refuse):
        unit.version = verdict.version
        unit.restart = False


def is_queued(verdict: Verdict) -> bool:
    """Whether it says that a run has to wait for a slot."""
    return isinstance(verdict, Wait) or (isinstance(verdict, Replace) and verdict.state.name == "Queued")
