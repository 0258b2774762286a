"""What a FlowRun does inside its session: one run of a flow, or one after another on its schedule."""

from __future__ import annotations

import builtins
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from prefectlite.clock import sleep_until
from prefectlite.errors import FlowError
from prefectlite.flow_call import RunCall
from prefectlite.session import Session
from prefectlite.states import Cancelled, State

if TYPE_CHECKING:
    from prefectlite.flow_run import FlowRun
    from prefectlite.schedules import ClockEvent, Schedule

Work = Callable[["FlowRun", Session], Coroutine[Any, Any, State]]
_logger = logging.getLogger("prefectlite.FlowRunner")


def once(call: RunCall) -> Work:
    """The work of running the flow once."""

    async def work(handle: FlowRun, session: Session) -> State:
        if call.state is not None and call.state.is_finished():  # nothing is left to be done
            return call.state
        return await _run(call, handle, session)

    return work


def on_schedule(call: RunCall, schedule: Schedule) -> Work:
    """The work of running the flow at every moment of its schedule, until there are no more; the last run's state."""

    async def work(handle: FlowRun, session: Session) -> State:
        event = next_event(schedule, call.flow.name, session.clock.now())
        while True:
            one = msgspec.structs.replace(
                call, start_time=event.start_time, parameters={**call.parameters, **(event.parameter_defaults or {})}
            )
            _logger.info("Waiting for next scheduled run at %s", event.start_time)
            await sleep_until(session.clock, event.start_time)
            state = await _run(one, handle, session)
            later = schedule.next(1, after=session.clock.now(), return_events=True)
            if not later or handle.cancel_requested:
                return state
            event = later[0]

    return work


def next_event(schedule: Schedule, flow_name: str, after: datetime) -> ClockEvent:
    """The next event of `schedule`, later than `after`. Raises FlowError if there is none."""
    events = schedule.next(1, after=after, return_events=True)
    if not events:
        raise FlowError(f"Flow has no more scheduled runs. ({flow_name!r})")
    return events[0]


async def _run(call: RunCall, handle: FlowRun, session: Session) -> State:
    run, row = await session.create(
        call.flow,
        call.parameters,
        name=call.name,
        context=call.context,
        run_id=call.run_id,
        scheduled_start_time=call.start_time,
    )
    if not handle.entered(run.id):
        await session.client.cancel_flow_run(run.id)
        return Cancelled("Flow run was cancelled before it ran", {})
    if call.start_time is not None:
        await sleep_until(session.clock, call.start_time)
    options = msgspec.structs.replace(call.options, prompt=_ask) if handle.is_blocking else call.options
    return await session.execute(call.flow, row, run, call.parameters, {**call.surroundings, **call.context}, options)


def _ask(question: str) -> str:
    return builtins.input(question)
