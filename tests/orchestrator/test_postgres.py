"""The door and the neighbours on PostgreSQL: nothing proposed is lost when the server is restarted, and news is heard."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Callable

import pytest

from prefectlite import Flow, task
from prefectlite.live.bus import Subscription
from prefectlite.live.events import ALL_FLOW_RUNS, StateChange
from prefectlite.orchestrator import postgres_neighbours
from prefectlite.repository import presence
from prefectlite.session import Session, open_session
from prefectlite.settings import Settings
from prefectlite.states import State
from tests.postgres_server import PostgresServer

pytestmark = pytest.mark.asyncio


@task
async def one() -> int:
    return 1


@task
async def wait_for_ever() -> None:
    await asyncio.sleep(3600)


with Flow("short") as SHORT:
    one()

with Flow("endless") as ENDLESS:
    wait_for_ever()


@contextlib.asynccontextmanager
async def sessions(url: str, count: int) -> AsyncIterator[list[Session]]:
    """As many sessions over one database, as if each were in a process of its own."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_session(Settings(database_url=url))) for _ in range(count)]


async def run(session: Session, flow: Flow) -> tuple[str, asyncio.Task[State]]:
    row, flow_row = await session.create(flow, {})
    return row.id, asyncio.create_task(session.execute(flow, flow_row, row))


async def until_state(news: Subscription, run_id: str, name: str) -> list[str]:
    """The states that the run has been in, up to this one."""
    names: list[str] = []
    async with asyncio.timeout(20):
        async for event in news:
            if isinstance(event, StateChange) and event.kind == "flow_run" and event.flow_run_id == run_id:
                names.append(event.state.name)
                if event.state.name == name:
                    return names
    raise AssertionError("the news ended")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for comes from the server
            await asyncio.sleep(0.01)


async def test_what_one_process_runs_the_other_hears_and_cancels(postgres_url: str) -> None:
    async with sessions(postgres_url, 2) as (here, there):
        with there.bus.subscribe(ALL_FLOW_RUNS) as news:
            run_id, running = await run(here, ENDLESS)
            assert await until_state(news, run_id, "Running") == ["Scheduled", "Running"]
            await there.client.cancel_flow_run(run_id)
            assert type(await running).__name__ == "Cancelled"
            assert (await until_state(news, run_id, "Cancelled"))[-1] == "Cancelled"


async def test_neighbours_come_and_go(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_neighbours, "INTERVAL", 0.05)
    async with sessions(postgres_url, 1) as (here,):
        assert here.neighbours is not None
        assert here.neighbours.names == []
        async with sessions(postgres_url, 1):
            await until(lambda: here.neighbours is not None and len(here.neighbours.names) == 1)
        async with asyncio.timeout(10):
            await here.neighbours.departed.wait()
        await until(lambda: here.neighbours is not None and not here.neighbours.names)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["restarted", "crashed"])
async def test_a_restart_of_the_server_loses_nothing(
    postgres_url: str,
    postgres_server: PostgresServer,
    how: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL)
    monkeypatch.setattr(postgres_neighbours, "INTERVAL", 0.05)
    monkeypatch.setattr(presence, "SETTLING", 0.01)

    @task
    async def number(value: int) -> int:
        await asyncio.sleep(0.001)
        return value

    with Flow("wide") as flow:
        number.map(list(range(300)))
    async with sessions(postgres_url, 2) as (here, there):
        run_id, running = await run(here, flow)
        await asyncio.sleep(0.1)
        await asyncio.to_thread(postgres_server.stop, how)
        await asyncio.to_thread(postgres_server.start)
        state = await running
        assert state.is_successful(), state
        found = await there.database.read(
            "SELECT count(*), count(DISTINCT map_index), min(state), max(state) FROM task_run"
            " WHERE flow_run_id = $1 AND map_index >= 0",
            (run_id,),
        )
        assert found == [(300, 300, "Success", "Success")]
        locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2"
        async with asyncio.timeout(20):
            while await here.database.read(locks) != [(2,)]:  # noqa: ASYNC110 - both are there again, and listen
                await asyncio.sleep(0.01)
        with there.bus.subscribe(ALL_FLOW_RUNS) as news:  # its ear is there again, too
            again, running = await run(here, SHORT)
            assert (await until_state(news, again, "Success"))[-1] == "Success"
        assert (await running).is_successful()


async def test_what_is_committed_while_nobody_listens_is_heard_later(
    postgres_url: str, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    async with sessions(postgres_url, 2) as (here, there):
        assert isinstance(there.neighbours, postgres_neighbours.PostgresNeighbours)
        with there.bus.subscribe(ALL_FLOW_RUNS) as news:
            ear = there.neighbours._presence._connection
            assert ear is not None
            await asyncio.to_thread(postgres_server.ask, f"SELECT pg_terminate_backend({ear.get_server_pid()}, 5000)")
            run_id, running = await run(here, SHORT)
            assert (await running).is_successful()
            monkeypatch.setattr(postgres_neighbours, "INTERVAL", 0.05)
            assert await until_state(news, run_id, "Success") == ["Scheduled", "Running", "Success"]
