"""A database that cannot be written for longer than anybody tries at once: what runs do waits, and others are told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from prefectlite.errors import StoreUnavailable
from prefectlite.ids import new_id
from prefectlite.live.bus import Bus
from prefectlite.orchestrator import log_backlog, persistence
from prefectlite.orchestrator.local import LocalOrchestrator
from prefectlite.orchestrator.local_log import LocalRunLog
from prefectlite.records import LogRow
from prefectlite.rules.proposals import Accept, FlowRunProposal
from prefectlite.session import Session
from tests.orchestrator.test_local import Scene, state

pytestmark = pytest.mark.asyncio


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persistence, "RETRY_DELAYS", (0.001, 0.001))


class Shut:
    """A database that cannot be written until it is let go on."""

    def __init__(self, session: Session) -> None:
        self._database = session.database
        self.is_shut, self.tried = True, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    async def write(self, work: Any, *, durable: bool = False) -> Any:
        self.tried += 1
        if self.is_shut:
            raise StoreUnavailable("the disk is full")
        return await self._database.write(work, durable=durable)

    async def tried_again(self, times: int = 10) -> None:
        """Return when it has been tried so often, from now on."""
        enough = self.tried + times
        while self.tried < enough:  # noqa: ASYNC110 - it owes the answer
            await asyncio.sleep(0.001)


@asynccontextmanager
async def at_work(door: LocalOrchestrator | LocalRunLog) -> AsyncIterator[None]:
    task = asyncio.create_task(door.run())
    yield
    door.aclose()
    await task


async def test_what_runs_do_waits_and_who_asks_from_outside_is_told(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    scene = await Scene.make(session)
    lease = await scene.claim()
    database = Shut(session)
    door = LocalOrchestrator(database, session.bus)  # type: ignore[arg-type]
    async with at_work(door):
        end = door.propose(scene.task("Success", 0, lease))
        asked = door.propose(FlowRunProposal(scene.run_id, state("Cancelling")))
        with pytest.raises(StoreUnavailable, match="the disk is full"):
            await asked
        await database.tried_again()
        with pytest.raises(StoreUnavailable):
            await door.propose(FlowRunProposal(scene.run_id, state("Cancelling")))
        assert not end.done()
        database.is_shut = False
        assert await end == Accept(1)
    assert await scene.row() == ("Success", 1)
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "Runs wait until the database can be used: the disk is full",
        "Runs wait no longer: the database can be used again",
    ]


@pytest.mark.parametrize("how", ["hurry", "aclose"])
async def test_nothing_waits_when_the_process_is_to_end(session: Session, how: str) -> None:
    scene = await Scene.make(session)
    lease = await scene.claim()
    database = Shut(session)
    door = LocalOrchestrator(database, session.bus)  # type: ignore[arg-type]
    async with at_work(door):
        end = door.propose(scene.task("Success", 0, lease))
        await database.tried_again()
        getattr(door, how)()
        with pytest.raises(StoreUnavailable):
            await end


def line(scene: Scene, text: str) -> LogRow:
    return LogRow(new_id(), scene.run_id, None, 1, "INFO", "x", text)


async def messages(session: Session) -> list[str]:
    return [text for (text,) in await session.database.read("SELECT message FROM log ORDER BY seq")]


async def test_threads_wait_until_there_is_room_for_their_lines(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_backlog, "ROOM", 10_000)
    scene, database = await Scene.make(session), Shut(session)
    log = LocalRunLog(database, Bus())  # type: ignore[arg-type]
    begun: list[int] = []

    def speak() -> None:
        for number in range(200):
            begun.append(number)
            log.write(line(scene, str(number)))

    async with at_work(log):
        speaker = threading.Thread(target=speak)
        speaker.start()
        await database.tried_again()
        assert len(begun) < 50
        database.is_shut = False
        await asyncio.to_thread(speaker.join)
        await log.drain()
    assert await messages(session) == [str(number) for number in range(200)]


async def test_lines_that_cannot_wait_are_counted(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_backlog, "ROOM", 10_000)
    monkeypatch.setattr(log_backlog, "PATIENCE_ON_LOOP", -1.0)
    scene, database = await Scene.make(session), Shut(session)
    log = LocalRunLog(database, Bus())  # type: ignore[arg-type]
    async with at_work(log):
        for number in range(200):
            log.write(line(scene, str(number)))
        await database.tried_again()
        database.is_shut = False
        await log.drain()
        log.write(line(scene, "last"))
    found = await messages(session)
    kept = found.index(next(text for text in found if "missing" in text))
    assert found == [
        *map(str, range(kept)),
        f"{200 - kept} lines are missing here: the database could not take them in time",
        "last",
    ]
    assert 0 < kept < 50
