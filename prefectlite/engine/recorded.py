"""What an earlier execution of a run left in the record, and what of it is gone by."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from prefectlite.engine.large_results import LargeResults
from prefectlite.engine.units import Unit
from prefectlite.errors import SerializationError
from prefectlite.records import TaskRunRow, restore_state
from prefectlite.results import codec
from prefectlite.signals import signal_from_state
from prefectlite.state import NO_RESULT
from prefectlite.states import Failed, Mapped, Pending, Queued, Running, State

_logger = logging.getLogger("prefectlite.TaskRunner")


class Recorded:
    """The task runs of a run that is taken up again, by task and map index."""

    def __init__(self, rows: Sequence[TaskRunRow]) -> None:
        self._rows = {(row.task_id, row.map_index): row for row in rows}
        self._elsewhere = {place for place, row in self._rows.items() if row.result is not None and row.result.is_elsewhere}
        self._fetched: dict[tuple[str, int], Any] = {}  # values from the result store, and errors in place of lost ones

    def is_elsewhere(self, unit: Unit) -> bool:
        """Whether the result of `unit` lies in the result store, and has to be fetched before it can be restored."""
        return bool(self._elsewhere) and (unit.node.task_id, unit.index) in self._elsewhere

    async def fetch(self, unit: Unit, results: LargeResults) -> None:
        """Fetch the result of `unit` for `restore`. What cannot be had is warned of, and then as if it were not recorded."""
        place = (unit.node.task_id, unit.index)
        row = self._rows[place]
        assert row.result is not None
        try:
            self._fetched[place] = await results.value(row.result)
        except SerializationError as error:
            self._fetched[place] = _Lost(error)
            again = " The task runs again" if row.state.name != "Failed" else ""
            _logger.warning("Task '%s': its recorded result cannot be used: %s.%s", unit.label, error, again)
        self._elsewhere.discard(place)

    def has(self, unit: Unit) -> bool:
        """Whether there is something about `unit` that it does not know yet."""
        return bool(self._rows) and (unit.node.task_id, unit.index) in self._rows

    async def fetch_and_restore(self, unit: Unit, results: LargeResults) -> bool:
        """As `restore`, wherever its result lies."""
        if self.is_elsewhere(unit):
            await self.fetch(unit, results)
        return self.restore(unit)

    def restore(self, unit: Unit) -> bool:
        """Whether the record holds how `unit` ended; it is in that state then. Otherwise it goes on with its old row."""
        row = self._rows.pop((unit.node.task_id, unit.index), None) if self._rows else None
        if row is None:
            return False
        unit.run_id, unit.version = row.id, row.version
        state = restore_state(row.state)
        try:
            state.result = self._value(row, state)
        except SerializationError:
            if state.is_finished() and not isinstance(state, Failed | Mapped):
                unit.restart = True
                return False
            state.context.pop("_loop_count", None)  # what the last round gave is lost: the first one comes again
        if isinstance(state, Mapped):
            unit.start = state
            return False
        if unit.node.is_resource:  # what it set up was in the process that is gone
            unit.restart = state.is_finished()
            return False
        if not state.is_finished():
            # It was executing when its process went away: this is the same attempt, again.
            unit.start = (
                Pending(state.message, _loop_result(state), context=state.context)
                if isinstance(state, Running | Queued)
                else state
            )
            return False
        unit.state = state
        return True

    def _value(self, row: TaskRunRow, state: State) -> Any:
        if row.result is not None and row.result.is_elsewhere:
            value = self._fetched.pop((row.task_id, row.map_index))
            if isinstance(value, _Lost):
                raise value.error
            return value
        if row.result == codec.SIGNAL:
            return signal_from_state(state)(state.message)
        return None if row.result is None else codec.decode(row.result)


def news_of(units: Iterable[Unit], rows: Sequence[TaskRunRow]) -> Recorded:
    """What somebody else has written of task runs, as far as these units, and their children, do not know it."""
    known = {(one.node.task_id, one.index): one for unit in units for one in (unit, *(unit.children or ()))}

    def is_news(row: TaskRunRow) -> bool:
        unit = known.get((row.task_id, row.map_index))
        return unit is None or row.id != unit.run_id or row.version > unit.version

    return Recorded([row for row in rows if is_news(row)])


class _Lost(NamedTuple):
    error: SerializationError


def expanded_as(unit: Unit, state: State) -> bool:
    """Whether the record holds this expansion of a mapped task already; if it holds another one, that is left."""
    recorded = unit.start if unit.version else None
    unit.restart = unit.restart or isinstance(recorded, Mapped)
    return isinstance(recorded, Mapped) and isinstance(state, Mapped) and recorded.n_map_states == state.n_map_states


def _loop_result(state: State) -> Any:
    return state.result if "_loop_count" in state.context else NO_RESULT
