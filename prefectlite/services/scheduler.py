"""The scheduler: keeps the next runs of every flow with a schedule made, a few ahead of time."""

from __future__ import annotations

import asyncio
import heapq
import logging
from datetime import datetime

from prefectlite.clock import sleep_until
from prefectlite.errors import PrefectliteError
from prefectlite.live.bus import Subscription
from prefectlite.live.events import SCHEDULES, ScheduleNews
from prefectlite.session import Session

#: Seconds for which a timer is trusted at most: a wall clock may be set.
LONGEST_SLEEP = 1.0

_logger = logging.getLogger("prefectlite.scheduler")


class Scheduler:
    """Comes back to each flow when the first of the runs made for it is due; until then, it asks nothing of the record."""

    def __init__(self, session: Session) -> None:
        self._session, self._schedules = session, session.client.schedules
        self._due: list[tuple[datetime, str]] = []
        self._again: dict[str, datetime] = {}  # flow -> when it is looked at next; what else is in `_due` counts no more

    async def make_up(self) -> None:
        """Do what schedules say about runs that were missed; before anybody begins them."""
        for flow_id in await self._schedules.active_flows():
            try:
                if count := await self._schedules.make_up(flow_id):
                    _logger.warning("flow %s: %s run(s) were missed and are not made up for", flow_id, count)
            except PrefectliteError as error:
                _logger.error("flow %s: its schedule cannot be read: %s", flow_id, error)

    async def run(self) -> None:
        """Make runs, until cancelled."""
        with self._session.bus.subscribe(SCHEDULES) as news:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._hear(news))
                await self._keep_planning()

    async def _hear(self, news: Subscription) -> None:
        """Look at flows whose schedule another process has changed, which may be gone before the next run is due."""
        async for event in news:
            if isinstance(event, ScheduleNews):
                anything = not event.flow_ids or news.take_lagged()
                for flow_id in await self._schedules.active_flows() if anything else event.flow_ids:
                    self._schedules.note_change(flow_id)

    async def _keep_planning(self) -> None:
        self._due.clear()
        self._again.clear()
        for flow_id in await self._schedules.active_flows():
            await self._plan(flow_id)
        while True:
            self._schedules.has_changed.clear()
            for flow_id in self._changed():
                await self._plan(flow_id)
            await self._wait()

    def _changed(self) -> set[str]:
        now = self._session.clock.now()
        found = set(self._schedules.changed)
        self._schedules.changed.clear()
        while self._due and self._due[0][0] <= now:
            due, flow_id = heapq.heappop(self._due)
            if self._again.get(flow_id) == due:
                del self._again[flow_id]
                found.add(flow_id)
        return found

    async def _plan(self, flow_id: str) -> None:
        try:
            again = await self._schedules.plan(flow_id)
        except PrefectliteError as error:
            _logger.error("flow %s cannot be scheduled: %s", flow_id, error)
            return
        if again is not None and self._again.get(flow_id) != again:
            self._again[flow_id] = again
            heapq.heappush(self._due, (again, flow_id))

    async def _wait(self) -> None:
        """Return when something is due, or has been changed."""
        changed = asyncio.ensure_future(self._schedules.has_changed.wait())
        waiting = {changed}
        if self._due:
            timer = sleep_until(self._session.clock, self._due[0][0], LONGEST_SLEEP)
            waiting.add(asyncio.ensure_future(timer))  # type: ignore[arg-type]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()
