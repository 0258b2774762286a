"""Concurrency limits, as clients use them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from prefectlite.client.key_values import checked_name
from prefectlite.clock import Clock
from prefectlite.errors import BadRequest
from prefectlite.orchestrator.queue import Queue
from prefectlite.repository import limits
from prefectlite.repository.database import Database, Transaction

#: What a limit is on -> where it is kept.
TABLES = {"tag": "task_tag_limit", "label": "flow_concurrency_limit"}
#: The largest number of slots, and of seconds.
MOST = 1_000_000
T = TypeVar("T")


class Limits:
    """How many task runs with a tag, and how many flow runs with a label, run at once, or begin within a time."""

    def __init__(self, database: Database, clock: Clock, queue: Queue) -> None:
        self._database, self._clock, self._queue = database, clock, queue

    async def set(self, kind: str, name: str, slots: int, seconds: int = 0) -> str:
        """The id of the limit on the tag or label `name` (`kind` says which), which is so from now on, at once.

        So many `slots` are there at once; with `seconds`, so many runs begin within so many seconds, which is another limit.
        With 0 none begins. What runs already goes on. Raises BadRequest.
        """
        checked_name(name, kind)
        if slots < 0:
            raise BadRequest("Concurrency limits must be >= 0")  # the words that Prefect's users know
        for what, number in (("limit", slots), ("seconds", seconds)):
            if not 0 <= number <= MOST:
                raise BadRequest(f"{what}: a number from 0 to {MOST:,} is needed, not {number:,}")

        async def work(tx: Transaction) -> str:
            return await limits.put(tx, TABLES[kind], name, slots, seconds, self._clock.micros())

        return await self._changed(work)

    async def delete_id(self, kind: str, limit_id: str) -> None:
        """Forget the limit with this id. Raises NotFound."""

        async def work(tx: Transaction) -> None:
            await limits.remove(tx, TABLES[kind], limit_id)

        await self._changed(work)

    async def delete(self, kind: str, name: str) -> None:
        """Forget all limits on a tag or label. Raises NotFound."""

        async def work(tx: Transaction) -> None:
            await limits.remove_named(tx, TABLES[kind], name)

        await self._changed(work)

    async def _changed(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        done = await self._database.write(work, durable=True)
        tags, labels = await limits.all_limits(self._database)
        self._queue.know(tags, labels)
        return done
