"""How calls of user code end: as states, with their results where the user wants them and in the form the record keeps."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple

from prefectlite.engine.targets import template_values, written
from prefectlite.engine.units import Unit
from prefectlite.errors import SerializationError
from prefectlite.records import ResultRecord
from prefectlite.results import codec
from prefectlite.settings import Settings
from prefectlite.signals import ENDRUN, LOOP, OF_STATE, StateSignal
from prefectlite.states import Failed, State, Success

_logger = logging.getLogger("prefectlite.TaskRunner")


class Call(NamedTuple):
    """What is called: a task's code with its arguments, under the values of `prefectlite.context`."""

    unit: Unit
    arguments: dict[str, Any]
    values: dict[str, Any]
    flow_result: Any
    stopping: Callable[[], bool]  # whether the run is being stopped: what the code waits for may hear of it first


class Outcome(NamedTuple):
    """How a call ended, and its result as the record will keep it (None: nothing to keep)."""

    state: State
    result: ResultRecord | None
    ends: bool = False  # nothing may change it any more


class Outcomes:
    """Makes outcomes of what calls return or raise. May be used in worker threads, and should be where values are large."""

    def __init__(self, settings: Settings) -> None:
        self._limit, self._checkpointing = settings.max_result_bytes, settings.checkpointing

    def returned(self, call: Call, value: Any) -> Outcome:
        """The outcome of a call that returned `value`."""
        return self._written_down(call, Success("Task run succeeded.", value))

    def raised(self, call: Call, error: BaseException) -> Outcome:
        """The outcome of a call that raised `error`."""
        if isinstance(error, ENDRUN):
            return Outcome(error.state, None, ends=True)
        if not isinstance(error, StateSignal):
            return self._failure(call, error)
        _logger.info("Task '%s': %s signal raised: %s", call.unit.label, type(error).__name__, error)
        has_value = error.state.has_result and error.state.result is not error
        if (isinstance(error.state, Success) and has_value) or isinstance(error, LOOP):
            return self._written_down(call, error.state)
        return Outcome(error.state, None)

    def is_quick(self, call: Call, value: Any) -> bool:
        """Whether writing `value` down takes so little time that it may happen on the event loop."""
        return codec.is_cheap(value) and not self._writes(call)

    def record(self, unit: Unit, value: Any) -> ResultRecord:
        """`value` as the record keeps it: absent where it cannot, or is not to, be written down."""
        if unit.node.task.checkpoint is False or inspect.iscoroutine(value):
            return codec.ABSENT
        try:
            return codec.encode(value, self._limit)
        except SerializationError as error:
            _logger.warning("Task '%s': its result stays in memory and is computed again on resume: %s", unit.label, error)
            return codec.ABSENT

    def record_of(self, unit: Unit, state: State) -> ResultRecord | None:
        """The result of a final state as the record keeps it, whoever made the state."""
        value = state.result
        if isinstance(value, StateSignal):
            return codec.SIGNAL if type(value) is OF_STATE.get(type(state)) else None
        return self._record_of_error(value) if isinstance(value, BaseException) else self.record(unit, value)

    def _writes(self, call: Call) -> bool:
        task = call.unit.node.task
        return self._checkpointing and task.checkpoint is not False and (task.result or call.flow_result) is not None

    def _written_down(self, call: Call, state: State) -> Outcome:
        value = state.result
        if self._writes(call) and not inspect.iscoroutine(value):
            try:
                fields = template_values(call.values, call.arguments)
                if location := written(call.unit.node.task, call.flow_result, value, fields):
                    state.context["result_location"] = location
            except Exception as error:
                _logger.exception("Task '%s': its result could not be written", call.unit.label)
                return Outcome(Failed(f"Unexpected error: {error!r}", error), self._record_of_error(error))
        return Outcome(state, self.record(call.unit, value))

    def _failure(self, call: Call, error: BaseException) -> Outcome:
        trace = (type(error), error, _users_part(error.__traceback__))
        _logger.error("Task '%s': Exception encountered during task execution!", call.unit.label, exc_info=trace)
        return Outcome(Failed(f"Error during execution of task: {_shown(error)}", error), self._record_of_error(error))

    def _record_of_error(self, error: BaseException) -> ResultRecord | None:
        try:
            return codec.encode(error, self._limit)
        except SerializationError:
            return None


def _users_part(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame on that is not the engine's own; None where there is no such frame."""
    part = trace
    while part is not None and part.tb_frame.f_globals.get("__name__", "").startswith(_OURS):
        part = part.tb_next
    return part


def _shown(error: BaseException) -> str:
    try:
        return repr(error)
    except Exception:
        return f"{type(error).__name__} (its repr raises)"


_OURS = ("prefectlite.engine.", "prefectlite.executors.")
