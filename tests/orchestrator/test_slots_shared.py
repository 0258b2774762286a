"""Sessions that share one database share its slots, hear of those that get free, and do not wait for the dead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from prefectlite import Flow, task
from prefectlite.ids import new_id
from prefectlite.orchestrator.queue import LOOK_AGAIN
from prefectlite.records import StateRecord
from prefectlite.rules.proposals import Accept, FlowRunProposal, Replace, Wait
from prefectlite.session import Session, open_session
from prefectlite.settings import Settings
from tests.properties.test_slots import Company

pytestmark = pytest.mark.asyncio


@pytest.fixture(params=["sqlite file", "postgres"])
def shared_url(request: pytest.FixtureRequest) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{request.getfixturevalue('tmp_path') / 'shared.sqlite'}"


@asynccontextmanager
async def two(url: str) -> AsyncIterator[tuple[Session, Session]]:
    settings = Settings(database_url=url)
    async with open_session(settings) as one, open_session(settings) as other:
        yield one, other


async def run(session: Session, flow: Flow) -> bool:
    created, row = await session.create(flow, {})
    return (await session.execute(flow, row, created)).is_successful()


async def test_two_sessions_run_no_more_than_there_are_slots(shared_url: str) -> None:
    inside, most = [0], [0]

    @task(tags=["db"])
    async def query(number: int) -> None:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        await asyncio.sleep(0.03)
        inside[0] -= 1

    with Flow("both") as flow:
        query.map(list(range(10)))
    async with two(shared_url) as (one, other):
        await one.client.limits.set("tag", "db", 2)
        began = time.monotonic()
        assert all(await asyncio.gather(run(one, flow), run(other, flow)))
        assert time.monotonic() - began < 2 * LOOK_AGAIN, "by news, not by looking"
    assert most == [2]


async def test_a_limit_that_another_session_sets_holds_here(shared_url: str) -> None:
    began = asyncio.Event()

    @task(tags=["db"])
    async def query() -> None:
        began.set()

    with Flow("held") as flow:
        query()
    async with two(shared_url) as (one, other):
        await one.client.limits.set("tag", "db", 0)
        async with asyncio.timeout(5):
            while not other.orchestrator.queue.tags:  # noqa: ASYNC110 - news of it has no event
                await asyncio.sleep(0.01)
            running = asyncio.ensure_future(run(other, flow))
            while not await other.database.read("SELECT 1 FROM task_run WHERE state = 'Queued'"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert not began.is_set()
            await one.client.limits.set("tag", "db", 1)
            assert await running


async def test_who_is_gone_keeps_nobody_waiting(shared_url: str) -> None:
    async with two(shared_url) as (one, other):
        company = Company(one)
        await company.open()
        await one.client.limits.set("tag", "db", 0)
        proposal = FlowRunProposal(
            company.runs[1], StateRecord(new_id(), "Running", 1), claim=other.owner.id, takeover_from=company.owners[1]
        )
        assert isinstance(await one.orchestrator.propose(proposal), Accept)
        company.propose(0, "a-1", 0, "Running")  # its owner is nobody
        company.propose(1, "a-1", 0, "Running")
        first, second = [await answer for _, answer in company.asked]
        assert isinstance(first, Replace)
        assert isinstance(second, Replace)
        await one.client.limits.set("tag", "db", 1)
        company.propose(1, "a-1", 0, "Running")
        assert isinstance(await company.asked[-1][1], Wait), "another waits for longer"
        await one.orchestrator.queue.look()
        company.propose(1, "a-1", 0, "Running")
        assert isinstance(await company.asked[-1][1], Accept)
