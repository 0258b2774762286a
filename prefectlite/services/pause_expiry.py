"""Ends the pauses of flow runs that nobody resumed in time, as each pause says: the run fails, is cancelled, or goes on."""

from __future__ import annotations

import asyncio
import heapq
import logging

from prefectlite.errors import NotFound
from prefectlite.live.events import ALL_FLOW_RUNS, StateChange
from prefectlite.pauses import pause_of
from prefectlite.records import StateRecord
from prefectlite.repository.paused_runs import paused_flow_runs
from prefectlite.services.alarm import Alarm
from prefectlite.session import Session

_logger = logging.getLogger("prefectlite.scheduler")


class PauseExpiry:
    """Comes back when the first pause is over; while nothing is paused it asks nothing of the record."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._alarm = Alarm(session.clock)
        self._ends: list[tuple[int, str]] = []

    async def run(self) -> None:
        """End pauses, until cancelled."""
        with self._session.bus.subscribe(ALL_FLOW_RUNS) as subscription:
            await self._look()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._end_them())
                async for event in subscription:
                    if isinstance(event, StateChange):
                        self._hear(event.flow_run_id, event.state)
                    if subscription.take_lagged():
                        await self._look()

    async def _look(self) -> None:
        for run_id, _, state in await paused_flow_runs(self._session.database):
            self._hear(run_id, state)

    def _hear(self, run_id: str, state: StateRecord) -> None:
        if state.name == "Paused" and (end := pause_of(state).end) is not None:
            heapq.heappush(self._ends, (end, run_id))
            self._alarm.earlier(end)

    async def _end_them(self) -> None:
        while True:
            while self._ends and self._ends[0][0] <= self._session.clock.micros():
                await self._end(heapq.heappop(self._ends)[1])  # if it fails, this begins anew and looks at all of them
            self._alarm.moment = self._ends[0][0] if self._ends else None
            await self._alarm.wait()

    async def _end(self, run_id: str) -> None:
        try:
            later = await self._session.client.pauses.expire(run_id)
        except NotFound:
            return  # it was deleted
        if later is None:
            _logger.info("the pause of flow run %s is over", run_id)
