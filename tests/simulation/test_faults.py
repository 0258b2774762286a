"""The wire: every method of a database with every fault, and no method that it does not know."""

from __future__ import annotations

import inspect
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import pytest

from prefectlite.errors import StoreClosed, StoreUnavailable
from prefectlite.live.hints import Hint
from prefectlite.repository.database import Database, Transaction
from tests.simulation.faults import CALLS, STATEMENTS, Fault, FaultyDatabase, PlainDatabase, faulty, methods_of
from tests.simulation.loop import SimulatedLoop

WAYS: dict[str, Callable[[Any], Any]] = {
    "write": lambda database: database.write(_insert),
    "read": lambda database: database.read("SELECT count(*) FROM t WHERE n >= $1", (0,)),
    "answer": lambda database: database.answer("SELECT 'count ' || count(*) FROM t"),
    "aclose": lambda database: database.aclose(),
}


async def _insert(tx: Transaction) -> str:
    await tx.fetch("SELECT 1")
    await tx.execute("INSERT INTO t VALUES ($1)", (1,))
    await tx.executemany("INSERT INTO t VALUES ($1)", [(2,)])
    tx.announce(Hint(1, 1, []))
    return "written"


class OneFault:
    """The same fault for everything; what was done is counted."""

    def __init__(self, call: Fault | None = None, statement: str = "") -> None:
        self.call, self.statement = call, statement
        self.calls: list[str] = []
        self.hints = 0

    def of_call(self, method: str) -> Fault | None:
        return self.call

    def of_statement(self, method: str) -> Fault | None:
        return Fault.FAIL_BEFORE if method == self.statement else None

    def latency(self, fault: Fault | None) -> float:
        return 50.0 if fault is Fault.DELAY else 0.001

    def arrived(self, method: str, fault: Fault | None) -> None:
        """Nothing more goes wrong."""

    def done(self, method: str, hints: Sequence[Hint]) -> None:
        self.calls.append(method)
        self.hints += len(hints)


class Bench:
    """A wire, and what it leads to."""

    def __init__(self) -> None:
        self.loop = SimulatedLoop(1)
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.execute("CREATE TABLE t (n INTEGER)")

    def do(self, method: str, faults: OneFault) -> Any:
        """What the method answers."""
        return self.loop.run_until_complete(WAYS[method](FaultyDatabase(self.loop, self.connection, faults)))

    @property
    def rows(self) -> int:
        """How much is written."""
        ((count,),) = self.connection.execute("SELECT count(*) FROM t")
        return int(count)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.connection.close()
    made.loop.close()


def test_every_method_is_on_the_wire_and_in_these_tests() -> None:
    awaited = {name for name, member in inspect.getmembers(Database) if inspect.iscoroutinefunction(member)}
    assert set(CALLS) == awaited == set(WAYS)
    assert {name for name in vars(FaultyDatabase) if not name.startswith("__")} >= set(CALLS)
    plain = {name for name in dir(Database) if not name.startswith("_")} - awaited
    assert all(hasattr(FaultyDatabase, name) for name in plain), "and all that is not awaited is there, too"
    assert set(STATEMENTS) == {"fetch", "execute", "executemany"}


def test_a_method_that_is_added_is_on_the_wire() -> None:
    class Grown(Database, Protocol):
        async def backup(self, place: str) -> None:
            """A new one."""

    assert "backup" in methods_of(Grown)
    assert "backup" in vars(faulty(Grown))


@pytest.mark.parametrize("method", CALLS)
def test_without_a_fault_it_answers(bench: Bench, method: str) -> None:
    answers = {"write": "written", "read": [(0,)], "answer": "count 0", "aclose": None}
    assert bench.do(method, OneFault()) == answers[method]
    assert bench.rows == (2 if method == "write" else 0)


@pytest.mark.parametrize("method", CALLS)
def test_failing_before(bench: Bench, method: str) -> None:
    faults = OneFault(Fault.FAIL_BEFORE)
    with pytest.raises(StoreUnavailable):
        bench.do(method, faults)
    assert (bench.rows, faults.calls) == (0, [])


@pytest.mark.parametrize("method", CALLS)
def test_failing_after(bench: Bench, method: str) -> None:
    faults = OneFault(Fault.FAIL_AFTER)
    with pytest.raises(StoreUnavailable):
        bench.do(method, faults)
    assert faults.calls == [method]
    assert (bench.rows, faults.hints) == ((2, 1) if method == "write" else (0, 0))


@pytest.mark.parametrize("method", CALLS)
def test_a_delay(bench: Bench, method: str) -> None:
    bench.do(method, OneFault(Fault.DELAY))
    assert bench.loop.time() > 99


@pytest.mark.parametrize("method", CALLS)
def test_a_duplicate(bench: Bench, method: str) -> None:
    faults = OneFault(Fault.DUPLICATE)
    bench.do(method, faults)
    assert faults.calls == [method, method]
    assert bench.rows == (4 if method == "write" else 0)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_statement_that_fails_takes_its_transaction_with_it(bench: Bench, statement: str) -> None:
    with pytest.raises(StoreUnavailable, match=statement):
        bench.do("write", OneFault(statement=statement))
    assert bench.rows == 0
    assert not bench.connection.in_transaction


def test_a_closed_wire(bench: Bench) -> None:
    database = FaultyDatabase(bench.loop, bench.connection, OneFault())
    database.is_closed = True
    with pytest.raises(StoreClosed):
        bench.loop.run_until_complete(database.read("SELECT 1"))


def test_what_the_wire_leads_to_has_every_method() -> None:
    assert all(hasattr(PlainDatabase, name) for name in dir(Database) if not name.startswith("_"))
