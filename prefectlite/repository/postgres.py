"""The database that several machines can share: PostgreSQL through asyncpg, one connection to write and a few to read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import asyncpg

from prefectlite.errors import BadRequest, StoreClosed, StoreError, StoreUnavailable
from prefectlite.live.hints import Hint
from prefectlite.repository.database import ANSWER_BYTES, ANSWER_SECONDS, TOO_LARGE, TOO_LONG, Row, Transaction
from prefectlite.repository.dialect import POSTGRES
from prefectlite.repository.postgres_errors import is_final, is_lost, is_out_of_reach, reason
from prefectlite.repository.postgres_transaction import PostgresTransaction, Statements, storable
from prefectlite.repository.schema import APPLIED, migrate, missing

T = TypeVar("T")
#: The words of the migrations in PostgreSQL's language. Texts are compared by their bytes, as in SQLite: the order of a
#: list must not hang on the language of the machine, and an index serves `LIKE 'a%'`.
TYPES = dict.fromkeys(("TEXT", "id", "json"), 'TEXT COLLATE "C"') | dict.fromkeys(
    ("INTEGER", "time", "seq", "big"), "BIGINT"
)
TYPES |= {"bytes": "BYTEA", "keyed": ""}
# What is not yet merged into the index is kept small: who merges it has all who write wait.
TYPES["words"] = """
CREATE TABLE log_words (seq BIGINT PRIMARY KEY REFERENCES log (seq) ON DELETE CASCADE, words TSVECTOR NOT NULL);
CREATE INDEX log_words_by_word ON log_words USING gin (words) WITH (gin_pending_list_limit = 256)
"""
READERS = 4
#: Seconds for which a server that does not answer is tried again before that is an error.
PATIENCE = 5.0
#: One transaction writes at a time, whichever process makes it, as with SQLite: sequence numbers are in the order of
#: commits, and what a transaction read is still so when it is committed. The number is ours, in every database alike.
_BEGIN = "BEGIN; SELECT pg_advisory_xact_lock(7310302018811814)"
_SETTINGS = {
    "application_name": "prefectlite",
    "synchronous_commit": "on",
    "jit": "off",  # takes longer than the queries that it is for
    "timezone": "UTC",
    "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": "30s",  # a process that was stopped must not keep all others from writing
}


class PostgresDatabase:
    """One database of a PostgreSQL server. Made by `open_postgres`. Connections that are lost are made anew when needed."""

    dialect = POSTGRES

    def __init__(self, url: str, place: str) -> None:
        self.place = place
        #: What passes on what transactions announce.
        self.announced: Callable[[Hint], None] | None = None
        self.broken = asyncio.Event()  # never set: a server sees to its disk itself
        self._url = url
        self._closed = False
        self._statements = Statements()
        self._writing = asyncio.Lock()
        self._writer: asyncpg.Connection | None = None
        self._readers: asyncio.LifoQueue[asyncpg.Connection | None] = asyncio.LifoQueue()
        for _ in range(READERS):
            self._readers.put_nowait(None)  # a connection is made when a reader first needs it
        self._answering = asyncio.Semaphore(READERS - 1)

    async def open(self) -> None:
        """Connect and bring the schema up to date. Raises StoreUnavailable or SchemaTooNew, naming the database."""
        try:
            self._writer = await self.connect()
            if self._writer.get_settings().server_encoding != "UTF8":
                raise StoreUnavailable(f"The database {self.place} cannot hold every text: make it with ENCODING 'UTF8'")
            ((is_made,),) = await self._writer.fetch("SELECT to_regclass('migration') IS NOT NULL")
            # A role that may not make tables can use those that are there.
            if not is_made or missing(await self._writer.fetch(APPLIED), self.place):
                await migrate(self, TYPES, self.place)
        except BaseException as error:
            await self.aclose()
            if is_out_of_reach(error):
                raise StoreUnavailable(f"The database {self.place} cannot be opened: {reason(error)}") from error
            raise

    async def connect(self, **settings: str) -> asyncpg.Connection:
        """A connection of the caller's own. Raises StoreUnavailable if the server cannot be reached for some seconds."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + PATIENCE, 0.02
        while True:
            try:
                return await asyncpg.connect(
                    self._url,
                    timeout=PATIENCE,
                    command_timeout=120,  # when nothing at all comes back any more
                    server_settings={**_SETTINGS, **settings},
                )
            except Exception as error:
                late = loop.time() + pause > deadline
                if not is_out_of_reach(error) or is_final(error) or late or self._closed:
                    raise StoreUnavailable(f"The database {self.place} cannot be reached: {reason(error)}") from error
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.5)

    async def write(self, work: Callable[[Transaction], Awaitable[T]], *, durable: bool = False) -> T:
        # Every commit is durable: the server waits for its disk. It gathers the commits of other users as we gather ours.
        writing = asyncio.get_running_loop().create_task(self._write(work))
        return await asyncio.shield(writing)

    async def answer(self, sql: str, params: Sequence[Any] = ()) -> str:
        # Too much is not sent at all: it would be in the memory of this process, too.
        size = f"octet_length(a.text) <= {ANSWER_BYTES}"
        measured = f"WITH a (text) AS MATERIALIZED ({sql}) SELECT CASE WHEN {size} THEN a.text END FROM a"
        async with self._answering:
            try:
                ((text,),) = await self._read(measured, params, ANSWER_SECONDS)
            except asyncpg.ProgramLimitExceededError:
                text = None
        if text is None:
            raise BadRequest(TOO_LARGE)
        return str(text)

    async def read(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        return await self._read(sql, params)

    async def _read(self, sql: str, params: Sequence[Any], patience: float | None = None) -> list[Row]:
        """All rows. Raises BadRequest after `patience` seconds, if that is given."""
        self._check_open()
        reader = await self._readers.get()
        try:
            while True:
                self._check_open()  # the database may have been closed while this waited for its turn
                if is_new := reader is None or reader.is_closed():
                    reader = await self.connect(default_transaction_read_only="on")
                assert reader is not None
                try:
                    return list(map(tuple, await reader.fetch(sql, *map(storable, params), timeout=patience)))
                except Exception as error:
                    if patience is not None and isinstance(error, TimeoutError):
                        raise BadRequest(TOO_LONG) from None
                    if not is_out_of_reach(error):
                        raise
                    if is_lost(error):
                        reader.terminate()
                    if is_new or not is_lost(error):
                        raise self._unavailable(error) from error
                    # The server was restarted since this connection was last used: once more, on a new one.
        finally:
            if self._closed and reader is not None:
                reader.terminate()
            self._readers.put_nowait(reader)

    async def aclose(self) -> None:
        self._closed = True
        async with self._writing:
            await _close(self._writer)
            self._writer = None
        idle = [self._readers.get_nowait() for _ in range(self._readers.qsize())]  # the others are closed when they return
        for reader in idle:
            await _close(reader)
            self._readers.put_nowait(None)  # for who waits for one, to find that the database is closed

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed(f"The database {self.place} has been closed")

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        return StoreUnavailable(f"The database {self.place} cannot be used: {reason(error)}")

    async def _write(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        async with self._writing:
            self._check_open()
            try:
                connection = await self._begin()
                return await self._transact(connection, work)
            except StoreError:
                raise
            except Exception as error:
                if not is_out_of_reach(error):
                    raise
                if self._writer is not None and is_lost(error):
                    self._writer.terminate()
                raise self._unavailable(error) from error

    async def _begin(self) -> asyncpg.Connection:
        """The writing connection, in a transaction."""
        while True:
            if is_new := self._writer is None or self._writer.is_closed():
                self._writer = await self.connect()
            writer = self._writer
            assert writer is not None
            try:
                await writer.execute(_BEGIN)
                return writer
            except BaseException as error:
                await _roll_back(writer)
                if is_new or not is_out_of_reach(error) or not is_lost(error):
                    raise
                writer.terminate()  # nothing has been written: once more, on a new connection

    async def _transact(self, connection: asyncpg.Connection, work: Callable[[Transaction], Awaitable[T]]) -> T:
        transaction = PostgresTransaction(connection, self._statements)
        try:
            result = await work(transaction)
            await transaction.flush()
            outcome = await connection.execute("COMMIT")
            if outcome != "COMMIT":  # somebody caught the error of a statement: nothing is kept then
                raise StoreError(f"A transaction in the database {self.place} failed and was rolled back")
        except BaseException:
            await _roll_back(connection)
            raise
        if self.announced is not None:
            for hint in transaction.hints:
                self.announced(hint)
        return result


async def open_postgres(url: str, place: str) -> PostgresDatabase:
    """The database at `url`, called `place` in messages, at the newest schema.

    Raises StoreUnavailable if it cannot be opened, SchemaTooNew if a newer prefectlite wrote it.
    """
    database = PostgresDatabase(url, place)
    await database.open()
    return database


async def _roll_back(connection: asyncpg.Connection) -> None:
    try:
        if not connection.is_closed():
            await connection.execute("ROLLBACK")
    except Exception:
        connection.terminate()


async def _close(connection: asyncpg.Connection | None) -> None:
    if connection is not None:
        with suppress(Exception):  # whatever a lost connection says to that
            await connection.close(timeout=2)
