"""The run log: lines in their order, and the index of their words behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from prefectlite.errors import StoreUnavailable
from prefectlite.ids import new_id
from prefectlite.live.bus import Bus
from prefectlite.orchestrator.gathered_log import BATCH_SIZE
from prefectlite.orchestrator.local_log import LocalRunLog
from prefectlite.records import LogRow
from prefectlite.repository.database import Transaction
from prefectlite.repository.logs import index_some
from prefectlite.session import Session
from tests.orchestrator.test_local import Scene


class Watched:
    """A database that tells when the index was filled; the first `failures` times that cannot be done."""

    def __init__(self, real: Any, failures: int = 0) -> None:
        self._real, self._failures = real, failures
        self.tried = asyncio.Event()

    async def write(self, work: Callable[[Transaction], Awaitable[Any]], *, durable: bool = False) -> Any:
        if work is not index_some:
            return await self._real.write(work, durable=durable)
        try:
            if self._failures:
                self._failures -= 1
                raise StoreUnavailable("not now")
            return await self._real.write(work, durable=durable)
        finally:
            self.tried.set()


def line(run: str, message: str) -> LogRow:
    return LogRow(new_id(), run, None, 1, "INFO", "test", message)


async def indexed(session: Session) -> int:
    [[count]] = await session.database.read("SELECT count(*) FROM log_words")
    return int(count)


@pytest.mark.asyncio
async def test_what_was_written_is_indexed_when_it_is_quiet(session: Session) -> None:
    run = (await Scene.make(session)).run_id
    database = Watched(session.database, failures=1)
    log = LocalRunLog(database, Bus())  # type: ignore[arg-type]
    writing = asyncio.create_task(log.run())
    log.write(line(run, "first"))
    async with asyncio.timeout(20):
        await database.tried.wait()
        assert await indexed(session) == 0
        database.tried.clear()
        log.write(line(run, "second"))
        await database.tried.wait()
    assert await indexed(session) == 2
    log.aclose()
    await writing


@pytest.mark.asyncio
async def test_many_lines_stay_in_their_order(session: Session) -> None:
    run = (await Scene.make(session)).run_id
    log = LocalRunLog(session.database, Bus())
    writing = asyncio.create_task(log.run())
    count = 2 * BATCH_SIZE + 7

    def write(first: int, last: int) -> None:
        for number in range(first, last):
            log.write(line(run, str(number)))

    await asyncio.to_thread(write, 0, count)
    await log.drain()
    write(count, count + 3)
    log.aclose()
    await writing
    rows = await session.database.read("SELECT message FROM log ORDER BY seq")
    assert [int(message) for (message,) in rows] == list(range(count + 3))
