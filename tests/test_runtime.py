"""`async with Runtime(...)`: what it opens, and that it lets go of everything."""

from __future__ import annotations

import asyncio
import contextvars
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from prefectlite import Flow, FlowRun, Runtime, task
from prefectlite.errors import RunInterrupted, StoreDamaged, UnsupportedLoop
from prefectlite.settings import Settings
from tests.scenarios.processes import rows

pytestmark = pytest.mark.asyncio


@task
async def one() -> int:
    return 1


with Flow("one") as FLOW:
    RESULT = one()


async def ask(runtime: Runtime, query: str, host: str = "localhost") -> Any:
    transport = httpx.ASGITransport(app=runtime.app)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
        return (await client.post("/graphql", json={"query": query})).json()


async def test_it_opens_the_api_over_the_same_record(database_url: str) -> None:
    async with Runtime(database_url=database_url) as runtime:
        await FLOW.run()
        answer = await ask(runtime, "{ flow_run { state flow { name } } }")
    assert answer == {"data": {"flow_run": [{"state": "Success", "flow": {"name": "one"}}]}}


async def test_it_leaves_no_task_behind(database_url: str) -> None:
    before = asyncio.all_tasks()
    async with Runtime(flows=[FLOW], database_url=database_url):
        await FLOW.run()
    assert asyncio.all_tasks() == before


async def test_it_can_be_opened_again(tmp_path: Path) -> None:
    runtime = Runtime(flows=[FLOW], database_url=f"sqlite:///{tmp_path / 'again.sqlite'}")
    for times in (1, 2):
        async with runtime:
            await FLOW.run()
            answer = await ask(runtime, "{ flow_run_aggregate { aggregate { count } } }")
            assert answer["data"]["flow_run_aggregate"]["aggregate"]["count"] == times
    with pytest.raises(RuntimeError, match="not open"):
        _ = runtime.session


async def test_it_may_be_left_in_another_task_and_context_than_it_was_entered(database_url: str) -> None:
    runtime = Runtime(database_url=database_url)
    await asyncio.create_task(runtime.__aenter__())
    run = await asyncio.create_task(FLOW.run())
    await asyncio.get_running_loop().create_task(runtime.__aexit__(None, None, None), context=contextvars.Context())
    assert run[RESULT] == 1


async def test_runs_of_a_request_handler_join_the_runtime_of_their_loop(tmp_path: Path) -> None:
    """A handler has neither the context nor the settings of the task that opened the Runtime."""
    async with Runtime(database_url=f"sqlite:///{tmp_path / 'application.sqlite'}") as runtime:

        async def handler() -> Any:
            return (await FLOW.run())[RESULT]

        answer = await asyncio.get_running_loop().create_task(handler(), context=contextvars.Context())
        assert answer == 1
        assert await runtime.session.database.read("SELECT count(*) FROM flow_run") == [(1,)]


async def test_two_runtimes_of_one_database_share_a_session(database_url: str) -> None:
    async with Runtime(database_url=database_url) as first:
        async with Runtime(database_url=database_url) as second:
            assert first.session is second.session
        assert (await FLOW.run()).is_successful()


async def test_a_database_that_cannot_be_opened_is_said_and_nothing_stays(tmp_path: Path) -> None:
    (tmp_path / "not.sqlite").write_text("no database at all, and longer than a header of a hundred bytes " * 3)
    before = asyncio.all_tasks()
    with pytest.raises(StoreDamaged, match=r"not\.sqlite is damaged"):
        async with Runtime(database_url=f"sqlite:///{tmp_path / 'not.sqlite'}"):
            pass
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    async with Runtime(database_url="sqlite://:memory:"):
        assert (await FLOW.run()).is_successful()


async def test_allowed_hosts(database_url: str) -> None:
    settings = Settings(database_url=database_url, allowed_hosts=("flows.example.com",))
    async with Runtime(settings=settings) as runtime:
        assert await ask(runtime, "{ hello }", host="flows.example.com") == {"data": {"hello": "👋"}}
        with pytest.raises(ValueError, match=r"Expecting value|JSON"):
            await ask(runtime, "{ hello }", host="evil.example.com")


@task
async def wait() -> None:
    BEGUN.set()
    await asyncio.sleep(3600)


BEGUN = threading.Event()
with Flow("waits") as WAITS:
    wait()


async def test_a_detached_run_outlives_the_runtime_it_began_in(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'outlives.sqlite'}"
    BEGUN.clear()
    async with Runtime(flows=[WAITS], database_url=url):
        run = WAITS.run().detach()
        await asyncio.to_thread(BEGUN.wait, 10)
    async with Runtime(database_url=url, agent=False) as runtime:
        assert await runtime.session.database.read("SELECT state FROM flow_run") == [("Running",)]
        run.cancel()
        assert (await run).state.name == "Cancelled"


