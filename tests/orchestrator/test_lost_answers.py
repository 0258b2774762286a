"""A commit that was made though its answer was lost: it is written again, and once is what there is of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from prefectlite.errors import StoreUnavailable
from prefectlite.ids import new_id
from prefectlite.orchestrator.heard_orders import HeardOrders
from prefectlite.orchestrator.local import LocalOrchestrator
from prefectlite.orchestrator.local_log import LocalRunLog
from prefectlite.orchestrator.local_reader import LocalRunReader
from prefectlite.records import LogRow
from prefectlite.repository.database import Database
from prefectlite.rules.proposals import Accept, FlowRunCreation, FlowRunProposal, Order
from prefectlite.session import Session
from tests.orchestrator.test_local import Scene, state

pytestmark = pytest.mark.asyncio


class OneLostAnswer:
    """A database that commits the first transaction and says that it did not; `then` happens before it is tried again."""

    def __init__(self, database: Database, then: Callable[[], Awaitable[Any]] | None = None) -> None:
        self._database, self._then = database, then
        self.is_lost = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    async def write(self, work: Any, *, durable: bool = False) -> Any:
        answer = await self._database.write(work, durable=durable)
        if self.is_lost:
            return answer
        self.is_lost = True
        if self._then is not None:
            await self._then()
        raise StoreUnavailable("the answer was lost")


@asynccontextmanager
async def door(session: Session, then: Callable[[], Awaitable[Any]] | None = None) -> AsyncIterator[LocalOrchestrator]:
    """A door of its own beside that of the session."""
    made = LocalOrchestrator(OneLostAnswer(session.database, then), session.bus)  # type: ignore[arg-type]
    task = asyncio.create_task(made.run())
    yield made
    made.aclose()
    await task


async def test_log_lines_are_there_once(session: Session) -> None:
    scene = await Scene.make(session)
    log = LocalRunLog(OneLostAnswer(session.database), session.bus)  # type: ignore[arg-type]
    task = asyncio.create_task(log.run())
    for number in range(3):
        log.write(LogRow(new_id(), scene.run_id, None, 1, "INFO", "x", str(number)))
    await log.drain()
    log.aclose()
    await task
    assert await session.database.read("SELECT message FROM log ORDER BY seq") == [("0",), ("1",), ("2",)]


async def test_a_run_that_was_begun_meanwhile_is_not_scheduled_again(session: Session) -> None:
    scene = await Scene.make(session)
    ((flow_id,),) = await session.database.read("SELECT flow_id FROM flow_run WHERE id = $1", (scene.run_id,))
    creation = FlowRunProposal(new_id(), state("Scheduled"), create=FlowRunCreation(flow_id, "r", {}, {}, [], 0))

    async def begin() -> None:
        await session.orchestrator.propose(FlowRunProposal(creation.run_id, state("Running"), claim="other"))

    async with door(session, begin) as lossy:
        assert await lossy.propose(creation) == Accept(1)
    rows = await session.database.read("SELECT state, owner, version FROM flow_run WHERE id = $1", (creation.run_id,))
    assert rows == [("Running", "other", 2)]


async def test_a_claim_that_was_granted_is_granted_though_the_run_is_to_be_cancelled(session: Session) -> None:
    scene = await Scene.make(session)

    async def cancel() -> None:
        await session.orchestrator.propose(FlowRunProposal(scene.run_id, state("Cancelling")))

    async with door(session, cancel) as lossy:
        claim = FlowRunProposal(scene.run_id, state("Running"), claim="me")
        assert await lossy.propose(claim) == Accept(2, Order.CANCEL, 1)


async def test_a_pause_that_somebody_ended_meanwhile_is_accepted(session: Session) -> None:
    scene = await Scene.make(session)
    lease = await scene.claim()

    async def resume() -> None:
        await session.orchestrator.propose(scene.task("Resume", 1))

    async with door(session, resume) as lossy:
        assert await lossy.propose(scene.task("Paused", 0, lease)) == Accept(1)
    assert await scene.row() == ("Resume", 2)


async def test_the_news_are_told_all_the_same(session: Session) -> None:
    scene = await Scene.make(session)
    lease = await scene.claim()
    await session.orchestrator.propose(scene.task("Paused", 0, lease))
    waiting = asyncio.create_task(
        HeardOrders(session.bus, LocalRunReader(session.database)).resumed(scene.run_id, scene.task_run_id)
    )
    await asyncio.sleep(0.05)  # it has looked into the record
    async with door(session) as lossy:
        await lossy.propose(scene.task("Resume", 1))
    async with asyncio.timeout(5):
        record, version = await waiting
    assert (record.name, version) == ("Resume", 2)
