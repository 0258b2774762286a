"""The embedded database: SQLite through aiosqlite, one connection that writes and a few that read."""

from __future__ import annotations

import asyncio
import functools
import re
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from prefectlite.errors import StoreClosed, StoreError, StoreUnavailable
from prefectlite.live.hints import Hint
from prefectlite.repository.database import Row, Transaction
from prefectlite.repository.dialect import SQLITE
from prefectlite.repository.locks import FileLock
from prefectlite.repository.schema import migrate
from prefectlite.repository.sqlite_connection import Connection, connected

T = TypeVar("T")
#: The words of the migrations in SQLite's language.
TYPES = {"id": "TEXT", "time": "INTEGER", "json": "TEXT", "bytes": "BLOB", "seq": "INTEGER", "big": "INTEGER"}
TYPES["keyed"] = " WITHOUT ROWID"
MINIMUM_VERSION = (3, 37, 0)
READERS = 4
#: A running flow's commits survive a power cut after this many seconds at the latest, without one being asked for.
SYNC_INTERVAL = 1.0


@functools.lru_cache(maxsize=256)  # statements of queries are bounded by the API's own limits
def _to_sqlite(sql: str) -> str:
    # SQLite gives its own `$n` numbers by first appearance, and Python 3.12 warns about them; `?n` means what `$n` says.
    return re.sub(r"\$(\d+)", r"?\1", sql)


class SqliteTransaction:
    """Statements on the writing connection, on its thread: none of these ever suspends."""

    dialect = SQLITE

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.hints: list[Hint] = []

    async def fetch(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        return self._connection.execute(_to_sqlite(sql), params).fetchall()

    async def execute(self, sql: str, params: Sequence[Any] = ()) -> None:
        self._connection.execute(_to_sqlite(sql), params)

    async def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self._connection.executemany(_to_sqlite(sql), rows)

    def announce(self, hint: Hint) -> None:
        self.hints.append(hint)


class SqliteDatabase:
    """One SQLite file, or a database in memory. Made by `open_sqlite`."""

    dialect = SQLITE

    def __init__(self, path: Path | None, *, always_durable: bool = False, memory_uri: str | None = None) -> None:
        self.path, self._memory_uri = path, memory_uri
        self._always_durable = always_durable
        self._writer: Connection | None = None
        self._idle_readers: asyncio.LifoQueue[Connection | None] = asyncio.LifoQueue()
        self._readers: list[Connection] = []
        self._closing: set[asyncio.Task[None]] = set()  # connections that nobody waits for any more
        self._lock = FileLock(path.with_name(path.name + ".lock")) if path else None
        self._synced_at = time.monotonic()
        self._unsynced = False  # whether a power cut would lose a commit
        self._sync_timer: asyncio.TimerHandle | None = None
        self._sync_task: asyncio.Task[None] | None = None
        #: What passes on what transactions announce.
        self.announced: Callable[[Hint], None] | None = None

    async def open(self) -> None:
        """Connect and bring the schema up to date. Raises StoreUnavailable or SchemaTooNew, naming the file."""
        if sqlite3.sqlite_version_info < MINIMUM_VERSION:
            raise StoreUnavailable(f"SQLite {sqlite3.sqlite_version} is too old: 3.37 or newer is needed")
        try:
            self._writer = await connected(self._connect_writer, self._closing)
            await migrate(self, TYPES, self.place)
        except sqlite3.Error as error:
            await self.aclose()
            raise StoreUnavailable(f"The database {self.place} cannot be opened: {error}") from error
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
        writer = self._open_writer()
        with self._errors_translated():
            if self.path is None:
                return await writer.run(_fetch, _to_sqlite(sql), params)
            reader = await self._idle_readers.get()
            try:
                self._open_writer()  # the database may have been closed while this waited for its turn
                reader = reader or await self._new_reader()
                return await reader.run(_fetch, _to_sqlite(sql), params)
            finally:
                self._idle_readers.put_nowait(reader)

    async def aclose(self) -> None:
        if self._sync_timer is not None:
            self._sync_timer.cancel()
        if self._sync_task is not None:
            await asyncio.wait([self._sync_task])
        connections = [c for c in (*self._readers, self._writer) if c is not None]
        self._writer, self._readers = None, []
        for connection in connections:
            with suppress(sqlite3.Error, ValueError):
                await connection.close()
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
                raise StoreUnavailable(f"The database {self.place} cannot be used: {error}") from error
            raise

    # -- on the connections' threads ----------------------------------------------------------------------------------

    def _connect_writer(self) -> sqlite3.Connection:
        place, is_uri = self.path or self._memory_uri or ":memory:", self._memory_uri is not None
        connection = sqlite3.connect(place, isolation_level=None, check_same_thread=False, timeout=30, uri=is_uri)
        try:
            if self._lock is not None:
                with self._lock:
                    connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA foreign_keys=ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect_reader(self) -> sqlite3.Connection:
        connection = sqlite3.connect(str(self.path), isolation_level=None, check_same_thread=False, timeout=30)
        connection.execute("PRAGMA query_only=ON")
        return connection

    def _transact(
        self, connection: sqlite3.Connection, work: Callable[[Transaction], Awaitable[T]], durable: bool
    ) -> tuple[T, list[Hint]]:
        if self._lock is None:
            return _run_transaction(connection, work)
        now = time.monotonic()
        durable = durable or self._always_durable or now - self._synced_at > SYNC_INTERVAL
        with self._lock:
            if not durable:
                result = _run_transaction(connection, work)
                self._unsynced = True
                return result
            connection.execute("PRAGMA synchronous=FULL")
            try:
                result = _run_transaction(connection, work)
            finally:
                connection.execute("PRAGMA synchronous=NORMAL")
            self._synced_at, self._unsynced = now, False
            return result


def _run_transaction(connection: sqlite3.Connection, work: Callable[[Transaction], Awaitable[T]]) -> tuple[T, list[Hint]]:
    connection.execute("BEGIN IMMEDIATE")
    transaction = SqliteTransaction(connection)
    try:
        result = _run_to_end(work(transaction))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result, transaction.hints


def _run_to_end(work: Awaitable[T]) -> T:
    steps = work.__await__()
    try:
        next(steps)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise RuntimeError("a transaction awaited something other than its own statements")


def make_schema(connection: sqlite3.Connection) -> None:
    """Bring the schema of the database behind `connection` up to date, from plain code."""

    class Here:
        async def write(self, work: Callable[[Transaction], Awaitable[T]], *, durable: bool = False) -> T:
            return _run_transaction(connection, work)[0]

    _run_to_end(migrate(Here(), TYPES, "in memory"))


def _fetch(connection: sqlite3.Connection, sql: str, params: Sequence[Any]) -> list[Row]:
    return connection.execute(sql, params).fetchall()


async def open_sqlite(path: Path | None, *, always_durable: bool = False, memory_uri: str | None = None) -> SqliteDatabase:
    """The database in the file `path` (made if need be, with its directory), for None one in memory: a new one, or that
    which `memory_uri` names.

    Raises StoreUnavailable if it cannot be opened, SchemaTooNew if a newer prefectlite wrote it.
    """
    if path is not None:
        try:
            await asyncio.to_thread(path.parent.mkdir, mode=0o700, parents=True, exist_ok=True)
            database = SqliteDatabase(path, always_durable=always_durable)
        except OSError as error:
            raise StoreUnavailable(f"The database {path} cannot be opened: {error.strerror}: {error.filename}") from error
    else:
        database = SqliteDatabase(None, memory_uri=memory_uri)
    await database.open()
    return database
