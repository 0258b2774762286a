"""Flow runs whose labels are limited: the agent leaves them queued until there is a slot."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from prefectlite import Flow, Parameter, Runtime, task
from prefectlite.live.events import ALL_FLOW_RUNS, StateChange
from prefectlite.settings import load_settings

pytestmark = pytest.mark.asyncio
inside: list[int] = []
most: list[int] = []
gates: dict[int, asyncio.Event] = {}


@task
async def stay(number: int) -> None:
    inside.append(number)
    most.append(len(inside))
    try:
        if number in gates:
            await gates[number].wait()
        else:
            await asyncio.sleep(0.05)
    finally:
        inside.remove(number)


with Flow("limited") as LIMITED:
    stay(Parameter("number"))


@pytest_asyncio.fixture
async def runtime(database_url: str) -> AsyncIterator[Runtime]:
    for shared in (inside, most, gates):
        shared.clear()
    settings = load_settings(database_url=database_url, agent_labels=["gpu"])
    async with Runtime(flows=[LIMITED], settings=settings) as opened:
        yield opened


async def begun(runtime: Runtime, *numbers: int) -> list[str]:
    ((flow_id,),) = await runtime.session.database.read("SELECT id FROM flow WHERE name = 'limited'")
    client = runtime.session.client
    return [
        await client.create_flow_run(flow_id=flow_id, labels=["gpu"], parameters={"number": number}) for number in numbers
    ]


async def reached(runtime: Runtime, *wanted: tuple[str, str]) -> None:
    """Return when these runs are in these states."""
    left = set(wanted)
    with runtime.session.bus.subscribe(ALL_FLOW_RUNS) as news:
        for run_id, state in wanted:
            if (await runtime.session.flow_run(run_id)).state == state:
                left.discard((run_id, state))
        async with asyncio.timeout(10):
            while left:
                event = await anext(news)
                assert isinstance(event, StateChange)
                left.discard((event.flow_run_id, event.state.name))


async def used(runtime: Runtime) -> int:
    rows = await runtime.session.database.read("SELECT count(*) FROM flow_run WHERE state = 'Running'")
    return int(rows[0][0])


async def test_so_many_runs_with_a_label_run_at_once(runtime: Runtime) -> None:
    await runtime.session.client.limits.set("label", "gpu", 2)
    runs = await begun(runtime, *range(8))
    await reached(runtime, *((run_id, "Success") for run_id in runs))
    assert max(most) == 2
    rows = await runtime.session.database.read("SELECT message FROM flow_run_state WHERE state = 'Queued'")
    assert rows
    assert "the concurrency limit of label 'gpu', 2 at once, is reached" in rows[0][0]


async def test_a_queued_run_is_cancelled_and_another_begins_when_the_limit_is_raised(runtime: Runtime) -> None:
    limits = runtime.session.client.limits
    await limits.set("label", "gpu", 0)
    first, second = await begun(runtime, 1, 2)
    await reached(runtime, (first, "Queued"), (second, "Queued"))
    assert not inside
    await runtime.session.client.cancel_flow_run(first)
    await reached(runtime, (first, "Cancelled"))
    async with asyncio.timeout(2):
        await limits.set("label", "gpu", 1)
        await reached(runtime, (second, "Success"))
    assert most == [1]


async def test_a_runtime_that_leaves_does_not_wait_for_queued_runs(database_url: str) -> None:
    settings = load_settings(database_url=database_url, agent_labels=["gpu"])
    async with Runtime(flows=[LIMITED], settings=settings) as runtime:
        await runtime.session.client.limits.set("label", "gpu", 0)
        (run_id,) = await begun(runtime, 5)
        await reached(runtime, (run_id, "Queued"))
    if database_url == "sqlite://:memory:":
        return
    async with asyncio.timeout(10), Runtime(flows=[LIMITED], settings=settings) as runtime:
        await runtime.session.client.limits.delete("label", "gpu")
        await reached(runtime, (run_id, "Success"))


async def test_so_many_begin_within_some_seconds(runtime: Runtime) -> None:
    await runtime.session.client.limits.set("label", "gpu", 1, seconds=1)
    first, second = await begun(runtime, 1, 2)
    await reached(runtime, (first, "Success"), (second, "Success"))
    rows = await runtime.session.database.read("SELECT start_time FROM flow_run ORDER BY start_time")
    assert rows[1][0] - rows[0][0] >= 1_000_000


async def test_runs_in_processes_of_their_own_wait_without_one(database_url: str) -> None:
    if database_url == "sqlite://:memory:":
        pytest.skip("their code is in this file")
    settings = load_settings(database_url=database_url, agent_labels=["gpu"], isolate="process")
    async with Runtime(flows=[LIMITED], settings=settings) as runtime:
        await runtime.session.client.limits.set("label", "gpu", 1)
        runs = await begun(runtime, 1, 2, 3)
        await reached(runtime, *((run_id, "Success") for run_id in runs))
        rows = await runtime.session.database.read("SELECT start_time, end_time FROM flow_run ORDER BY start_time")
        assert all(sooner[1] <= later[0] for sooner, later in itertools.pairwise(rows))
