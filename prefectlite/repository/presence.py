"""This process as the others that use a PostgreSQL database see it: a connection that listens, and holds a lock for it.

The server lets go of the lock when the connection ends, however it ends: who does not hold one is gone.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import msgspec

from prefectlite.errors import StoreUnavailable
from prefectlite.ids import new_id
from prefectlite.live.hints import Hint, Message
from prefectlite.repository.postgres import PostgresDatabase

#: On which channel processes tell each other of commits.
CHANNEL = "prefectlite"
#: A notice may have less than 8,000 bytes.
_LONGEST_NOTICE = 7_900
#: Seconds between two looks at who is there.
INTERVAL = 3.0
#: A server that was restarted has lost all locks: for so many seconds those who lost theirs may come back.
SETTLING = 10.0
#: The first half of every such lock's number, by which it is known as ours; the second is made of the owner's id.
_OURS = 1_886_545_516
_LOCKED = f"""
SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND classid = {_OURS} AND objsubid = 2 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_UPTIME = "SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::float8"


class Presence:
    """The lock of `owner_id` and an ear for notices: `heard` takes each that another process gave."""

    def __init__(self, database: PostgresDatabase, owner_id: str, heard: Callable[[str], None]) -> None:
        self.others: set[int] = set()
        #: How often it has begun to listen; between two times, notices were given to nobody.
        self.beginnings = 0
        self._database, self._owner_id, self._heard = database, owner_id, heard
        self._name = new_id()[-12:]
        self._own_words = f'{{"sender":"{self._name}"'
        self._connection: asyncpg.Connection | None = None
        self._using = asyncio.Lock()

    async def open(self) -> None:
        """Be there, and know who else is."""
        await self._connect()
        await self.look_around()

    async def look_around(self) -> bool:
        """See who is there, and come back if the connection was lost; whether somebody is gone since the last time."""
        async with self._connected() as connection:
            there = {row[0] for row in await connection.fetch(_LOCKED)} - {_number(self._owner_id) % 2**32}
        gone, self.others = self.others - there, there
        return bool(gone)

    async def tell(self, hints: list[Hint]) -> None:
        """Let all others that are there know of commits of this process. Raises StoreUnavailable."""
        async with self._connected() as connection:
            await _say(connection, Message(self._name, hints))

    async def is_gone(self, owner: str) -> bool:
        """Whether the process with the owner id `owner` has ended."""
        if owner == self._owner_id:
            return False
        ((uptime,),) = await self._database.read(_UPTIME)
        if uptime < SETTLING:
            await asyncio.sleep(SETTLING - uptime)
        return (_number(owner) % 2**32,) not in await self._database.read(_LOCKED)

    async def close(self, hints: list[Hint]) -> None:
        """Tell the last of this process's commits, say good-bye, and be gone."""
        async with self._using:
            connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                await _say(connection, Message(self._name, hints, leaving=True))
            with suppress(Exception):
                await connection.close(timeout=2)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[asyncpg.Connection]:
        """The connection, for this block alone; a new one if it was lost."""
        async with self._using:
            if self._connection is None or self._connection.is_closed():
                await self._connect()
            assert self._connection is not None
            try:
                yield self._connection
            except Exception as error:  # a connection that broke in the midst of something may say anything, for ever
                self._connection.terminate()
                raise StoreUnavailable(f"The database {self._database.place} does not answer: {error}") from error

    async def _connect(self) -> None:
        connection = await self._database.connect()
        try:
            await connection.add_listener(CHANNEL, self._receive)
            # Only another that has the same id by chance could hold it, or this process a moment ago: neither is waited for.
            await connection.execute(f"SELECT pg_try_advisory_lock({_OURS}, {_number(self._owner_id)})")
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection
        self.beginnings += 1

    def _receive(self, _connection: Any, _process: int, _channel: str, words: object) -> None:
        text = str(words)
        if not text.startswith(self._own_words):
            self._heard(text)


async def _say(connection: asyncpg.Connection, message: Message) -> None:
    await connection.executemany("SELECT pg_notify($1, $2)", [(CHANNEL, words) for words in notices(message)])


def notices(message: Message) -> list[str]:
    """What is said on the channel; a hint that names too many runs names none, which means any."""
    text = msgspec.json.encode(message).decode()
    if len(text) <= _LONGEST_NOTICE:
        return [text]
    if len(message.hints) == 1:
        message = msgspec.structs.replace(message, hints=[msgspec.structs.replace(message.hints[0], flow_run_ids=[])])
        return [msgspec.json.encode(message).decode()]
    half = len(message.hints) // 2
    halves = (message.hints[:half], message.hints[half:])
    return [text for part in halves for text in notices(msgspec.structs.replace(message, hints=part))]


def _number(owner: str) -> int:
    return int.from_bytes(hashlib.sha256(owner.encode()).digest()[:4], "big", signed=True)
