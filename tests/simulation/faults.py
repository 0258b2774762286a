"""A wire to a database that goes wrong: every method of the database's protocol, each with every fault.

The wrapper is generated from the protocol: a method that is added to it tomorrow goes through the wire, too.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import Context
from enum import Enum
from typing import Any, Protocol, TypeVar

from prefectlite.errors import StoreClosed, StoreUnavailable
from prefectlite.live.hints import Hint
from prefectlite.repository.database import Database, Row, Transaction
from prefectlite.repository.dialect import SQLITE
from prefectlite.repository.sqlite_schema import make_schema
from prefectlite.repository.sqlite_transaction import SqliteTransaction, run_to_end, to_sqlite
from tests.simulation.loop import SimulatedLoop

T = TypeVar("T")


class Fault(Enum):
    """What goes wrong with one call."""

    FAIL_BEFORE = "it fails, and nothing was done"
    FAIL_AFTER = "it fails, and all was done: the answer is lost"
    DELAY = "it takes long, on its way there and on its way back"
    DUPLICATE = "it is done twice"


class Faults(Protocol):
    """Who decides what goes wrong."""

    def of_call(self, method: str) -> Fault | None:
        """What goes wrong with this call of a method of the database."""
        ...

    def of_statement(self, method: str) -> Fault | None:
        """What goes wrong with this statement of a transaction; only failing counts: it is all of it or nothing."""
        ...

    def latency(self, fault: Fault | None) -> float:
        """Seconds for one way."""
        ...

    def arrived(self, method: str, fault: Fault | None) -> None:
        """Something is about to be done. May raise what stops it."""
        ...

    def done(self, method: str, hints: Sequence[Hint]) -> None:
        """It was, and this is what was announced."""
        ...


def methods_of(protocol: type) -> list[str]:
    """What is called on such an object, and awaited."""
    return [name for name, member in inspect.getmembers(protocol, inspect.iscoroutinefunction) if not name.startswith("_")]


class PlainDatabase:
    """The one database that all processes of a simulation share: SQLite in memory, here and now, on this very thread."""

    dialect = SQLITE
    place = "in the simulation"
    broken = asyncio.Event()

    def __init__(self, connection: sqlite3.Connection, on_statement: Callable[[str], None] = lambda method: None) -> None:
        self.connection = connection
        self.hints: list[Hint] = []  # of the last commit
        self._on_statement = on_statement

    async def write(self, work: Callable[[Transaction], Awaitable[T]], *, durable: bool = False) -> T:
        self.hints = []
        transaction = WatchedTransaction(self.connection, self._on_statement)
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            result = await work(transaction)
            self.connection.execute("COMMIT")
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.hints = transaction.hints
        return result

    async def read(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        return self.connection.execute(to_sqlite(sql), params).fetchall()

    async def answer(self, sql: str, params: Sequence[Any] = ()) -> str:
        ((text,),) = await self.read(sql, params)
        return str(text)

    async def aclose(self) -> None:
        """Nothing: it belongs to the simulation."""


class WatchedTransaction(SqliteTransaction):
    """A transaction that tells of each of its statements."""

    def __init__(self, connection: sqlite3.Connection, on_statement: Callable[[str], None]) -> None:
        super().__init__(connection)
        self._on_statement = on_statement

    async def fetch(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        self._on_statement("fetch")
        return await super().fetch(sql, params)

    async def execute(self, sql: str, params: Sequence[Any] = ()) -> None:
        self._on_statement("execute")
        await super().execute(sql, params)

    async def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self._on_statement("executemany")
        await super().executemany(sql, rows)


class Wire:
    """The way to a database. What is sent is on its way whatever becomes of the sender; it may be done when that is gone."""

    dialect = SQLITE
    place = PlainDatabase.place
    broken = PlainDatabase.broken

    def __init__(self, loop: SimulatedLoop, connection: sqlite3.Connection, faults: Faults) -> None:
        self._loop, self._faults = loop, faults
        self._inner: Any = PlainDatabase(connection, self._on_statement)
        self._nobody = Context()
        self.is_closed = False

    async def call(self, method: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """What the inner database answers, if the wire lets it."""
        if self.is_closed:
            raise StoreClosed("The database has been closed")
        answer: asyncio.Future[Any] = self._loop.create_future()
        fault = self._faults.of_call(method)

        def arrive() -> None:
            outcome: Any = None
            error: BaseException | None = None
            try:
                self._faults.arrived(method, fault)
                if fault is Fault.FAIL_BEFORE:
                    raise StoreUnavailable("simulated: nothing was done")
                outcome = self._do(method, args, options)
                if fault is Fault.DUPLICATE:
                    outcome = self._do(method, args, options)
                if fault is Fault.FAIL_AFTER:
                    raise StoreUnavailable("simulated: the answer was lost")
            except BaseException as raised:
                error = raised
            self._loop.call_later(self._faults.latency(fault), reply, outcome, error, context=self._nobody)

        def reply(outcome: Any, error: BaseException | None) -> None:
            if answer.done():
                return
            if error is None:
                answer.set_result(outcome)
            else:
                answer.set_exception(error)

        self._loop.call_later(self._faults.latency(fault), arrive, context=self._nobody)
        return await answer

    def _do(self, method: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        self._inner.hints = []
        outcome = run_to_end(getattr(self._inner, method)(*args, **options))
        self._faults.done(method, self._inner.hints)
        return outcome

    def _on_statement(self, method: str) -> None:
        if self._faults.of_statement(method) is not None:
            raise StoreUnavailable(f"simulated: {method} failed inside a transaction")


def faulty(protocol: type) -> type[Any]:
    """A Wire with all the methods that `protocol` has."""

    def through(name: str) -> Callable[..., Any]:
        async def method(self: Wire, *args: Any, **options: Any) -> Any:
            return await self.call(name, args, options)

        method.__name__ = method.__qualname__ = name
        return method

    return type(f"Faulty{protocol.__name__}", (Wire,), {name: through(name) for name in methods_of(protocol)})


FaultyDatabase: Any = faulty(Database)
#: What is wrapped, by name: the methods of a database, and those of a transaction in it.
CALLS = methods_of(Database)
STATEMENTS = methods_of(Transaction)


@functools.cache
def _template() -> bytes:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    make_schema(connection)
    return connection.serialize()


def empty_database() -> sqlite3.Connection:
    """A database in memory, with its schema."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.deserialize(_template())
    connection.execute("PRAGMA foreign_keys=ON")
    return connection
