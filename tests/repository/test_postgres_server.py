"""PostgreSQL servers that cannot be used, or go away while they are."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from prefectlite.errors import SchemaTooNew, StoreError, StoreUnavailable
from prefectlite.repository import postgres
from prefectlite.repository.database import Transaction
from prefectlite.repository.postgres import PostgresDatabase
from prefectlite.repository.urls import open_database
from tests.postgres_server import PostgresServer
from tests.repository.postgres_projects import insert, names, opened_at

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def database(postgres_url: str) -> AsyncIterator[PostgresDatabase]:
    opened = await opened_at(postgres_url)
    yield opened
    await opened.aclose()


async def test_processes_that_start_at_once_on_an_empty_database_all_come_up(postgres_server: PostgresServer) -> None:
    url = postgres_server.url_of(postgres_server.new_database("template0"))
    opened = await asyncio.gather(*(open_database(url) for _ in range(4)))
    assert await opened[0].read("SELECT count(*) > 0 FROM migration") == [(True,)]
    for database in opened:
        await database.aclose()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ("INSERT INTO migration VALUES (9999, 'of tomorrow', 'x')", SchemaTooNew, "has schema 9999"),
        ("UPDATE migration SET digest = 'x' WHERE number = 1", StoreError, "another text of migration 1"),
    ],
)
async def test_a_schema_that_is_not_ours(
    postgres_server: PostgresServer, change: str, error: type[Exception], message: str
) -> None:
    name = postgres_server.new_database()
    postgres_server.ask(change, name)
    with pytest.raises(error, match=message):
        await open_database(postgres_server.url_of(name))
    postgres_server.ask(f"DROP DATABASE {name} WITH (FORCE)")


async def test_a_server_that_is_not_there_is_named_without_the_password(
    free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "PATIENCE", 0.2)
    with pytest.raises(StoreUnavailable, match=f"postgresql://127.0.0.1:{free_port}/flows cannot be") as raised:
        await open_database(f"postgresql://ann:s3cret@127.0.0.1:{free_port}/flows")
    assert "s3cret" not in str(raised.value)


async def test_what_waiting_does_not_help_is_said_at_once(postgres_server: PostgresServer) -> None:
    async with asyncio.timeout(postgres.PATIENCE / 2):
        with pytest.raises(StoreUnavailable, match='database "nowhere" does not exist'):
            await open_database(postgres_server.url_of("nowhere"))
        with pytest.raises(StoreUnavailable, match='role "nobody" does not exist'):
            await open_database(postgres_server.url_of("postgres", user="nobody"))


async def test_a_role_without_the_right_to_make_tables(postgres_server: PostgresServer) -> None:
    postgres_server.ask("CREATE ROLE guest LOGIN")
    empty = postgres_server.new_database("template0")
    with pytest.raises(StoreUnavailable, match=r"permission denied.*needs the right to make tables"):
        await open_database(postgres_server.url_of(empty, user="guest"))
    made = postgres_server.new_database()
    rights = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO guest; SELECT 1"
    postgres_server.ask(rights, made)
    database = await open_database(postgres_server.url_of(made, user="guest"))
    await database.write(insert("one"))
    await database.aclose()
    for name in (made, empty):
        postgres_server.ask(f"DROP DATABASE {name} WITH (FORCE)")
    postgres_server.ask("DROP ROLE guest")


# -- a server that goes away ----------------------------------------------------------------------------------------------


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for happens on the server
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["restarted", "crashed"])
async def test_a_server_that_was_restarted_is_used_again(
    database: PostgresDatabase, postgres_server: PostgresServer, how: signal.Signals
) -> None:
    await database.write(insert("before"))
    assert await names(database) == ["before"]
    await asyncio.to_thread(postgres_server.stop, how)
    await asyncio.to_thread(postgres_server.start)
    assert await names(database) == ["before"]
    await database.write(insert("after"))
    assert await names(database) == ["after", "before"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["restarted", "crashed"])
async def test_whatever_a_dying_server_does_is_one_error(
    database: PostgresDatabase, postgres_server: PostgresServer, how: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "PATIENCE", 0.05)
    written: set[str] = set()
    told: list[BaseException] = []
    stopped = asyncio.Event()

    async def use(user: int) -> None:
        number = 0
        while not stopped.is_set():
            number += 1
            name = f"{user}-{number}"
            try:
                await database.write(insert(name))
                written.add(name)
                await names(database)
            except StoreUnavailable as error:
                told.append(error)
                await asyncio.sleep(0.01)

    users = [asyncio.create_task(use(user)) for user in range(8)]
    await until(lambda: len(written) >= 50)
    await asyncio.to_thread(postgres_server.stop, how)
    await until(lambda: len(told) >= 8)
    await asyncio.to_thread(postgres_server.start)
    monkeypatch.setattr(postgres, "PATIENCE", 10)
    before = len(written)
    await until(lambda: len(written) >= before + 50)
    stopped.set()
    await asyncio.gather(*users)
    assert set(await names(database)) >= written


async def test_a_connection_that_somebody_ends(database: PostgresDatabase, postgres_server: PostgresServer) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def work(tx: Transaction) -> None:
        await insert("one")(tx)
        begun.set()
        await go.wait()
        await insert("two")(tx)

    writing = asyncio.create_task(database.write(work))
    await begun.wait()
    ((name,),) = await database.read("SELECT current_database()")
    postgres_server.ask(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'")
    go.set()
    with pytest.raises(StoreUnavailable, match="cannot be used"):
        await writing
    assert await names(database) == []
    await database.write(insert("three"))
    assert await names(database) == ["three"]
