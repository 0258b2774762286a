"""What an earlier execution of a run left in the record, and what of it is gone by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefectlite.engine.units import Unit
from prefectlite.errors import SerializationError
from prefectlite.records import TaskRunRow, restore_state
from prefectlite.results import codec
from prefectlite.signals import signal_from_state
from prefectlite.state import NO_RESULT
from prefectlite.states import Failed, Mapped, Pending, Running, State


class Recorded:
    """The task runs of a run that is taken up again, by task and map index."""

    def __init__(self, rows: Sequence[TaskRunRow]) -> None:
        self._rows = {(row.task_id, row.map_index): row for row in rows}

    def restore(self, unit: Unit) -> bool:
        """Whether the record holds how `unit` ended; it is in that state then. Otherwise it goes on with its old row."""
        row = self._rows.pop((unit.node.task_id, unit.index), None) if self._rows else None
        if row is None:
            return False
        unit.run_id, unit.version = row.id, row.version
        state = restore_state(row.state)
        try:
            state.result = _value(row, state)
        except SerializationError:
            if state.is_finished() and not isinstance(state, Failed | Mapped):
                unit.restart = True
                return False
        if isinstance(state, Mapped):
            unit.start = state
            return False
        if unit.node.is_resource:  # what it set up was in the process that is gone
            unit.restart = state.is_finished()
            return False
        if not state.is_finished():
            # It was executing when its process went away: this is the same attempt, again.
            unit.start = (
                Pending(state.message, _loop_result(state), context=state.context) if isinstance(state, Running) else state
            )
            return False
        unit.state = state
        return True


def expanded_as(unit: Unit, state: State) -> bool:
    """Whether the record holds this expansion of a mapped task already; if it holds another one, that is left."""
    recorded = unit.start if unit.version else None
    unit.restart = unit.restart or isinstance(recorded, Mapped)
    return isinstance(recorded, Mapped) and isinstance(state, Mapped) and recorded.n_map_states == state.n_map_states


def _value(row: TaskRunRow, state: State) -> Any:
    if row.result == codec.SIGNAL:
        return signal_from_state(state)(state.message)
    return None if row.result is None else codec.decode(row.result)


def _loop_result(state: State) -> Any:
    return state.result if "_loop_count" in state.context else NO_RESULT
