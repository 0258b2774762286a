"""Runs that nobody begins are late a while after they were due, for as long as nothing happens to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
import pytest_asyncio

from prefectlite import Flow, Runtime, task
from prefectlite.services.late_runs import LateRuns
from prefectlite.settings import Settings
from prefectlite.states import Running, Scheduled
from tests.conftest import HeldClock

pytestmark = pytest.mark.asyncio


@task
def nothing() -> None:
    pass


with Flow("late") as late:
    nothing()


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest_asyncio.fixture
async def runtime(database_url: str, clock: HeldClock) -> AsyncIterator[Runtime]:
    settings = Settings(database_url=database_url, late_after_seconds=20)
    async with Runtime([late], settings=settings, clock=clock, agent=False) as opened:
        yield opened


async def run_in(runtime: Runtime, seconds: float) -> str:
    """A run that is due in so many seconds."""
    rows = await runtime.session.database.read("SELECT id FROM flow")
    due = runtime.session.clock.now() + timedelta(seconds=seconds)
    return await runtime.session.client.create_flow_run(flow_id=rows[0][0], scheduled_start_time=due)


async def late_ones(runtime: Runtime) -> set[str]:
    rows = await runtime.session.database.read("SELECT id FROM flow_run WHERE late_version = version")
    return {row[0] for row in rows}


async def until_late(runtime: Runtime, *run_ids: str) -> None:
    async with asyncio.timeout(20):
        while await late_ones(runtime) != set(run_ids):  # noqa: ASYNC110 - the record is asked
            await asyncio.sleep(0.01)


async def test_by_and_by(runtime: Runtime, clock: HeldClock) -> None:
    first = await run_in(runtime, -1)
    service = asyncio.create_task(LateRuns(runtime.session).run())
    await clock.sleeper()
    second = await run_in(runtime, 3600)
    clock.advance(18)
    assert await LateRuns(runtime.session).look() == 0
    clock.advance(1)
    await until_late(runtime, first)
    third = await run_in(runtime, 5)  # earlier than what is waited for
    clock.advance(25)
    await until_late(runtime, first, third)
    clock.advance(3600)
    await until_late(runtime, first, second, third)
    service.cancel()
    await asyncio.wait([service])
    assert service.cancelled()


async def test_what_happens_to_a_run_ends_it(runtime: Runtime, clock: HeldClock) -> None:
    client, service = runtime.session.client, LateRuns(runtime.session)
    begun, put_off, in_time = [await run_in(runtime, 0) for _ in range(3)]
    await client.set_flow_run_state(in_time, Running())
    clock.advance(20)
    assert await service.look() == 2
    assert await service.look() == 0
    assert await late_ones(runtime) == {begun, put_off}
    await client.set_flow_run_state(begun, Running())
    await client.set_flow_run_state(put_off, Scheduled(start_time=clock.now() + timedelta(seconds=10)))
    assert await late_ones(runtime) == set()
    clock.advance(30)
    assert await service.look() == 1
    assert await late_ones(runtime) == {put_off}


async def test_asking_for_them(runtime: Runtime, clock: HeldClock) -> None:
    run_id = await run_in(runtime, 0)
    await run_in(runtime, 100)
    clock.advance(50)
    await LateRuns(runtime.session).look()
    query = "{ flow_run(where: {is_late: {_eq: true}}) { id is_late } }"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(runtime.app), base_url="http://localhost") as http:
        answer = (await http.post("/graphql", json={"query": query})).json()
    assert answer == {"data": {"flow_run": [{"id": run_id, "is_late": True}]}}


async def test_a_restart_of_the_service_finds_the_rest(runtime: Runtime, clock: HeldClock) -> None:
    run_id = await run_in(runtime, 0)
    clock.advance(60)
    service = asyncio.create_task(LateRuns(runtime.session).run())
    await until_late(runtime, run_id)
    service.cancel()
    await asyncio.wait([service])