def ended_loop() -> FlowRun:
    async def main() -> FlowRun:
        run = WAITS.run().detach()
        await asyncio.to_thread(BEGUN.wait, 10)
        return run

    return asyncio.run(main())


async def test_a_loop_that_ends_leaves_its_runs_to_be_taken_up(tmp_path: Path) -> None:
    BEGUN.clear()
    run = await asyncio.to_thread(ended_loop)
    assert rows(tmp_path / "test.sqlite", "SELECT state FROM flow_run") == [("Running",)]
    with pytest.raises(RunInterrupted, match="closed before the run ended"):
        await run


def ended_while_committing() -> None:
    @task
    async def quick(value: None) -> None:
        pass

    with Flow("busy") as busy:
        quick.map([None] * 3_000)

    async def main() -> None:
        busy.run().detach()
        await asyncio.sleep(0.15)

    asyncio.run(main())


async def test_a_loop_that_ends_in_the_midst_of_commits_ends(tmp_path: Path) -> None:
    async with asyncio.timeout(20):
        await asyncio.to_thread(ended_while_committing)
    assert rows(tmp_path / "test.sqlite", "PRAGMA integrity_check") == [("ok",)]


def ended_in_flight(after: float) -> None:
    @task
    async def waits() -> None:
        await asyncio.sleep(60)

    @task
    async def waits_for_another() -> None:
        await asyncio.create_task(asyncio.sleep(60))

    @task
    def waits_in_a_thread() -> None:
        time.sleep(3)

    with Flow("unfinished") as unfinished:
        waits(), waits_for_another(), waits_in_a_thread()

    async def main() -> None:
        awaited = asyncio.create_task(unfinished.run(flow_run_name="awaited"))
        unfinished.run(flow_run_name="detached").detach()
        await asyncio.sleep(after)
        assert not awaited.done()

    asyncio.run(main())


@pytest.mark.parametrize("after", [0.0, 0.01, 0.02, 0.03, 0.05, 0.3])
async def test_a_loop_that_ends_with_runs_in_flight_leaves_a_true_record(tmp_path: Path, after: float) -> None:
    async with asyncio.timeout(20):
        await asyncio.to_thread(ended_in_flight, after)
    try:
        states = dict(rows(tmp_path / "test.sqlite", "SELECT name, state FROM flow_run"))
        tasks = rows(
            tmp_path / "test.sqlite",
            "SELECT r.name, t.state FROM task_run t JOIN flow_run r ON r.id = t.flow_run_id",
        )
    except sqlite3.OperationalError:  # it ended before there was a schema
        states, tasks = {}, []
    if after == 0.3:
        assert states == {"awaited": "Cancelled", "detached": "Running"}
        assert len(tasks) == 6
    assert states.get("awaited", "Cancelled") == "Cancelled"
    assert states.get("detached", "Running") in ("Scheduled", "Running"), "to be taken up again"
    assert all(state == "Cancelled" for name, state in tasks if name == "awaited")
    assert all(state == "Running" for name, state in tasks if name == "detached")


async def test_a_runtime_with_a_database_of_its_own_has_a_session_of_its_own(tmp_path: Path) -> None:
    async with Runtime(flows=[FLOW], database_url=f"sqlite:///{tmp_path / 'a.sqlite'}") as first:
        async with Runtime(database_url=f"sqlite:///{tmp_path / 'b.sqlite'}") as second:
            assert first.session is not second.session
            assert await second.session.database.read("SELECT count(*) FROM flow") == [(0,)]
        again = Runtime(database_url=f"sqlite:///{tmp_path}/../{tmp_path.name}/a.sqlite")
        async with again:
            assert again.session is first.session, "it is the same file"


async def test_a_runtime_is_open_once(database_url: str) -> None:
    runtime = Runtime(database_url=database_url)
    async with runtime:
        with pytest.raises(RuntimeError, match="open already"):
            await runtime.__aenter__()
        assert await ask(runtime, "{ hello }") == {"data": {"hello": "👋"}}


async def test_a_runtime_on_another_loop_says_what_to_do(database_url: str) -> None:
    async def elsewhere() -> None:
        async with Runtime(database_url=database_url):
            pass

    async with Runtime(database_url=database_url):
        with pytest.raises(UnsupportedLoop, match="open the Runtime there"):
            await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
        assert (await FLOW.run()).is_successful()


async def test_a_listener_that_fails_takes_nothing_with_it(tmp_path: Path) -> None:
    async with Runtime(database_url=f"sqlite:///{tmp_path / 'listener.sqlite'}") as runtime:
        neighbours = runtime.session.neighbours
        assert neighbours is not None
        neighbours._heard.append("no hint at all")  # type: ignore[arg-type]
        neighbours._arrived.set()
        assert (await FLOW.run()).is_successful()
