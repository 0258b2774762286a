"""Processes that share one PostgreSQL database hear of each other's commits at once, by LISTEN and NOTIFY.

Notices are not part of the transactions that they tell of: who commits a thousand times a second would pay for each of them
with a tenth of its time.
"""

from __future__ import annotations

import asyncio

import msgspec

from prefectlite.ids import new_id
from prefectlite.live.bus import Bus
from prefectlite.live.events import ScheduleNews, SlotNews
from prefectlite.live.hints import Hint, Message, merged
from prefectlite.orchestrator.hearsay import GATHER, MOST_HINTS, Hearsay
from prefectlite.repository.postgres import PostgresDatabase
from prefectlite.repository.presence import INTERVAL, Presence
from prefectlite.repository.sequence import last_taken

#: So many pieces of news are told later, when a connection was lost on which they should have been heard.
MOST_MISSED = 20_000
_decoder = msgspec.json.Decoder(Message)


class PostgresNeighbours(Hearsay):
    """The other processes that use one database of a server, and this one among them, as an owner of runs."""

    def __init__(self, database: PostgresDatabase, bus: Bus) -> None:
        super().__init__(database, bus)
        self.id = new_id()
        self._presence = Presence(database, self.id, self._receive)
        self._look = asyncio.Event()
        self._untold: list[Hint] = []
        self._has_news = asyncio.Event()
        self._told = 0  # up to where in the sequence notices have surely come, if nothing has gone wrong since
        self._told_next = 0

    @property
    def names(self) -> list[str]:
        """Who is there, as far as is known."""
        return [str(name) for name in self._presence.others]

    async def open(self) -> None:
        """Listen, and be there."""
        await self._presence.open()
        self._told = self._told_next = await last_taken(self._database)

    async def run(self) -> None:
        """Publish what the others commit to those who listen here, and see who is there, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(super().run())
            group.create_task(self._look_around())
            group.create_task(self._keep_telling())

    def tell(self, hint: Hint) -> None:
        """Let the others know of a commit of this process: at once, or with others some milliseconds after the last time."""
        self._untold = merged(self._untold, hint)[-MOST_HINTS:]
        self._has_news.set()

    async def is_gone(self, owner: str) -> bool:
        """Whether the process with the owner id `owner` has ended."""
        return await self._presence.is_gone(owner)

    async def aclose(self) -> None:
        """Tell what is left to be told, and say good-bye."""
        await self._presence.close(self._untold)

    def close(self) -> None:
        """Be gone, as others see it: that is so once `aclose` has been awaited."""

    async def _keep_telling(self) -> None:
        while True:
            if not self._untold:
                self._has_news.clear()
                await self._has_news.wait()
            hints, self._untold = self._untold, []
            try:
                await self._presence.tell(hints)
            except BaseException:  # they go with the next
                self._untold = [*hints, *self._untold][-MOST_HINTS:]
                raise
            await asyncio.sleep(GATHER)

    async def _look_around(self) -> None:
        # The server tells nobody when a connection ends that was not closed, so who is there is looked up.
        while True:
            try:
                async with asyncio.timeout(INTERVAL):
                    await self._look.wait()
                self._look.clear()
                self.departed.set()
            except TimeoutError:
                pass
            await self._look_once()

    async def _look_once(self) -> None:
        beginnings = self._presence.beginnings
        if await self._presence.look_around():
            self.departed.set()
        last = await last_taken(self._database)
        if self._presence.beginnings != beginnings:  # what was committed while nobody listened
            first = max(self._told, last - MOST_MISSED) + 1
            self.hear([Hint(first, last, [], logs) for logs in (False, True)])
            self._bus.publish([SlotNews(limits=True), ScheduleNews()])
        # A notice may come a little later than the commit is seen: the look before this one is sure.
        self._told, self._told_next = self._told_next, last

    def _receive(self, words: str) -> None:
        try:
            message = _decoder.decode(words)
        except msgspec.DecodeError:  # anybody may write on a channel
            return
        if message.leaving:
            self._look.set()
        self.hear(message.hints)
