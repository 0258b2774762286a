"""Marks runs as late that nobody has begun a while after they were due: `is_late` in the API. Their state stays as it is."""

from __future__ import annotations

import asyncio
import functools
import logging

from prefectlite.live.events import ALL_FLOW_RUNS, StateChange
from prefectlite.repository import late_runs
from prefectlite.services.alarm import Alarm
from prefectlite.session import Session

_logger = logging.getLogger("prefectlite.scheduler")


class LateRuns:
    """Comes back when the first of the runs that wait would be late; until then it asks nothing of the record."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._patience = round(session.settings.late_after_seconds * 1_000_000)
        self._alarm = Alarm(session.clock)

    async def run(self) -> None:
        """Mark runs, until cancelled."""
        with self._session.bus.subscribe(ALL_FLOW_RUNS) as subscription:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._mark())
                async for event in subscription:
                    if isinstance(event, StateChange) and event.state.name == "Scheduled":
                        due = event.state.start_time or event.state.timestamp
                        self._alarm.earlier(due + self._patience)
                    if subscription.take_lagged():
                        self._alarm.earlier(self._session.clock.micros())

    async def _mark(self) -> None:
        while True:
            if self._alarm.moment is None or self._alarm.moment <= self._session.clock.micros():
                self._alarm.moment = None  # what is heard of from here on counts, too
                await self.look()
            await self._alarm.wait()

    async def look(self) -> int:
        """Mark what is late now; how many runs that is."""
        count = 0
        while found := await late_runs.overdue(self._session.database, self._session.clock.micros() - self._patience):
            await self._session.database.write(functools.partial(late_runs.mark, runs=found))
            count += len(found)
        if count:
            _logger.warning("%s flow run(s) are late: no agent has begun them", count)
        due = await late_runs.next_due(self._session.database)
        if due is not None:
            self._alarm.earlier(due + self._patience)
        return count
