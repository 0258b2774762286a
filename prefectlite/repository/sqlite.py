"""The embedded database: SQLite through aiosqlite, one connection that writes and a few that read."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, TypeVar

from prefectlite.disk import beside
from prefectlite.errors import StoreClosed, StoreError, StoreUnavailable
from prefectlite.live.hints import Hint
from prefectlite.repository import documents
from prefectlite.repository.database import Row, Transaction
from prefectlite.repository.dialect import SQLITE
from prefectlite.repository.locks import FileLock
from prefectlite.repository.sqlite_answer import fetch_answer
from prefectlite.repository.sqlite_connection import Connection, connected
from prefectlite.repository.sqlite_file import (
    advice,
    begin_use,
    check_companions,
    damage,
    gave_way,
    is_damage,
    is_lost_sync,
    make_private,
    unavailable,
)
from prefectlite.repository.sqlite_schema import make_schema
from prefectlite.repository.sqlite_transaction import run_transaction, to_sqlite

T = TypeVar("T")
MINIMUM_VERSION = (3, 37, 0)
READERS = 4
#: The journal is moved into the file when it has so many pages (16 MB). That takes milliseconds, however many they are: by
#: SQLite's own rule, 1,000, it is half of the time that commits take.
JOURNAL_PAGES = 4_000
#: A running flow's commits survive a power cut after this many seconds at the latest, without one being asked for.
SYNC_INTERVAL = 1.0


class SqliteDatabase:
    """One SQLite file, or a database in memory. Made by `open_sqlite`."""

    dialect = SQLITE

    def __init__(self, path: Path | None, *, always_durable: bool = False, memory_uri: str | None = None) -> None:
        self.path, self._memory_uri = path, memory_uri
        self._always_durable = always_durable
        self._writer: Connection | None = None
        self._idle_readers: asyncio.LifoQueue[Connection | None] = asyncio.LifoQueue()
        self._readers: list[Connection] = []
        self._answering = asyncio.Semaphore(READERS - 1)
        self._closing: set[asyncio.Task[None]] = set()  # connections that nobody waits for any more
        self._lock = FileLock(beside(path, ".lock")) if path else None
        self._synced_at = time.monotonic()
        #: Set when the disk did not keep what it was given: nothing more is written then.
        self.broken = asyncio.Event()
        self._unsynced = False  # whether a power cut would lose a commit
        self._sync_timer: asyncio.TimerHandle | None = None
        self._sync_task: asyncio.Task[None] | None = None
        #: What passes on what transactions announce.
        self.announced: Callable[[Hint], None] | None = None

    async def open(self) -> None:
        """Connect and bring the schema up to date. Raises StoreUnavailable, StoreDamaged, SchemaTooNew."""
        if sqlite3.sqlite_version_info < MINIMUM_VERSION:
            raise StoreUnavailable(f"SQLite {sqlite3.sqlite_version} is too old: 3.37 or newer is needed")
        try:
            self._writer = await connected(self._connect_writer, self._closing)
            await self._writer.run(self._prepare)
        except sqlite3.Error as error:
            await self.aclose()
            raise self._translated(error, "opened") from error
        except BaseException:
            await self.aclose()
            raise
        for _ in range(READERS):
            self._idle_readers.put_nowait(None)  # a connection is made when a reader first needs it

    @property
    def place(self) -> str:
        """The database's name in messages."""
        return str(self.path) if self.path else "in memory"

    async def write(self, work: Callable[[Transaction], Awaitable[T]], *, durable: bool = False) -> T:
        if self.broken.is_set():
            raise gave_way(self.place)
        with self._errors_translated():
            result: T
            result, hints = await self._open_writer().run(self._transact, work, durable)
        if self.announced is not None:
            for hint in hints:
                self.announced(hint)
        if self._unsynced and self._sync_timer is None:
            self._sync_timer = asyncio.get_running_loop().call_later(SYNC_INTERVAL, self._begin_sync)
        return result

    async def read(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        return await self._read(_fetch, sql, params)

    async def answer(self, sql: str, params: Sequence[Any] = ()) -> str:
        async with self._answering:
            return await self._read(fetch_answer, sql, params)

    async def _read(
        self, fetch: Callable[[sqlite3.Connection, str, Sequence[Any]], T], sql: str, params: Sequence[Any]
    ) -> T:
        writer = self._open_writer()
        with self._errors_translated():
            if self.path is None:
                return await writer.run(fetch, to_sqlite(sql), params)
            reader = await self._idle_readers.get()
            try:
                self._open_writer()  # the database may have been closed while this waited for its turn
                reader = reader or await self._new_reader()
                return await reader.run(fetch, to_sqlite(sql), params)
            finally:
                self._idle_readers.put_nowait(reader)

    async def aclose(self) -> None:
        if self._sync_timer is not None:
            self._sync_timer.cancel()
        if self._sync_task is not None:
            await asyncio.wait([self._sync_task])
        writer, readers = self._writer, self._readers
        self._writer, self._readers = None, []
        for connection in readers:
            with suppress(sqlite3.Error, ValueError):
                await connection.close()
        if writer is not None:
            with suppress(sqlite3.Error, ValueError):
                await writer.run(self._disconnect_writer)
            with suppress(sqlite3.Error, ValueError):
                await writer.close()
        if self._closing:
            await asyncio.wait(self._closing)
        if self._lock is not None:
            self._lock.close()

    def _begin_sync(self) -> None:
        self._sync_timer = None
        if self._unsynced and self._writer is not None:
            self._sync_task = asyncio.get_running_loop().create_task(self._sync())

    async def _sync(self) -> None:
        """Commit next to nothing, durably: all earlier commits come with it. A run may wait long before its next one."""

        async def work(tx: Transaction) -> None:
            await tx.execute("UPDATE counter SET value = value WHERE name = 'seq'")

        with suppress(StoreError):  # whoever writes next is told
            await self.write(work, durable=True)

    def _open_writer(self) -> Connection:
        if self._writer is None:
            raise StoreClosed(f"The database {self.place} has been closed")
        return self._writer

    async def _new_reader(self) -> Connection:
        reader = await connected(self._connect_reader, self._closing)
        if self._writer is None:  # closed meanwhile, by somebody who did not know of this one
            await reader.close()
        else:
            self._readers.append(reader)
        self._open_writer()
        return reader

    @contextmanager
    def _errors_translated(self) -> Iterator[None]:
        """What the database cannot do (locked, full, damaged) is a StoreError; what its caller did wrong stays as it is."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            if type(error) in (sqlite3.DatabaseError, sqlite3.OperationalError):
                raise self._translated(error, "used") from error
            raise

    def _translated(self, error: sqlite3.Error, what: str) -> StoreError:
        if is_lost_sync(error):
            self.broken.set()
            return gave_way(self.place)
        if self.path is not None and is_damage(error):
            return damage(self.path, str(error))
        hint = advice(error, self.path) if self.path is not None else ""
        return unavailable(f"The database {self.place} cannot be {what}: {error}{hint}", error)

    # -- on the connections' threads ----------------------------------------------------------------------------------

    def _connect_writer(self) -> sqlite3.Connection:
        place, is_uri = self.path or self._memory_uri or ":memory:", self._memory_uri is not None
        if self.path is not None:
            check_companions(self.path)
            make_private(self.path)
        connection = sqlite3.connect(place, isolation_level=None, check_same_thread=False, timeout=30, uri=is_uri)
        try:
            connection.execute("PRAGMA foreign_keys=ON")
            documents.define(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # Not while connecting: who is cancelled then closes the lock under it.
        if self._lock is None or self.path is None:
            make_schema(connection)
            return
        with self._lock:
            begin_use(connection, self.path, check_companions(self.path))
            make_schema(connection, self.path)
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint={JOURNAL_PAGES}")

    def _disconnect_writer(self, connection: sqlite3.Connection) -> None:
        # The last to close moves the journal into the file, as any checkpoint does: not while somebody else writes.
        with self._lock or nullcontext():
            connection.close()

    def _connect_reader(self) -> sqlite3.Connection:
        connection = sqlite3.connect(str(self.path), isolation_level=None, check_same_thread=False, timeout=30)
        connection.execute("PRAGMA query_only=ON")
        documents.define(connection)
        return connection

    def _transact(
        self, connection: sqlite3.Connection, work: Callable[[Transaction], Awaitable[T]], durable: bool
    ) -> tuple[T, list[Hint]]:
        if self._lock is None:
            return run_transaction(connection, work)
        now = time.monotonic()
        durable = durable or self._always_durable or now - self._synced_at > SYNC_INTERVAL
        with self._lock:
            if not durable:
                result = run_transaction(connection, work)
                self._unsynced = True
                return result
            connection.execute("PRAGMA synchronous=FULL")
            try:
                result = run_transaction(connection, work)
            finally:
                connection.execute("PRAGMA synchronous=NORMAL")
            self._synced_at, self._unsynced = now, False
            return result


def _fetch(connection: sqlite3.Connection, sql: str, params: Sequence[Any]) -> list[Row]:
    return connection.execute(sql, params).fetchall()


async def open_sqlite(path: Path | None, *, always_durable: bool = False, memory_uri: str | None = None) -> SqliteDatabase:
    """The database in the file `path` (made if need be, with its directory), for None one in memory: a new one, or that
    which `memory_uri` names.

    Raises StoreUnavailable if it cannot be opened, StoreDamaged if it is damaged, SchemaTooNew if a newer one wrote it.
    """
    if path is not None:
        try:
            await asyncio.to_thread(path.parent.mkdir, mode=0o700, parents=True, exist_ok=True)
            database = SqliteDatabase(path, always_durable=always_durable)
        except OSError as error:
            words = f"The database {path} cannot be opened: {error.strerror}: {error.filename}"
            raise unavailable(words, error) from error
    else:
        database = SqliteDatabase(None, memory_uri=memory_uri)
    await database.open()
    return database
