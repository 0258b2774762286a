"""How a flow run ends, given how its tasks did."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from prefectlite.engine.pass_around import raise_if_wanted
from prefectlite.shown import told
from prefectlite.signals import ENDRUN, StateSignal
from prefectlite.states import Failed, Mapped, Running, State, Success

if TYPE_CHECKING:
    from prefectlite.engine.flow_run import FlowRunExecution

_logger = logging.getLogger("prefectlite.FlowRunner")


def final_state(terminal: Iterable[State], reference: Iterable[State]) -> State:
    """The state of a flow run whose terminal and reference tasks are in these states; Running where not all have ended."""
    if not all(state.is_finished() for state in _each(terminal)):
        _logger.info("Flow run RUNNING: terminal tasks are incomplete.")
        return Running("Flow run is not finished: terminal tasks are incomplete.")
    states = _each(reference)
    if any(state.is_failed() for state in states):
        _logger.info("Flow run FAILED: some reference tasks failed.")
        return Failed("Some reference tasks failed.")
    if all(state.is_successful() for state in states):
        _logger.info("Flow run SUCCESS: all reference tasks succeeded")
        return Success("All reference tasks succeeded.")
    _logger.info("Flow run SUCCESS: no reference tasks failed")
    return Success("No reference tasks failed.")


async def as_handled(execution: FlowRunExecution, state: State, reference: set[State]) -> State:
    """`state`, which ended a flow run, or what the flow's terminal state handler makes of it."""
    graph = execution.graph
    if graph.terminal_state_handler is None or not state.is_finished():
        return state
    try:
        answer = await execution.caller.aside(graph.terminal_state_handler, graph, state, reference)
        if answer and not isinstance(answer, State):
            raise TypeError(f"the terminal state handler of flow {graph.name!r} must return a State or None, not {answer!r}")
    except (StateSignal, ENDRUN) as signal:
        return signal.state
    except (asyncio.CancelledError, GeneratorExit):
        raise
    except BaseException as error:  # a handler that exits must not take the process with it
        _logger.error("The terminal state handler of flow %r raised", graph.name, exc_info=error)
        raise_if_wanted(execution, error)
        return Failed(f"Unexpected error: {told(error)}", error)
    return answer if isinstance(answer, State) else state


def _each(states: Iterable[State]) -> list[State]:
    """These states, with the children of mapped ones in their place."""
    return [
        one
        for state in states
        for one in ([child for child in state.map_states if child is not None] if isinstance(state, Mapped) else [state])
    ]
