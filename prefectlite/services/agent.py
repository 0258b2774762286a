"""The in-process agent: begins registered flows' runs the moment they are due, in this process."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Callable
from typing import Any

from prefectlite.clock import from_micros, sleep_until, to_micros
from prefectlite.errors import PrefectliteError, TransitionRefused
from prefectlite.ids import new_id
from prefectlite.live.events import ALL_FLOW_RUNS, StateChange
from prefectlite.records import record_state
from prefectlite.repository import runs
from prefectlite.rules.proposals import FlowRunProposal
from prefectlite.services.catalog import Catalog
from prefectlite.session import Session
from prefectlite.states import BY_NAME, Failed, Scheduled

_logger = logging.getLogger("prefectlite.agent")


class Agent:
    """Hears of scheduled runs by news, keeps those that are not due yet in a heap, and asks the record only when it begins.

    `begin(work)` hands a coroutine to whoever owns the runs' tasks.
    """

    def __init__(self, session: Session, catalog: Catalog, begin: Callable[[Any], None]) -> None:
        self._session, self._catalog, self._begin = session, catalog, begin
        self._due: list[tuple[int, str]] = []
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Begin what is due, until cancelled."""
        with self._session.bus.subscribe(ALL_FLOW_RUNS) as subscription:
            for run_id, due in await runs.scheduled_runs(self._session.database):
                self._expect(run_id, due)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._begin_due())
                async for event in subscription:
                    if isinstance(event, StateChange) and issubclass(BY_NAME.get(event.state.name, Failed), Scheduled):
                        self._expect(event.flow_run_id, event.state.start_time or event.state.timestamp)

    def _expect(self, run_id: str, due: int) -> None:
        heapq.heappush(self._due, (due, run_id))
        self._changed.set()

    async def _begin_due(self) -> None:
        clock = self._session.clock
        while True:
            self._changed.clear()
            while self._due and self._due[0][0] <= to_micros(clock.now()):
                _, run_id = heapq.heappop(self._due)
                self._begin(self.execute(run_id))
            if not self._due:
                await self._changed.wait()
                continue
            timer = asyncio.ensure_future(sleep_until(clock, from_micros(self._due[0][0])))
            changed = asyncio.ensure_future(self._changed.wait())
            try:
                await asyncio.wait([timer, changed], return_when=asyncio.FIRST_COMPLETED)
            finally:
                timer.cancel()
                changed.cancel()

    async def execute(self, run_id: str, *, takeover: bool = False) -> None:
        """Execute one run, if it is of a registered flow and nobody else does."""
        session = self._session
        try:
            row = await runs.flow_run(session.database, run_id)
            flow = await session.flow(row.flow_id)
            if flow.storage is None or (row.owner is not None and not takeover):
                return  # a script's own, or begun already
            graph = await self._catalog.find(flow)
            await session.execute(graph, flow, row, takeover=takeover)
        except TransitionRefused as error:
            _logger.info("flow run %s is left to its owner: %s", run_id, error)
        except PrefectliteError as error:
            _logger.error("flow run %s cannot be executed: %s", run_id, error)
            await self._fail(run_id, str(error))

    async def _fail(self, run_id: str, message: str) -> None:
        record = record_state(Failed(message), new_id(), to_micros(self._session.clock.now()))
        await self._session.orchestrator.propose(FlowRunProposal(run_id, record))
