"""What an earlier execution of the same run left in the record, and what of it can be used again."""

from __future__ import annotations

from collections.abc import Sequence

from prefectlite.engine.units import Unit
from prefectlite.errors import SerializationError
from prefectlite.records import TaskRunRow, restore_state
from prefectlite.results import codec
from prefectlite.states import Failed, Mapped, Retrying, State


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
        if not state.is_finished() or isinstance(state, Mapped):
            # A Retrying state remembers the attempt that failed, and made inside of a task in its context as well.
            unit.attempt = state.run_count + 1 if isinstance(state, Retrying) else state.context.get("task_run_count") or 1
            unit.recorded = state
            return False
        try:
            state.result = None if row.result is None else codec.decode(row.result)
        except SerializationError:
            if not isinstance(state, Failed):
                unit.restart = True
                return False
        unit.state = state
        return True


def expanded_as(unit: Unit, state: State) -> bool:
    """Whether the record holds this expansion of a mapped task already; if it holds another one, that is left."""
    recorded = unit.recorded
    unit.restart = unit.restart or isinstance(recorded, Mapped)
    return isinstance(recorded, Mapped) and isinstance(state, Mapped) and recorded.n_map_states == state.n_map_states
