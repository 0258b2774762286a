"""What is PostgreSQL's own: transactions in order across processes, and notices between them."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import msgspec
import pytest
import pytest_asyncio

from prefectlite.errors import StoreClosed, StoreError, StoreUnavailable
from prefectlite.live.hints import Hint, Message
from prefectlite.repository import presence
from prefectlite.repository.database import Transaction
from prefectlite.repository.postgres import READERS, PostgresDatabase
from prefectlite.repository.presence import Presence, notices
from prefectlite.repository.urls import postgres_place
from tests.postgres_server import PostgresServer
from tests.repository.postgres_projects import MADE, Work, insert, names, opened_at

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def database(postgres_url: str) -> AsyncIterator[PostgresDatabase]:
    opened = await opened_at(postgres_url)
    yield opened
    await opened.aclose()


# -- statements -----------------------------------------------------------------------------------------------------------


async def test_rows_are_written_as_arrays_and_one_by_one_alike(database: PostgresDatabase) -> None:
    await database.write(insert("one"))
    await database.write(insert("two", "three"))
    await database.write(insert())

    async def large(tx: Transaction) -> None:
        rows = [(f"{n}" * 5_000_000, n) for n in range(3)]
        await tx.executemany("INSERT INTO project (id, name, created, updated) VALUES ($2, $1, $2, 0)", [])
        await tx.executemany("UPDATE project SET description = $1 WHERE created = $2", rows)

    await database.write(large)
    found = await database.read("SELECT id, name, length(description), created FROM project ORDER BY id")
    assert found == [(name, name, 5_000_000, 0) for name in ("one", "three", "two")]


@pytest.mark.parametrize("value", ["", "ü👋", "\x01'\\", "x" * 100_000, None])
async def test_text_comes_back_as_it_was(database: PostgresDatabase, value: str | None) -> None:
    async def work(tx: Transaction) -> None:
        await tx.execute(
            "INSERT INTO project (id, name, description, created, updated) VALUES ('i', 'n', $1, 1, 2)", (value,)
        )

    await database.write(work)
    assert await database.read("SELECT description FROM project WHERE id = $1", ("i",)) == [(value,)]


async def test_the_one_character_that_cannot_be_kept_is_shown(database: PostgresDatabase) -> None:
    await database.write(insert("a\x00b"))
    await database.write(insert("c\x00", "\x00d"))
    assert await names(database) == ["a␀b", "c␀", "␀d"]
    assert await database.read("SELECT count(*) FROM project WHERE name = $1", ("a\x00b",)) == [(1,)]


async def test_a_mistake_of_the_callers_is_the_callers(database: PostgresDatabase) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        await database.read("SELECT * FROM nothing")
    with pytest.raises(asyncpg.DataError, match="invalid input"):
        await database.read("SELECT name FROM project WHERE created = $1", ("text",))
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await database.write(_executing("INSERT INTO edge VALUES ('e', 'no flow', 'no task', 'no task', NULL, 0)"))
    assert await names(database) == []


def _executing(sql: str) -> Work:
    async def work(tx: Transaction) -> None:
        await tx.execute(sql)

    return work


async def test_rows_that_are_sent_together_and_in_turn(database: PostgresDatabase) -> None:
    flow = "INSERT INTO project (id, name, created, updated, description) VALUES ($1, $2, $3, 0, $4)"
    counters = "INSERT INTO counter (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value"

    async def work(tx: Transaction) -> list[Any]:
        await tx.executemany(flow, [("1", "a", 1, None), ("2", "b", 2, "it's")])
        await tx.executemany(counters, [("x", 1), ("y", 2)])
        await tx.executemany(counters, [("x", 3)])  # after the first, not with it
        await tx.executemany(flow, [("3", "c", 3, "")])
        return await tx.fetch("SELECT name, value FROM counter WHERE name IN ('x', 'y') ORDER BY name")

    assert await database.write(work) == [("x", 3), ("y", 2)]
    assert await database.read("SELECT id, name, created, updated, description FROM project ORDER BY id") == [
        ("1", "a", 1, 0, None),
        ("2", "b", 2, 0, "it's"),
        ("3", "c", 3, 0, ""),
    ]
    await database.write(_executing("DELETE FROM counter WHERE name IN ('x', 'y')"))


# -- transactions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("no"), asyncio.CancelledError("no")])
async def test_a_transaction_that_fails_is_undone(database: PostgresDatabase, error: BaseException) -> None:
    async def work(tx: Transaction) -> None:
        await insert("one", "two")(tx)
        raise error

    with pytest.raises(type(error)):
        await database.write(work)
    await database.write(insert("three"))
    assert await names(database) == ["three"]


async def test_a_statement_that_fails_undoes_the_transaction(database: PostgresDatabase) -> None:
    await database.write(insert("one"))
    with pytest.raises(asyncpg.UniqueViolationError):
        await database.write(insert("two", "one"))

    async def careless(tx: Transaction) -> None:
        await tx.execute(MADE, ("two", 0))
        with contextlib.suppress(asyncpg.UniqueViolationError):
            await tx.execute(MADE, ("one", 0))

    with pytest.raises(StoreError, match="was rolled back"):
        await database.write(careless)
    assert await names(database) == ["one"]


@pytest.mark.parametrize("seed", range(3))
async def test_writers_may_be_cancelled_at_any_moment(database: PostgresDatabase, seed: int) -> None:
    dice = random.Random(seed)

    async def write(number: int) -> None:
        await database.write(insert(f"{number} left", f"{number} right"))

    tasks = [asyncio.create_task(write(number)) for number in range(60)]
    for _ in range(30):
        dice.choice(tasks).cancel()
        await asyncio.sleep(0)
    await asyncio.wait(tasks)
    await database.write(insert("last"))
    found = [name.split()[0] for name in await names(database) if name != "last"]
    assert set(found) >= {str(number) for number, task in enumerate(tasks) if not task.cancelled()}
    assert len(found) == 2 * len(set(found))


async def test_many_may_read_at_once_and_be_cancelled(database: PostgresDatabase) -> None:
    await database.write(insert("one"))
    for _ in range(5):
        reading = [asyncio.create_task(names(database)) for _ in range(READERS * 5)]
        await asyncio.sleep(random.random() / 100)
        for task in reading[::2]:
            task.cancel()
        await asyncio.wait(reading)
        assert {tuple(task.result()) for task in reading[1::2]} == {("one",)}
    ((connections,),) = await database.read("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
    assert connections <= READERS + 1


async def test_readers_cannot_write(database: PostgresDatabase) -> None:
    with pytest.raises(StoreUnavailable, match="read-only"):
        await database.read("DELETE FROM project")


async def test_writers_of_several_processes_come_one_after_another(database: PostgresDatabase, postgres_url: str) -> None:
    async def work(tx: Transaction) -> None:
        ((value,),) = await tx.fetch("SELECT value FROM counter WHERE name = 'seq'")
        await tx.execute("UPDATE counter SET value = $1 WHERE name = 'seq'", (value + 1,))

    others = [await opened_at(postgres_url) for _ in range(3)]
    try:
        await asyncio.gather(*(one.write(work) for one in (database, *others) for _ in range(25)))
    finally:
        for other in others:
            await other.aclose()
    assert await database.read("SELECT value FROM counter WHERE name = 'seq'") == [(100,)]


async def test_a_closed_database_says_so(postgres_url: str) -> None:
    database = await opened_at(postgres_url)
    await names(database)
    await database.aclose()
    for use in (names(database), database.write(insert("one"))):
        with pytest.raises(StoreClosed, match="has been closed"):
            await use


async def test_every_commit_is_durable(database: PostgresDatabase) -> None:
    async def work(tx: Transaction) -> list[Any]:
        return await tx.fetch("SHOW synchronous_commit")

    assert await database.write(work) == [("on",)]


# -- presence -------------------------------------------------------------------------------------------------------------


async def test_notices_come_to_others_only(postgres_url: str) -> None:
    here, there = await opened_at(postgres_url), await opened_at(postgres_url)
    heard: asyncio.Queue[tuple[str, Message]] = asyncio.Queue()

    def ear(name: str) -> Callable[[str], None]:
        return lambda words: heard.put_nowait((name, msgspec.json.decode(words, type=Message)))

    one, other = Presence(here, "one", ear("here")), Presence(there, "other", ear("there"))
    await one.open()
    await other.open()
    hints = [Hint(number, number, [f"a'b {number}"]) for number in range(300)]
    await one.tell(hints)
    await one.close([Hint(300, 300, [])])
    said: list[Hint] = []
    async with asyncio.timeout(10):
        while True:
            name, message = await heard.get()
            assert name == "there"
            said += message.hints
            if message.leaving:
                break
    assert said == [*hints, Hint(300, 300, [])]
    assert heard.empty()
    await other.close([])
    await here.aclose()
    await there.aclose()


async def test_what_is_announced_is_passed_on_after_the_commit(database: PostgresDatabase) -> None:
    announced: list[Hint] = []
    database.announced = announced.append

    async def failing(tx: Transaction) -> None:
        tx.announce(Hint(1, 1, []))
        raise ZeroDivisionError

    async def telling(tx: Transaction) -> None:
        tx.announce(Hint(2, 3, []))
        assert not announced

    with pytest.raises(ZeroDivisionError):
        await database.write(failing)
    await database.write(telling)
    assert announced == [Hint(2, 3, [])]


async def test_a_notice_that_names_too_many_runs_names_none() -> None:
    texts = notices(Message("me", [Hint(1, 500, [str(n) * 36 for n in range(500)])]))
    assert texts == notices(Message("me", [Hint(1, 500, [])]))


async def test_an_owner_is_gone_when_its_connection_is(
    postgres_url: str, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "SETTLING", 0.01)
    database = await opened_at(postgres_url)
    one, other = Presence(database, "one", print), Presence(database, "other", print)
    await one.open()
    await other.open()
    assert [await one.is_gone(name) for name in ("one", "other", "nobody")] == [False, False, True]
    assert not await one.look_around()
    assert len(one.others) == 1
    assert other._connection is not None
    process = other._connection.get_server_pid()
    postgres_server.ask(f"SELECT pg_terminate_backend({process}, 5000)")
    assert await one.is_gone("other")
    assert await one.look_around()
    await other.look_around()  # it lives, and comes back
    assert not await one.is_gone("other")
    await other.close([])
    await one.close([])
    await database.aclose()


async def test_the_name_of_a_database() -> None:
    assert postgres_place("postgres://ann:pw@db.example/flows") == "postgresql://db.example:5432/flows"
