"""One task run from its upstream states to its final state."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from prefectlite.clock import sleep_until, to_micros
from prefectlite.contexts import enter_values
from prefectlite.engine.calling import Outcome
from prefectlite.engine.expansion import SKIP_MESSAGE
from prefectlite.engine.run_logs import stdout_logged
from prefectlite.engine.units import Unit, inputs, upstream_states
from prefectlite.ids import new_id
from prefectlite.records import ResultRecord, record_state
from prefectlite.rules.proposals import TaskRunProposal, Verdict
from prefectlite.signals import StateSignal
from prefectlite.states import Failed, Retrying, Running, Skipped, State, TriggerFailed

if TYPE_CHECKING:
    from prefectlite.engine.flow_run import FlowRunExecution


async def run_unit(execution: FlowRunExecution, unit: Unit) -> None:
    """Take `unit` to its final state and commit it, attempt by attempt."""
    try:
        states = upstream_states(unit, execution.units)
    except Exception as error:  # what is mapped over is the user's, and so is its indexing
        await commit(
            execution, unit, Failed(f"Its inputs cannot be taken from the upstream results: {error!r}", error), None
        )
        return
    outcome = _not_run(unit, states)
    waiting = unit.recorded if isinstance(unit.recorded, Retrying) else None
    while outcome is None:
        if waiting is not None and waiting.start_time is not None:
            with execution.place_given_up():
                await sleep_until(execution.clock, waiting.start_time)
        outcome = await _attempt(execution, unit, inputs(unit, states))
        waiting = _retry(execution, unit, outcome.state)
        if waiting is not None:
            await commit(execution, unit, waiting, None)
            unit.attempt += 1
            outcome = None
    await commit(execution, unit, outcome.state, outcome.result)


def _not_run(unit: Unit, states: dict[Any, State]) -> Outcome | None:
    """The outcome of a task that its upstreams keep from running; None when it is to run."""
    task = unit.node.task
    if not states:
        return None
    if task.skip_on_upstream_skip and any(_is_skipped(state) for state in states.values()):
        return Outcome(Skipped(SKIP_MESSAGE), None)
    try:
        if not task.trigger(states):
            return Outcome(TriggerFailed("Trigger failed"), None)
    except StateSignal as signal:
        return Outcome(signal.state, None)
    except BaseException as error:
        return Outcome(TriggerFailed(f"Unexpected error while checking task trigger: {error!r}", error), None)
    return None


def _is_skipped(state: State) -> bool:
    if state.is_mapped():
        return any(child is not None and child.is_skipped() for child in state.map_states)  # type: ignore[attr-defined]
    return state.is_skipped()


async def _attempt(execution: FlowRunExecution, unit: Unit, arguments: dict[str, Any]) -> Outcome:
    task = unit.node.task
    values = {
        **execution.values,
        "task_name": task.name,
        "task_full_name": unit.label,
        "task_slug": unit.node.slug,
        "task_id": unit.node.task_id,
        "task_run_id": unit.run_id,
        "task_run_count": unit.attempt,
        "map_index": unit.index if unit.index >= 0 else None,
    }
    enter_values(values)
    # A task that kills its process must not begin at its first attempt again and again.
    remembered = {"task_run_count": unit.attempt} if unit.attempt > 1 else None
    note(execution, unit, Running("Starting task run.", context=remembered))
    with stdout_logged() if task.log_stdout else nullcontext():
        return await execution.caller.call(unit, arguments, execution.is_stopping)


def _retry(execution: FlowRunExecution, unit: Unit, state: State) -> Retrying | None:
    """The state in which a failed attempt waits for the next one; None when there is none."""
    task, attempt = unit.node.task, unit.attempt
    if isinstance(state, Retrying):  # the RETRY signal
        return Retrying(state.message, start_time=state.start_time, run_count=attempt)
    if not isinstance(state, Failed) or isinstance(state, TriggerFailed) or attempt > task.max_retries:
        return None
    if task.retry_on and not isinstance(state.result, tuple(task.retry_on)):
        return None
    due = execution.clock.now() + task.delay_after(attempt)
    message = f"Retrying Task (after attempt {attempt} of {task.max_retries + 1}): {state.message}"
    return Retrying(message, start_time=due, run_count=attempt)


def note(execution: FlowRunExecution, unit: Unit, state: State) -> None:
    """Propose a state that nobody waits for."""
    execution.orchestrator.note(_proposal(execution, unit, state, None))
    unit.version += 1
    unit.restart = False


async def commit(execution: FlowRunExecution, unit: Unit, state: State, result: ResultRecord | None) -> None:
    """Propose `state` and return when it is committed; the unit is in it then."""
    answer = execution.orchestrator.propose(_proposal(execution, unit, state, result))
    try:
        verdict = await answer
    except asyncio.CancelledError:  # it is decided all the same, and whoever goes on has to know
        _enter(execution, unit, state, await answer)
        raise
    _enter(execution, unit, state, verdict)


def _enter(execution: FlowRunExecution, unit: Unit, state: State, verdict: Verdict) -> None:
    execution.obey(verdict)
    unit.version += 1
    unit.restart = False
    unit.state = state


def _proposal(execution: FlowRunExecution, unit: Unit, state: State, result: ResultRecord | None) -> TaskRunProposal:
    record = record_state(state, new_id(), to_micros(execution.clock.now()))
    return TaskRunProposal(
        unit.run_id,
        execution.flow_run_id,
        unit.node.task_id,
        unit.index,
        record,
        unit.version,
        execution.lease,
        result=result,
        restart=unit.restart,
    )
