"""Messages to those who look at the pages of the server; hooks of type PREFECT_MESSAGE write them."""

from __future__ import annotations

from typing import Any

import msgspec

from prefectlite.clock import Clock
from prefectlite.repository import messages
from prefectlite.repository.database import Database, Transaction


class Messages:
    """Messages by their ids."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    async def add(self, message_id: str, kind: str, text: str, content: dict[str, Any]) -> None:
        """Write a message of this kind; a second one with the same id is the first."""
        written = msgspec.json.encode(content).decode()

        async def work(tx: Transaction) -> None:
            await messages.add(tx, message_id, kind, text, written, self._clock.micros())

        await self._database.write(work, durable=True)

    async def mark(self, message_id: str, *, is_read: bool) -> None:
        """Say whether a message has been read. Raises NotFound."""

        async def work(tx: Transaction) -> None:
            await messages.mark(tx, message_id, self._clock.micros(), is_read=is_read)

        await self._database.write(work, durable=True)

    async def delete(self, message_id: str) -> None:
        """Delete a message. Raises NotFound."""
        await self._database.write(lambda tx: messages.delete(tx, message_id), durable=True)
