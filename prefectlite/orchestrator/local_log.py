"""The run log in front of a local database."""

from __future__ import annotations

import asyncio
import logging

from prefectlite.live.bus import Bus
from prefectlite.live.events import LogLine
from prefectlite.orchestrator.gathered_log import GatheredLog
from prefectlite.orchestrator.persistence import Outage, written
from prefectlite.records import LogRow
from prefectlite.repository.database import Database, Transaction
from prefectlite.repository.logs import append_lines, index_some, line_number

#: When no line has come for so many seconds, some of those written are put into the index of words; where lines keep coming,
#: after so many. A search does the rest.
IDLE, PATIENCE = 0.2, 5.0

_logger = logging.getLogger("prefectlite.log")


class LocalRunLog(GatheredLog):
    """A RunLog over a database of this process, whose thread writes the lines."""

    def __init__(self, database: Database, bus: Bus) -> None:
        super().__init__()
        self._database, self._bus = database, bus
        self._to_index = False  # whether lines were written since the index was full
        self._indexed_at = self._loop.time()
        self._outage = Outage("Log lines")

    async def _arrival(self) -> bool:
        """Whether lines have come; else it is quiet, and some of the old ones are in the index now."""
        try:
            async with asyncio.timeout(IDLE if self._to_index else None):
                await self._arrived.wait()
        except TimeoutError:
            await self._index()
            return False
        self._arrived.clear()
        if self._to_index and not self._closed and self._loop.time() > self._indexed_at + PATIENCE:
            await self._index()
        return True

    async def _index(self) -> None:
        self._indexed_at = self._loop.time()
        try:
            self._to_index = await self._database.write(index_some)
        except Exception as error:  # whatever it is, the next search does it or says so
            self._to_index = False
            _logger.debug("log lines are not in the index of words yet: %s", error)

    async def _keep(self, batch: list[LogRow], *, again: bool) -> None:
        tried = again

        async def work(tx: Transaction) -> int:
            nonlocal tried
            if tried and (first := await line_number(tx, batch[0])) is not None:
                return first  # it was committed, and the answer was lost
            tried = True
            return await append_lines(tx, batch)

        first = await written(self._database, work, self._outage)
        self._to_index = True
        heard = {run_id for run_id in {line.flow_run_id for line in batch} if self._bus.has_listeners(("logs", run_id))}
        if heard:
            self._bus.publish(LogLine(first + n, line) for n, line in enumerate(batch) if line.flow_run_id in heard)
