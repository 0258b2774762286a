"""Results too large for the record: put into the result store before the state that names them is proposed."""

from __future__ import annotations

import logging
import sys
from typing import Any

from prefectlite.engine.units import Unit
from prefectlite.errors import SerializationError
from prefectlite.orchestrator.protocols import ResultStore
from prefectlite.records import ResultRecord
from prefectlite.results import codec
from prefectlite.settings import Settings
from prefectlite.shown import told

_logger = logging.getLogger("prefectlite.TaskRunner")


class LargeResults:
    """Results on their way to the result store and back. Without a store, all of them stay in the record."""

    def __init__(self, store: ResultStore | None, settings: Settings) -> None:
        self._store, self._settings = store, settings
        self._most_inline = sys.maxsize if store is None else settings.inline_result_bytes

    def of_run(self, flow_run_id: str, lease: int) -> LargeResults:
        """As the execution of this run uses them."""
        return LargeResults(None if self._store is None else self._store.of_run(flow_run_id, lease), self._settings)

    def is_large(self, result: ResultRecord) -> bool:
        """Whether `result` is too large for the record."""
        return result.data is not None and len(result.data) > self._most_inline

    async def kept(self, unit: Unit, result: ResultRecord) -> ResultRecord:
        """`result` as the record keeps it: put away first, where it is large."""
        return await self.put_away(unit, result) if self.is_large(result) else result

    async def put_away(self, unit: Unit, result: ResultRecord) -> ResultRecord:
        """What the record keeps of a large result of `unit`: where it is, or that it is absent if it cannot be written."""
        assert self._store is not None
        try:
            return await self._store.put(result)
        except Exception as error:  # a full disk, a store that is out of reach: each kind has its own
            _logger.warning(
                "Task '%s': its result stays in memory and is computed again on resume, because it cannot be written (%s):"
                " make room or see to the place for results, or set result_store_url to another one",
                unit.label,
                told(error),
            )
            return codec.ABSENT

    async def value(self, result: ResultRecord) -> Any:
        """The value of `result`, wherever it is. Raises SerializationError if it cannot be had."""
        if not result.is_elsewhere:
            return codec.decode(result)
        if self._store is None:
            raise SerializationError("it lies in a result store, and there is none now: set result_store_url as it was")
        return await self._store.value(result)
