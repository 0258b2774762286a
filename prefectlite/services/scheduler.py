"""The scheduler: keeps the next runs of every flow with a schedule made, a few ahead of time."""

from __future__ import annotations

import asyncio
import heapq
import logging
from datetime import datetime

from prefectlite.clock import sleep_until
from prefectlite.errors import PrefectliteError
from prefectlite.session import Session

#: Seconds for which a timer is trusted at most: a wall clock may be set.
LONGEST_SLEEP = 1.0

_logger = logging.getLogger("prefectlite.scheduler")


class Scheduler:
    """Comes back to each flow when the first of the runs made for it is due; until then, it asks nothing of the record."""

    def __init__(self, session: Session) -> None:
        self._session, self._schedules = session, session.client.schedules
        self._due: list[tuple[datetime, str]] = []

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
        self._due.clear()
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
            found.add(heapq.heappop(self._due)[1])
        return found

    async def _plan(self, flow_id: str) -> None:
        try:
            again = await self._schedules.plan(flow_id)
        except PrefectliteError as error:
            _logger.error("flow %s cannot be scheduled: %s", flow_id, error)
            return
        if again is not None and (again, flow_id) not in self._due:
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
