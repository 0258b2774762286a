"""Task runs whose tags are limited: how many run at once, in which order, and what gives a slot back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from prefectlite import Flow, Runtime, task
from prefectlite.repository.runs import task_runs
from prefectlite.states import Resume
from prefectlite.testing.virtual_time import virtual_clock
from prefectlite.triggers import manual_only


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
            await asyncio.sleep(0.01)
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
    places = [abs(number - place) for place, number in enumerate(gauge.order)]
    assert max(places) < slots, "in the order they began to wait; those that begin together in any"
    states = await runtime.session.database.read(
        "SELECT state, message FROM task_run_state WHERE state = 'Queued' ORDER BY seq"
    )
    assert len(states) == 12 - slots
    assert "concurrency limit" in states[0][1]
    rows = await task_runs(runtime.session.database, run.id)
    assert {row.state.name for row in rows} == {"Success", "Mapped"}


async def found(runtime: Runtime, state: str) -> str:
    """The id of a task run in this state, once there is one."""
    async with asyncio.timeout(10):
        while True:
            rows = await runtime.session.database.read("SELECT id FROM task_run WHERE state = $1", (state,))
            if rows:
                return str(rows[0][0])
            await asyncio.sleep(0.005)


async def test_a_limit_of_none_lets_none_begin_until_it_is_changed_or_deleted(runtime: Runtime) -> None:
    limits = runtime.session.client.limits
    limit_id = await limits.set("tag", "db", 0)

    @task(tags=["db"])
    async def query() -> int:
        return 1

    with Flow("none") as flow:
        query()
    for change in (limits.set("tag", "db", 1), limits.delete_id("tag", limit_id)):
        await limits.set("tag", "db", 0)
        run = asyncio.ensure_future(flow.run())
        await found(runtime, "Queued")
        async with asyncio.timeout(2):  # sooner than anybody would look
            await change
            assert (await run).is_successful()


async def test_several_tags_need_a_slot_of_each(runtime: Runtime) -> None:
    limits = runtime.session.client.limits
    await limits.set("tag", "a", 2)
    await limits.set("tag", "b", 1)
    both, only_a = Gauge(), Gauge()

    @task(tags=["a", "b"])
    async def one(number: int) -> int:
        return await both.stay(number)

    @task(tags=["a"])
    async def other(number: int) -> int:
        return await only_a.stay(number)

    with Flow("tags") as flow:
        one.map(list(range(6)))
        other.map(list(range(6)))
    assert (await flow.run()).is_successful()
    assert both.most == 1
    assert only_a.most <= 2


async def test_who_waits_for_another_slot_keeps_nobody_waiting(runtime: Runtime) -> None:
    limits = runtime.session.client.limits
    await limits.set("tag", "a", 1)
    await limits.set("tag", "never", 0)

    @task(tags=["a", "never"])
    async def stuck() -> None: ...

    @task(tags=["a"])
    async def free(number: int) -> int:
        return number

    with Flow("stuck") as blocked:
        stuck()
    with Flow("free") as flow:
        free.map([1, 2, 3])
    waiting = asyncio.ensure_future(blocked.run())
    await found(runtime, "Queued")
    assert (await flow.run()).is_successful()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    rows = await runtime.session.database.read("SELECT DISTINCT state FROM task_run ORDER BY state")
    assert [state for (state,) in rows] == ["Cancelled", "Mapped", "Success"]


async def test_a_task_that_waits_for_its_retry_or_a_person_has_given_its_slot_back(runtime: Runtime) -> None:
    await runtime.session.client.limits.set("tag", "db", 1)
    gauge, tries = Gauge(), []

    @task(tags=["db"], max_retries=1, retry_delay=timedelta(seconds=0.5))
    async def twice() -> None:
        tries.append(len(gauge.order))
        if len(tries) == 1:
            raise ValueError("once more")

    @task(tags=["db"], trigger=manual_only)
    async def asked() -> None: ...

    @task(tags=["db"])
    async def query(number: int) -> int:
        return await gauge.stay(number)

    with Flow("slots") as flow:
        twice()
        asked()
        query.map(list(range(4)))
    run = flow.run()
    running = asyncio.ensure_future(run)
    paused = await found(runtime, "Paused")
    await runtime.session.client.set_task_run_state(paused, Resume())
    assert (await running).is_successful()
    assert tries[1] == 4, "the others went on meanwhile"
    assert gauge.most == 1


async def test_so_many_begin_within_so_many_seconds(database_url: str) -> None:
    with virtual_clock() as clock:
        async with Runtime(database_url=database_url, agent=False, clock=clock) as runtime:
            await runtime.session.client.limits.set("tag", "api", 2, seconds=60)
            began = clock.now()
            times: list[float] = []

            @task(tags=["api"])
            async def call(number: int) -> None:
                times.append((clock.now() - began).total_seconds())

            with Flow("rate") as flow:
                call.map(list(range(5)))
            assert (await flow.run()).is_successful()
    assert len(times) == 5
    assert all(later - sooner >= 60 for sooner, later in zip(times, times[2:], strict=False)), times
    assert times[-1] < 125


async def test_nothing_is_asked_where_there_are_no_limits(runtime: Runtime) -> None:
    said: list[str] = []

    @task(tags=["db"])
    async def query(number: int) -> int:
        return number

    with Flow("free") as flow:
        query.map(list(range(20)))
    await flow.run()
    database = runtime.session.database
    write = database.write

    async def counted(work: Any, *, durable: bool = False) -> Any:
        async def told(tx: Any) -> Any:
            fetch, tx.fetch = tx.fetch, lambda sql, params=(): said.append(sql) or fetch(sql, params)
            return await work(tx)

        return await write(told, durable=durable)

    database.write = counted  # type: ignore[method-assign]
    await flow.run()
    assert said
    assert not [sql for sql in said if "limit" in sql.lower().replace("'limits'", "")]
