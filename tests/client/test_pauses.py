"""Pausing flow runs: nothing more begins, and a resumed run goes on where it was, in this process or in another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from prefectlite import Flow, Runtime, task
from prefectlite.errors import BadRequest, TransitionRefused
from prefectlite.repository import runs
from prefectlite.settings import Settings
from tests.conftest import HeldClock

pytestmark = pytest.mark.asyncio
began: list[str] = []
gates: dict[str, asyncio.Event] = {}


@task
async def first() -> int:
    began.append("first")
    await gates["first"].wait()
    return 1


@task
async def second(number: int) -> int:
    began.append("second")
    return number + 1


@task
def third(number: int) -> int:
    began.append("third")
    return number + 1


with Flow("held") as flow:
    third(second(first()))


@pytest.fixture(autouse=True)
def fresh() -> None:
    began.clear()
    gates["first"] = asyncio.Event()


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest_asyncio.fixture
async def runtime(database_url: str) -> AsyncIterator[Runtime]:
    async with Runtime([flow], database_url=database_url) as opened:
        yield opened


async def made(runtime: Runtime, **more: Any) -> str:
    ((flow_id,),) = await runtime.session.database.read("SELECT id FROM flow")
    return await runtime.session.client.create_flow_run(flow_id=flow_id, **more)


async def message_in(runtime: Runtime, run_id: str, state: str) -> str | None:
    """The message, once the run is in this state."""
    async with asyncio.timeout(20):
        while True:
            found, _ = await runs.state_of(runtime.session.database, "flow_run", run_id)
            if found.name == state:
                return found.message
            await asyncio.sleep(0.01)


async def until_begun(count: int) -> None:
    async with asyncio.timeout(20):
        while len(began) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def task_states(runtime: Runtime) -> list[str]:
    return sorted(row[0] for row in await runtime.session.database.read("SELECT state FROM task_run"))


async def test_nothing_more_begins_until_it_is_resumed(runtime: Runtime) -> None:
    run_id, pauses = await made(runtime), runtime.session.client.pauses
    await until_begun(1)
    await pauses.pause_flow_run(run_id, "let me look", "ann")
    gates["first"].set()
    async with asyncio.timeout(20):
        while await task_states(runtime) != ["Success"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert began == ["first"]
    assert await message_in(runtime, run_id, "Paused") == "Paused by ann: let me look"
    assert await pauses.resume_flow_run(run_id, "it is fine", "bob") == "Running"
    await message_in(runtime, run_id, "Success")
    assert began == ["first", "second", "third"]
    states = await runtime.session.database.read("SELECT state, message FROM flow_run_state ORDER BY seq")
    assert [state for state, _ in states] == ["Scheduled", "Running", "Paused", "Running", "Success"]
    assert states[3][1] == "Resumed by bob: it is fine"
    with pytest.raises(BadRequest, match="is not paused: it is Success"):
        await pauses.resume_flow_run(run_id)
    with pytest.raises(TransitionRefused, match="has ended as Success"):
        await pauses.pause_flow_run(run_id)


async def test_a_run_that_waits_does_not_begin(runtime: Runtime) -> None:
    later = runtime.session.clock.now() + timedelta(seconds=0.3)
    run_id, pauses = await made(runtime, scheduled_start_time=later), runtime.session.client.pauses
    await pauses.pause_flow_run(run_id)
    await asyncio.sleep(0.5)
    assert not began
    gates["first"].set()
    assert await pauses.resume_flow_run(run_id) == "Resume"
    await message_in(runtime, run_id, "Success")


async def test_paused_again_and_again(runtime: Runtime) -> None:
    run_id, pauses = await made(runtime), runtime.session.client.pauses
    await until_begun(1)
    for number in range(5):
        await pauses.pause_flow_run(run_id, str(number))
        await pauses.pause_flow_run(run_id, f"{number} again")
        assert await message_in(runtime, run_id, "Paused") == f"Paused by somebody: {number} again"
        await pauses.resume_flow_run(run_id)
    gates["first"].set()
    await message_in(runtime, run_id, "Success")
    assert began == ["first", "second", "third"]


@pytest.mark.parametrize("is_executing", [False, True])
async def test_a_paused_run_is_cancelled(runtime: Runtime, is_executing: bool) -> None:
    later = runtime.session.clock.now() + timedelta(hours=0 if is_executing else 1)
    run_id, client = await made(runtime, scheduled_start_time=later), runtime.session.client
    if is_executing:
        await until_begun(1)
    await client.pauses.pause_flow_run(run_id)
    assert await client.cancel_flow_run(run_id) in ("Cancelling", "Cancelled")
    await message_in(runtime, run_id, "Cancelled")
    assert set(await task_states(runtime)) <= {"Cancelled"}


async def test_a_paused_run_stays_paused_when_its_process_is_gone(postgres_or_file: str) -> None:
    async with Runtime([flow], database_url=postgres_or_file) as runtime:
        run_id = await made(runtime)
        await until_begun(1)
        await runtime.session.client.pauses.pause_flow_run(run_id, "over night")
        gates["first"].set()
        async with asyncio.timeout(20):
            while await task_states(runtime) != ["Success"]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    async with Runtime([flow], database_url=postgres_or_file) as runtime:
        async with asyncio.timeout(20):
            while (await runs.flow_run(runtime.session.database, run_id)).owner is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await message_in(runtime, run_id, "Paused") == "Paused by somebody: over night"
        assert began == ["first"]
        assert await runtime.session.client.pauses.resume_flow_run(run_id) == "Resume"
        await message_in(runtime, run_id, "Success")
        assert began == ["first", "second", "third"]


@pytest.fixture(params=["sqlite file", "postgres"])
def postgres_or_file(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'kept.sqlite'}"


@pytest.mark.parametrize(
    ("then", "state"), [(None, "Failed"), ("fail", "Failed"), ("cancel", "Cancelled"), ("resume", "Success")]
)
@pytest.mark.parametrize("is_executing", [False, True])
async def test_a_pause_is_over(
    database_url: str, clock: HeldClock, then: str | None, state: str, is_executing: bool
) -> None:
    async with Runtime([flow], settings=Settings(database_url=database_url), clock=clock) as runtime:
        later = clock.now() + timedelta(seconds=0 if is_executing else 3600)
        run_id, pauses = await made(runtime, scheduled_start_time=later), runtime.session.client.pauses
        if is_executing:
            await until_begun(1)
        with pytest.raises(BadRequest, match=r"expires: .* is past"):
            await pauses.pause_flow_run(run_id, expires=clock.now())
        with pytest.raises(BadRequest, match="then: 'explode' is not one of fail, cancel, resume"):
            await pauses.pause_flow_run(run_id, expires=clock.now() + timedelta(hours=2), then="explode")
        with pytest.raises(BadRequest, match="say with expires when"):
            await pauses.pause_flow_run(run_id, then="fail")
        await pauses.pause_flow_run(run_id, expires=clock.now() + timedelta(hours=2), then=then)
        gates["first"].set()
        for _ in range(2):
            await asyncio.sleep(0.05)
            clock.advance(3600 - 30)
        assert (await runs.flow_run(runtime.session.database, run_id)).state == "Paused"
        async with asyncio.timeout(20):
            while (await runs.flow_run(runtime.session.database, run_id)).state != state:
                clock.advance(30)
                await asyncio.sleep(0.01)
        assert set(await task_states(runtime)) <= {"Success", "Cancelled"}
        words = await runtime.session.database.read("SELECT message FROM flow_run_state WHERE message LIKE 'Nobody%'")
        assert len(words) == (0 if (then, is_executing) == ("cancel", False) else 1)
