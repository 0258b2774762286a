"""News of runs from a running server, for a bus of this process."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import datetime

import msgspec

from prefectlite.client.http import Client
from prefectlite.clock import to_micros
from prefectlite.errors import ApiError, ServerUnreachable
from prefectlite.kept import kept
from prefectlite.live.bus import Bus
from prefectlite.live.events import StateChange
from prefectlite.orchestrator.persistence import Outage
from prefectlite.records import StateRecord

#: Seconds until it is tried again to reach a server, longer each time.
DELAYS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
_CHANGES = """
subscription ($run: uuid) { state_changes(flow_run_id: $run) {
    seq kind flow_run_id task_run_id task_id map_index version state message timestamp
} }
"""
_logger = logging.getLogger("prefectlite.agent")


class _Change(msgspec.Struct, frozen=True):
    seq: int
    kind: str
    flow_run_id: str
    task_run_id: str | None
    task_id: str | None
    map_index: int | None
    version: int
    state: str
    message: str | None
    timestamp: datetime

    def event(self) -> StateChange:
        state = StateRecord("", self.state, to_micros(self.timestamp), self.message)
        where = (self.flow_run_id, self.task_run_id, self.task_id, self.map_index)
        return StateChange(self.seq, self.kind, *where, self.version, state)


class RunNews:
    """Hands the states of all flow runs at the server to `bus`, and those of the task runs of the runs that are followed.

    What happens while there is no connection is not told afterwards: who wants to know it looks at the record.
    """

    def __init__(self, client: Client, bus: Bus) -> None:
        self._client, self._bus = client, bus

    async def run(self) -> None:
        """Listen to the states of all flow runs, until cancelled."""
        await self._listen(None)

    @asynccontextmanager
    async def following(self, flow_run_id: str) -> AsyncIterator[None]:
        """In this block, the bus has the states of this run's task runs."""
        listening = kept(asyncio.create_task(self._listen(flow_run_id)))
        try:
            yield
        finally:
            listening.cancel()
            await asyncio.wait([listening])

    async def _listen(self, flow_run_id: str | None) -> None:
        """A connection that is lost is made again."""
        outage = Outage("News of runs")
        for delay in itertools.chain(DELAYS, itertools.repeat(DELAYS[-1])):
            try:
                async with aclosing(self._client.subscribe(_CHANGES, run=flow_run_id)) as news:
                    async for data in news:
                        self._bus.publish([msgspec.convert(data["state_changes"], _Change).event()])
                        outage.is_over()
            except ServerUnreachable as error:
                outage.goes_on(error)
            except ApiError as error:
                _logger.warning("%s: it is asked again in %s s", error, delay)
            await asyncio.sleep(delay)
