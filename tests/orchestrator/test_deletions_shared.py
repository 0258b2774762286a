"""Sessions that share one database hear of runs that the other has deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from prefectlite import Flow, task
from prefectlite.live.events import ALL_FLOW_RUNS, FlowRunsDeleted
from prefectlite.live.hints import DELETED, Hint, Message
from prefectlite.repository.presence import notices
from prefectlite.session import Session, open_session
from prefectlite.settings import Settings
from tests.orchestrator.test_slots_shared import run, two
from tests.orchestrator.test_slots_shared import shared_url as shared_url


@task
def nothing() -> None:
    pass


with Flow("short") as FLOW:
    nothing()


async def deletion(session: Session) -> bool:
    """Whether one is told of, before the news ends."""
    with session.bus.subscribe(ALL_FLOW_RUNS) as news:
        async for event in news:
            if isinstance(event, FlowRunsDeleted):
                return True
    return False


@pytest_asyncio.fixture
async def alone(database_url: str) -> AsyncIterator[Session]:
    async with open_session(Settings(database_url=database_url)) as session:
        yield session


@pytest.mark.asyncio
async def test_both_hear_of_it(shared_url: str) -> None:
    async with two(shared_url) as (one, other), asyncio.timeout(10):
        assert await run(one, FLOW)
        [(run_id,)] = await one.database.read("SELECT id FROM flow_run")
        hearing = asyncio.gather(deletion(one), deletion(other))
        await asyncio.sleep(0)
        await one.client.flows.delete("flow_run", run_id)
        assert await hearing == [True, True]


@pytest.mark.asyncio
async def test_what_is_rolled_back_is_not_told(alone: Session) -> None:
    with alone.bus.subscribe(ALL_FLOW_RUNS) as news:

        async def work(tx: object) -> None:
            tx.announce(DELETED)  # type: ignore[attr-defined]
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            await alone.database.write(work)
        assert news.unread == 0


def test_a_notice_that_is_too_long_says_the_rest() -> None:
    ids = [f"{n:036}" for n in range(1_000)]
    first, second = notices(Message("x", [Hint(1, 2, ids, slots=True), DELETED]))
    assert len(first) < 8_000
    assert '"slots":true' in first
    assert '"deleted":true' in second
