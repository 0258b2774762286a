"""Agents in other processes, as the server knows them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from prefectlite.clock import Clock, to_micros
from prefectlite.repository import agents, flow_changes
from prefectlite.repository.agents import AgentFacts
from prefectlite.repository.database import Database, Transaction


class Agents:
    """Registers agents and offers them runs."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    async def register(self, agent: AgentFacts) -> str:
        """The id of the agent. Raises NotFound if its settings are not there."""

        async def work(tx: Transaction) -> str:
            return await agents.register(tx, agent, self._clock.micros())

        return await self._database.write(work, durable=True)

    async def save_config(self, name: str, settings: dict[str, Any]) -> str:
        """The id of new settings for agents. Raises BadRequest if there are some of this name."""

        async def work(tx: Transaction) -> str:
            return await agents.save_config(tx, name, settings, self._clock.micros())

        return await self._database.write(work, durable=True)

    async def change_config(self, config_id: str, name: str | None, settings: dict[str, Any] | None) -> None:
        """Give settings for agents another name or content, where one is given."""

        async def work(tx: Transaction) -> None:
            await agents.change_config(tx, config_id, name, settings, self._clock.micros())

        await self._database.write(work, durable=True)

    async def delete(self, table: str, row_id: str) -> None:
        """Delete a row of `agent` or `agent_config`. Raises NotFound."""
        await self._database.write(lambda tx: flow_changes.delete(tx, table, row_id), durable=True)

    async def due_runs(
        self,
        runtime: str,
        before: datetime | None,
        labels: Sequence[str],
        agent_id: str | None,
        projects: Sequence[str] | None = None,
    ) -> list[str]:
        """The ids of at most 25 runs that the agent may begin, the earliest first; that it asked is noted.

        With `projects` (ids) they are of flows in these.
        """
        if agent_id is not None:
            known_id = agent_id

            async def work(tx: Transaction) -> None:
                await agents.seen(tx, known_id, self._clock.micros())

            await self._database.write(work)
        until = self._clock.micros() if before is None else to_micros(before)
        return await agents.due_runs(self._database, runtime, until, labels, projects)
