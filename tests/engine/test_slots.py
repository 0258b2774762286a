"""Task runs whose tags are limited: how many run at once, in which order, and what gives a slot back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from prefectlite import Flow, Runtime, task
from prefectlite.repository.runs import task_runs


@pytest_asyncio.fixture
async def runtime(database_url: str) -> AsyncIterator[Runtime]:
    async with Runtime(database_url=database_url, agent=False) as opened:
        yield opened


pytestmark = pytest.mark.asyncio


class Gauge:
    """How many are inside at once, and the most there were."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.order: list[int] = []

    async def stay(self, number: int = 0, turns: int = 3) -> int:
        self.now += 1
        self.most = max(self.most, self.now)
        self.order.append(number)
        for _ in range(turns):
            await asyncio.sleep(0.001)
        self.now -= 1
        return number


@pytest.mark.parametrize("slots", [1, 3])
async def test_no_more_run_at_once_than_there_are_slots(runtime: Runtime, slots: int) -> None:
    await runtime.session.client.limits.set("tag", "db", slots)
    gauge = Gauge()

    @task(tags=["db", "other"])
    async def query(number: int) -> int:
        return await gauge.stay(number)

    with Flow("limited") as flow:
        query.map(list(range(12)))
    run = await flow.run()
    assert run.is_successful()
    assert gauge.most == slots
    assert gauge.order == list(range(12)), "in the order they began to wait"
    states = await runtime.session.database.read(
        "SELECT state, message FROM task_run_state WHERE state = 'Queued' ORDER BY seq"
    )
    assert len(states) == 12 - slots
    assert "concurrency limit" in states[0][1]
    rows = await task_runs(runtime.session.database, run.id)
    assert {row.state.name for row in rows} == {"Success", "Mapped"}
