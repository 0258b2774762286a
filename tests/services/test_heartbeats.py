"""Runs of another runtime whose process is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from prefectlite import Runtime
from prefectlite.services.heartbeats import Heartbeats
from tests.api.prefect_client import TASKS, PrefectClient, document
from tests.conftest import HeldClock

pytestmark = pytest.mark.asyncio
SILENT = 660  # seconds


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest_asyncio.fixture
async def runtime(database_url: str, clock: HeldClock) -> AsyncIterator[Runtime]:
    async with Runtime(database_url=database_url, clock=clock, agent=False) as opened:
        yield opened


@pytest_asyncio.fixture
async def client(runtime: Runtime) -> AsyncIterator[PrefectClient]:
    transport = httpx.ASGITransport(runtime.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        yield PrefectClient(http)


async def running(client: PrefectClient, **more: object) -> tuple[str, str]:
    """The ids of a run whose second task executes, and of that task's run."""
    run_id = await client.run_of(await client.registered(document("lost", **more)))
    await client.set_state("flow_run", run_id, "Submitted")
    await client.set_state("flow_run", run_id, "Running")
    found = await client.ask(
        'query($id: uuid) { task_run(where: {flow_run_id: {_eq: $id}, task: {slug: {_eq: "twice-1"}}}) { id } }',
        {"id": run_id},
    )
    task_run_id: str = found["task_run"][0]["id"]
    await client.set_state("task_run", task_run_id, "Running")
    return run_id, task_run_id


async def seen(client: PrefectClient, run_id: str) -> tuple[str, str, list[str]]:
    """(state of the run, of its second task, messages of its log)."""
    found = await client.ask(
        "query($id: uuid!) { flow_run_by_pk(id: $id) { state logs(order_by: {seq: asc}) { message }"
        ' task_runs(where: {task: {slug: {_eq: "twice-1"}}}) { state } } }',
        {"id": run_id},
    )
    run = found["flow_run_by_pk"]
    return run["state"], run["task_runs"][0]["state"], [line["message"] for line in run["logs"]]


async def test_who_beats_is_left_alone(runtime: Runtime, client: PrefectClient, clock: HeldClock) -> None:
    run_id, _ = await running(client)
    clock.advance(SILENT)
    await client.do("update_flow_run_heartbeat", flow_run_id=run_id)
    assert await Heartbeats(runtime.session).look() == 0
    assert await seen(client, run_id) == ("Running", "Running", [])


async def test_a_lost_task_is_retried_as_often_as_it_may_be_and_then_fails(
    runtime: Runtime, client: PrefectClient, clock: HeldClock
) -> None:
    run_id, task_run_id = await running(client)
    for n in (1, 2):
        clock.advance(SILENT)
        await Heartbeats(runtime.session).look()
        state, task, messages = await seen(client, run_id)
        assert (state, task) == ("Running", "Retrying")
        assert messages[-1].endswith(f"retrying the run.This will be retry {n} of 2.")
        clock.advance(91)
        await client.set_state("task_run", task_run_id, "Running")
    clock.advance(SILENT)
    await Heartbeats(runtime.session).look()
    state, task, messages = await seen(client, run_id)
    assert (state, task) == ("Scheduled", "Failed")  # nothing waits any more: the run is begun again, and will see that
    assert messages[-2].endswith(f"marking the task run {task_run_id} (twice) as failed.")
    assert messages[-1] == "Rescheduled by a Lazarus process. This is attempt 1."


async def test_a_lost_run_is_begun_again_three_times(runtime: Runtime, client: PrefectClient, clock: HeldClock) -> None:
    run_id = await client.run_of(await client.registered())
    for n in (1, 2, 3):
        await client.set_state("flow_run", run_id, "Submitted")
        clock.advance(SILENT)
        assert await Heartbeats(runtime.session).look() == 1
        assert (await seen(client, run_id))[0] == "Scheduled"
        assert (await seen(client, run_id))[2][-1].endswith(f"This is attempt {n}.")
    await client.set_state("flow_run", run_id, "Submitted")
    clock.advance(SILENT)
    await Heartbeats(runtime.session).look()
    assert (await seen(client, run_id))[0] == "Failed"
    assert await Heartbeats(runtime.session).look() == 0


async def test_a_run_that_is_lost_while_it_is_cancelled_fails(
    runtime: Runtime, client: PrefectClient, clock: HeldClock
) -> None:
    run_id, _ = await running(client)
    assert (await client.do("cancel_flow_run", "state", flow_run_id=run_id))["state"] == "Cancelling"
    clock.advance(SILENT)
    await Heartbeats(runtime.session).look()
    state, _, messages = await seen(client, run_id)
    assert (state, messages) == ("Failed", ["No heartbeat detected from the flow run; marking the run as failed."])


@pytest.mark.parametrize("mutation", ["disable_flow_heartbeat", "disable_flow_lazarus_process"])
async def test_a_group_can_do_without(runtime: Runtime, client: PrefectClient, clock: HeldClock, mutation: str) -> None:
    flow_id = await client.registered(document("quiet", tasks=TASKS[:1], edges=[]))
    run_id = await client.run_of(flow_id)
    await client.set_state("flow_run", run_id, "Submitted")
    await client.do(mutation, flow_id=flow_id)
    clock.advance(SILENT)
    await Heartbeats(runtime.session).look()
    found = await client.ask("query($id: uuid!) { flow_run_by_pk(id: $id) { state } }", {"id": run_id})
    assert found["flow_run_by_pk"]["state"] == "Submitted"
