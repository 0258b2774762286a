"""One task run: pass by pass through the pipeline, from its upstream states to its final state, each committed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from prefectlite.clock import sleep_until
from prefectlite.engine.handlers import EndRun
from prefectlite.engine.recorded import Recorded
from prefectlite.engine.task_pass import TaskPass
from prefectlite.engine.tracing import RunSpan, Trace, active_trace
from prefectlite.engine.units import Unit, upstream_states
from prefectlite.ids import new_id
from prefectlite.pauses import PAUSE
from prefectlite.records import ResultRecord, record_state
from prefectlite.rules.proposals import Refuse, TaskRunProposal, Verdict
from prefectlite.shown import told
from prefectlite.states import Cancelled, Failed, Paused, Pending, State
from prefectlite.workload import idle

if TYPE_CHECKING:
    from prefectlite.engine.flow_run import FlowRunExecution


def run_unit(execution: FlowRunExecution, unit: Unit) -> Coroutine[Any, Any, None]:
    """Take `unit` to its final state, or in a single pass as far as it gets, and commit every state it waits in."""
    trace = active_trace.get()
    return _through_passes(execution, unit, None) if trace is None else _traced(trace, execution, unit)


async def _traced(trace: Trace, execution: FlowRunExecution, unit: Unit) -> None:
    with trace.task_run(unit) as span:
        await _through_passes(execution, unit, span)


async def _through_passes(execution: FlowRunExecution, unit: Unit, span: RunSpan | None) -> None:
    try:
        upstream = upstream_states(unit, execution.units)
    except BaseException as error:  # what is mapped over is the user's, and so is its indexing
        await commit(execution, unit, Failed(f"Its inputs cannot be taken from the upstream results: {told(error)}", error))
        return
    state = unit.start if unit.start is not None else Pending()
    if unit.start is not None and not execution.single_pass:
        if state.is_scheduled() and not unit.version:  # given, and nobody knows of it so far who could let it go on
            await commit(execution, unit, state)
        state = await _due(execution, unit, state)
    while not await _expired(execution, unit, state):
        one = TaskPass(execution, unit, upstream)
        entered = state
        if span is not None:
            span.begin_pass(state)
        state = await one.run(state)
        if not (state.is_finished() or state.is_scheduled() or execution.single_pass):
            state = Failed(f"Task '{unit.label}' was left in state {state.name}, in which it does not go on by itself")
        if state is not entered or unit.state is None or execution.single_pass:  # a given state may be the end already
            await commit(execution, unit, state, one.record_of(state), one.name, one.cache_key)
        if state.is_finished() or execution.single_pass or (unit.state is not None and unit.state.is_finished()):
            return
        state = await _due(execution, unit, state)


async def _expired(execution: FlowRunExecution, unit: Unit, state: State) -> bool:
    """Whether a pause of `unit` was over, and has ended it in `state`; the handlers of the task have a say."""
    if not isinstance(unit.state or unit.start, Paused) or not state.is_finished():
        return False
    try:
        state = await execution.handlers_of(unit).see(Paused(), state)
    except EndRun as end:
        state = end.state
    await commit(execution, unit, state)
    return True


async def its_turn(execution: FlowRunExecution, unit: Unit, start: State) -> bool:
    """Whether a mapped task that begins in `start` becomes children, once its time has come; not asked in a single pass."""
    start_time = getattr(start, "start_time", None) or execution.clock.now()
    if isinstance(start, Paused) and unit.version and not execution.single_pass:  # by somebody, who lets it go on
        unit.start = await execution.resumed(unit, start)
        return True
    if execution.single_pass:
        upstream = (execution.units[edge.upstream_task].state for edge in unit.node.edges)
        return start_time <= execution.clock.now() and all(state is not None and state.is_finished() for state in upstream)
    await sleep_until(execution.clock, start_time)
    return True


async def _due(execution: FlowRunExecution, unit: Unit, state: State) -> State:
    """The state in which a task run that waits in `state` goes on."""
    start_time = getattr(state, "start_time", None)
    if isinstance(state, Paused):
        async with execution.place_given_up(unit):
            with idle():
                resumed = await execution.resumed(unit, state)
        resumed.context = {**state.context, **unit.answered, **resumed.context}  # it is the same attempt
        resumed.context.pop(PAUSE, None)
        return resumed
    if start_time is not None and start_time > execution.clock.now():
        async with execution.place_given_up(unit):
            with idle():
                await sleep_until(execution.clock, start_time)
    return state


async def commit(
    execution: FlowRunExecution,
    unit: Unit,
    state: State,
    result: ResultRecord | None = None,
    name: str | None = None,
    cache_key: str | None = None,
) -> None:
    """Propose `state` and return when it is committed; the unit is in it then. A large result is safe before."""
    if result is not None and execution.results.is_large(result):
        result = await execution.results.put_away(unit, result)
    while True:
        answer = execution.orchestrator.propose(proposal(execution, unit, state, result, name, cache_key))
        try:
            verdict = await answer
        except asyncio.CancelledError:  # it is decided all the same, and whoever goes on has to know
            _enter(execution, unit, state, await answer)
            raise
        if isinstance(verdict, Refuse) and verdict.code == "TAKEN":
            unit.take(verdict)
            continue
        if not isinstance(verdict, Refuse) or verdict.version is None or execution.is_stopping():
            break
        # Somebody else has set a state of it, who does not execute it.
        if verdict.code == "FINISHED" and await _has_ended(execution, unit):
            return
        if verdict.code not in ("FINISHED", "VERSION_CONFLICT"):
            break
        unit.version = verdict.version  # what is done counts
    _enter(execution, unit, state, verdict)


async def _has_ended(execution: FlowRunExecution, unit: Unit) -> bool:
    """Whether the record holds a final state of `unit` that can be gone on with; it is in that state then."""
    recorded = Recorded(await execution.reader.task_runs(execution.flow_run_id))
    if await recorded.fetch_and_restore(unit, execution.results):
        return True
    unit.restart = True
    return False


def _enter(execution: FlowRunExecution, unit: Unit, state: State, verdict: Verdict) -> None:
    execution.obey(verdict)
    unit.version += 1
    unit.restart = False
    unit.state = state


def proposal(
    execution: FlowRunExecution,
    unit: Unit,
    state: State,
    result: ResultRecord | None,
    name: str | None = None,
    cache_key: str | None = None,
    *,
    waits: bool = False,
) -> TaskRunProposal:
    """That `unit` is to enter `state`, with what belongs to it."""
    record = record_state(state, new_id(), execution.clock.micros())
    return TaskRunProposal(
        unit.run_id,
        execution.flow_run_id,
        unit.node.task_id,
        unit.index,
        record,
        None if isinstance(state, Cancelled) else unit.version,  # it is to end, whatever somebody made of it meanwhile
        execution.lease,
        name,
        result,
        unit.restart,
        cache_key,
        waits,
    )
