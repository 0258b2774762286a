"""How calls of user code end: as states, with their results where the user wants them and in the form the record keeps."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import CoroutineType, TracebackType
from typing import Any

import msgspec

from prefectlite.contexts import active_mask
from prefectlite.engine.targets import result_of, template_values, written
from prefectlite.engine.units import Unit
from prefectlite.errors import SerializationError
from prefectlite.executors.threads import Interrupted, OwnThread
from prefectlite.masks import Mask
from prefectlite.records import ResultRecord
from prefectlite.results import codec
from prefectlite.settings import Settings
from prefectlite.shown import told
from prefectlite.signals import ENDRUN, LOOP, OF_STATE, SUCCESS, StateSignal
from prefectlite.states import Failed, State, Success

_logger = logging.getLogger("prefectlite.TaskRunner")


class Call(msgspec.Struct, frozen=True):
    """What is called: a task's code with its arguments, under the values of `prefectlite.context`."""

    unit: Unit
    arguments: dict[str, Any]
    values: dict[str, Any]
    flow_result: Any
    stopping: Callable[[], bool]  # whether the run is being stopped: what the code waits for may hear of it first
    thread: OwnThread | None  # the one that it has to be called in, if any


class Outcome(msgspec.Struct, frozen=True):
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
        if isinstance(error, LOOP):
            return self._written_down(call, error.state)
        _logger.info("Task '%s': %s signal raised: %r", call.unit.label, type(error).__name__, error)
        if not isinstance(error.state, Success) or not error.state.has_result or error.state.result is error:
            return Outcome(error.state, None)
        if isinstance(error, SUCCESS):
            return self._written_down(call, error.state)
        return Outcome(error.state, self.record(call.unit, error.state.result))

    def is_quick(self, call: Call, value: Any) -> bool:
        """Whether writing `value` down takes so little time that it may happen on the event loop."""
        return codec.is_cheap(value) and not self._writes(call)

    def record(self, unit: Unit, value: Any) -> ResultRecord:
        """`value` as the record keeps it: absent where it cannot, or is not to, be written down."""
        if unit.node.task.checkpoint is False or isinstance(value, CoroutineType):
            return codec.ABSENT
        try:
            return _without_secrets(unit, codec.encode(value, self._limit))
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
        if (task.result is None and call.flow_result is None) or not self._checkpointing or task.checkpoint is False:
            return False
        return result_of(task, call.flow_result) is not None

    def _written_down(self, call: Call, state: State) -> Outcome:
        value = state.result
        if self._writes(call) and not isinstance(value, CoroutineType):
            try:
                fields = template_values(call.values, call.arguments)
                if location := written(call.unit.node.task, call.flow_result, value, fields):
                    state.context["result_location"] = location
            except ENDRUN as end:
                return Outcome(end.state, None, ends=True)
            except StateSignal as signal:
                return Outcome(signal.state, None)
            except Interrupted:
                raise
            except BaseException as error:  # a location that exits must not take the process with it
                _logger.exception("Task '%s': its result could not be written: see to its `result`", call.unit.label)
                return Outcome(Failed(f"Unexpected error: {told(error)}", error), self._record_of_error(error))
        return Outcome(state, self.record(call.unit, value))

    def _failure(self, call: Call, error: BaseException) -> Outcome:
        trace = (type(error), error, users_part(error.__traceback__))
        _logger.error("Task '%s': Exception encountered during task execution!", call.unit.label, exc_info=trace)
        message = f"Error during execution of task: {told(error)}{_hint(error)}"
        return Outcome(Failed(message, error), self._record_of_error(error))

    def _record_of_error(self, error: BaseException) -> ResultRecord | None:
        try:
            record = codec.encode(error, self._limit)
        except SerializationError:
            return None
        return None if _has_secrets(record) else record


def _without_secrets(unit: Unit, record: ResultRecord) -> ResultRecord:
    if not _has_secrets(record):
        return record
    _logger.warning(
        "Task '%s': its result has a secret in it, so that it stays in memory and is computed again on resume", unit.label
    )
    return codec.ABSENT


def _has_secrets(record: ResultRecord) -> bool:
    mask: Mask | None = active_mask.get()
    return mask is not None and record.data is not None and mask.is_in(record.data)


def users_part(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame on that is not the engine's own; None where there is no such frame."""
    part = trace
    while part is not None and part.tb_frame.f_globals.get("__name__", "").startswith(_OURS):
        part = part.tb_next
    return part


def _hint(error: BaseException) -> str:
    """What to do, for errors that tasks run into because they run on an event loop."""
    return _HINTS.get(str(error), "") if type(error) is RuntimeError else ""


_HINTS = dict.fromkeys(
    (
        "asyncio.run() cannot be called from a running event loop",
        "This event loop is already running",
        "Cannot run the event loop while another loop is running",
    ),
    ". The task runs on an event loop: `await` the coroutine, or write the task as a plain function, which runs in a thread",
) | {"Cannot close a running event loop": ". The event loop belongs to everything that runs on it: leave it open"}
_OURS = ("prefectlite.engine.", "prefectlite.executors.")
