"""Pausing one task run from outside, before it has begun: it waits, the others go on, and a person lets it go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from prefectlite import Flow, Runtime, task
from prefectlite.errors import TransitionRefused
from prefectlite.repository import runs
from prefectlite.settings import load_settings
from prefectlite.states import Paused, Resume, Success

pytestmark = pytest.mark.asyncio
began: list[str] = []
gates: dict[str, asyncio.Event] = {}


@task
async def first() -> list[int]:
    began.append("first")
    await gates["first"].wait()
    return [1, 2]


@task
async def second(numbers: list[int]) -> int:
    began.append("second")
    return len(numbers)


@task(tags=["scarce"])
def other(numbers: list[int]) -> int:
    began.append("other")
    return len(numbers)


@task
def each(number: int) -> int:
    began.append(f"each {number}")
    return number


with Flow("tasks") as flow:
    numbers = first()
    second(numbers)
    other(numbers)
    each.map(numbers)


@pytest.fixture(autouse=True)
def fresh() -> None:
    began.clear()
    gates["first"] = asyncio.Event()


@pytest_asyncio.fixture
async def runtime(database_url: str) -> AsyncIterator[Runtime]:
    async with Runtime([flow], database_url=database_url) as opened:
        yield opened


async def started(runtime: Runtime) -> str:
    """The id of a run of which `first` executes."""
    ((flow_id,),) = await runtime.session.database.read("SELECT id FROM flow")
    run_id = await runtime.session.client.create_flow_run(flow_id=flow_id)
    await until(runtime, "first", "Running")
    return str(run_id)


async def made(runtime: Runtime, run_id: str, name: str) -> str:
    """The id of a task run, which is made if it is not there."""
    ((task_id,),) = await runtime.session.database.read("SELECT id FROM task WHERE name = $1", (name,))
    return (await runtime.session.client.foreign.task_run(run_id, task_id)).id


async def state(runtime: Runtime, name: str) -> str | None:
    sql = "SELECT r.state FROM task_run r JOIN task t ON t.id = r.task_id WHERE t.name = $1 ORDER BY map_index"
    rows = await runtime.session.database.read(sql, (name,))
    return rows[0][0] if rows else None


async def until(runtime: Runtime, name: str, wanted: str) -> None:
    async with asyncio.timeout(20):
        while await state(runtime, name) != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def ended(runtime: Runtime, run_id: str) -> None:
    async with asyncio.timeout(20):
        while (await runs.state_of(runtime.session.database, "flow_run", run_id))[0].name != "Success":  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("name", ["second", "other"])
async def test_it_waits_and_the_others_go_on(runtime: Runtime, name: str) -> None:
    run_id, client = await started(runtime), runtime.session.client
    task_run = await made(runtime, run_id, name)
    await client.set_task_run_state(task_run, Paused("look at it first"))
    gates["first"].set()
    await until(runtime, "each", "Mapped")
    await until(runtime, {"second": "other", "other": "second"}[name], "Success")
    await asyncio.sleep(0.1)
    assert name not in began
    assert await state(runtime, name) == "Paused"
    with pytest.raises(TransitionRefused, match="is paused already"):
        await client.set_task_run_state(task_run, Paused())
    await client.set_task_run_state(task_run, Resume("it is fine"))
    await ended(runtime, run_id)
    assert began.count(name) == 1
    sql = "SELECT state FROM task_run_state WHERE task_run_id = $1 ORDER BY seq"
    states = [row[0] for row in await runtime.session.database.read(sql, (task_run,))]
    assert states == ["Pending", "Paused", "Resume", "Running", "Success"]


async def test_a_mapped_task_makes_no_children_before(runtime: Runtime) -> None:
    run_id, client = await started(runtime), runtime.session.client
    task_run = await made(runtime, run_id, "each")
    await client.set_task_run_state(task_run, Paused("look at it first"))
    gates["first"].set()
    await until(runtime, "second", "Success")
    await asyncio.sleep(0.1)
    assert await state(runtime, "each") == "Paused"
    await client.pauses.resume_task_run(task_run, by="ann")
    await ended(runtime, run_id)
    assert {"each 1", "each 2"} <= set(began)


async def test_what_has_begun_is_not_paused(runtime: Runtime) -> None:
    run_id, client = await started(runtime), runtime.session.client
    task_run = await made(runtime, run_id, "first")
    with pytest.raises(TransitionRefused, match="has begun, it is Running: only its own code pauses it"):
        await client.set_task_run_state(task_run, Paused())
    gates["first"].set()
    await ended(runtime, run_id)
    with pytest.raises(TransitionRefused, match="has ended as Success"):
        await client.set_task_run_state(task_run, Paused())


async def test_while_the_run_is_paused_itself(runtime: Runtime) -> None:
    run_id, client = await started(runtime), runtime.session.client
    await client.pauses.pause_flow_run(run_id)
    second_run, other_run = await made(runtime, run_id, "second"), await made(runtime, run_id, "other")
    await client.set_task_run_state(second_run, Paused())
    await client.set_task_run_state(other_run, Success("done by hand"))
    gates["first"].set()
    await until(runtime, "first", "Success")
    assert (await runs.state_of(runtime.session.database, "flow_run", run_id))[0].name == "Paused"
    await client.pauses.resume_flow_run(run_id)
    await until(runtime, "each", "Mapped")
    assert await state(runtime, "second") == "Paused"
    await client.pauses.resume_task_run(second_run)
    await ended(runtime, run_id)
    assert "other" not in began


@pytest.mark.parametrize("name", ["second", "other", "each"])
async def test_a_task_run_that_somebody_only_made_is_gone_on_with(runtime: Runtime, name: str) -> None:
    await runtime.session.client.limits.set("tag", "scarce", 1)
    run_id = await started(runtime)
    task_run = await made(runtime, run_id, name)
    gates["first"].set()
    await ended(runtime, run_id)
    rows = await runtime.session.database.read("SELECT state FROM task_run WHERE id = $1", (task_run,))
    assert rows == [("Mapped",) if name == "each" else ("Success",)]


@task
async def held(name: str) -> None:
    began.append(name)
    await gates["first"].wait()


with Flow("crowded") as crowded:
    held("one", task_args={"name": "one"})
    held("two", task_args={"name": "two"})


async def test_one_that_waits_for_a_place(database_url: str) -> None:
    settings = load_settings(database_url=database_url, max_coroutines=1)
    async with Runtime([crowded], settings=settings) as runtime:
        client, database = runtime.session.client, runtime.session.database
        ((flow_id,),) = await database.read("SELECT id FROM flow")
        run_id = await client.create_flow_run(flow_id=flow_id)
        async with asyncio.timeout(20):
            while not began:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        other = "two" if began == ["one"] else "one"
        await until(runtime, began[0], "Running")
        task_run = await made(runtime, run_id, other)
        await client.set_task_run_state(task_run, Paused())
        gates["first"].set()
        await until(runtime, began[0], "Success")
        await asyncio.sleep(0.1)
        assert (await state(runtime, other), len(began)) == ("Paused", 1)
        await client.pauses.resume_task_run(task_run)
        await ended(runtime, run_id)
        assert sorted(began) == ["one", "two"]
