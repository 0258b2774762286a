"""The rescuer: takes up the runs of registered flows whose process is gone, where they stopped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from prefectlite.repository import runs
from prefectlite.services.agent import Agent
from prefectlite.session import Session

#: Seconds that a process which said good-bye gets to let go of what it owns.
LETTING_GO = 1.0

#: How often executors elsewhere are looked at, while there are any, in the time that one may be silent.
LOOKS = 4

_logger = logging.getLogger("prefectlite.rescuer")


class Rescuer:
    """Hands interrupted runs to `begin`: those that are there, and those of a neighbour or an executor that goes away."""

    def __init__(self, session: Session, agent: Agent, begin: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._session, self._agent, self._begin = session, agent, begin

    async def rescue(self) -> None:
        """Take up what is interrupted now."""
        for run_id, owner in await runs.owned_runs(self._session.database):
            if await self._session.is_gone(owner) and not await self._session.client.pauses.put_away(run_id, owner):
                _logger.warning("flow run %s was interrupted and is taken up where it stopped", run_id)
                self._begin(self._agent.execute(run_id, takeover_from=owner))

    async def run(self) -> None:
        """Look now, and again whenever one is gone, until cancelled."""
        await self.rescue()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_neighbours())
            group.create_task(self._watch_executors())

    async def _watch_neighbours(self) -> None:
        neighbours = self._session.neighbours
        while neighbours is not None:
            await neighbours.departed.wait()
            neighbours.departed.clear()
            await self._session.clock.sleep(LETTING_GO)
            try:
                await self.rescue()
                await self._agent.look()
            except BaseException:  # nobody else would come by again
                neighbours.departed.set()
                raise

    async def _watch_executors(self) -> None:
        executors, clock = self._session.client.executors, self._session.clock
        while True:
            while (oldest := await executors.oldest()) is not None:
                if oldest < self._session.silent_since:
                    await self.rescue()
                    await executors.forget_silent(self._session.silent_since)
                await clock.sleep(self._session.settings.agent_silence / LOOKS)
            executors.heard.clear()
            await executors.heard.wait()
