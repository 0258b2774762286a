"""Executors in other processes that reach the record through this one."""

from __future__ import annotations

import asyncio

from prefectlite.clock import Clock
from prefectlite.repository import agents, executors
from prefectlite.repository.database import Database, Transaction


class Executors:
    """Knows which of them are alive."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        #: Set when one was heard of; who waits for it clears it.
        self.heard = asyncio.Event()

    async def beat(self, executor_id: str, agent_id: str) -> None:
        """Note that an executor, and its agent, is alive."""

        async def work(tx: Transaction) -> None:
            now = self._clock.micros()
            await executors.note(tx, executor_id, agent_id, now)
            await agents.seen(tx, agent_id, now)

        await self._database.write(work)
        self.heard.set()

    async def leave(self, executor_id: str) -> None:
        """Note that an executor has ended."""
        await self._database.write(lambda tx: executors.leave(tx, executor_id))
        self.heard.set()

    async def forget_silent(self, before: int) -> None:
        """Forget those of whom nothing was heard since `before`, and that own no run."""
        await self._database.write(lambda tx: executors.forget_silent(tx, before))

    async def last_heard(self, executor_id: str) -> int | None:
        """When an executor was last heard of; None for an owner of runs that is none."""
        return await executors.last_heard(self._database, executor_id)

    async def oldest(self) -> int | None:
        """When that executor was last heard of which is silent the longest; None if there are none."""
        return await executors.oldest(self._database)
