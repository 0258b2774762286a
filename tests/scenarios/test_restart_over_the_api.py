"""A run that failed is restarted by somebody who only talks to the API."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from prefectlite import Flow, Runtime, task
from tests.api.prefect_client import PrefectClient

pytestmark = pytest.mark.asyncio
RESTART = "mutation($input: restart_flow_run_input!) { restart_flow_run(input: $input) { success } }"
calls: list[str] = []
broken = asyncio.Event()


@task
async def first() -> int:
    calls.append("first")
    return 1


@task
async def second(value: int) -> int:
    calls.append("second")
    if broken.is_set():
        raise ValueError("broken")
    return value + 1


with Flow("restarted") as flow:
    second(first())


async def post(http: httpx.AsyncClient, query: str, **variables: Any) -> Any:
    return (await http.post("/graphql", json={"query": query, "variables": variables})).json()


async def ended(http: httpx.AsyncClient, run_id: str, state: str) -> None:
    query = "query($id: uuid!) { flow_run_by_pk(id: $id) { state } }"
    async with asyncio.timeout(20):
        while (await post(http, query, id=run_id))["data"]["flow_run_by_pk"]["state"] != state:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("tasks", "again"), [([], ["second"]), (["first"], ["first", "second"])])
async def test_the_agent_takes_it_up(tasks: list[str], again: list[str], database_url: str) -> None:
    calls.clear()
    broken.set()
    async with Runtime([flow], database_url=database_url) as runtime:
        transport = httpx.ASGITransport(runtime.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            flow_id = (await post(http, '{ flow(where: {name: {_eq: "restarted"}}) { id } }'))["data"]["flow"][0]["id"]
            create = "mutation($id: UUID) { create_flow_run(input: {flow_id: $id}) { id } }"
            run_id = (await post(http, create, id=flow_id))["data"]["create_flow_run"]["id"]
            await ended(http, run_id, "Failed")
            calls.clear()
            broken.clear()
            answer = await post(http, RESTART, input={"flow_run_id": run_id, "tasks": tasks})
            assert answer == {"data": {"restart_flow_run": {"success": True}}}
            await ended(http, run_id, "Success")
            assert calls == again
            answer = await post(http, RESTART, input={"flow_run_id": run_id})
            assert "All tasks of flow run" in answer["errors"][0]["message"]


async def test_a_run_of_another_runtime_is_offered_again(database_url: str) -> None:
    async with Runtime(database_url=database_url) as runtime:
        transport = httpx.ASGITransport(runtime.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            client = PrefectClient(http)
            run_id = await client.run_of(await client.registered())
            await client.set_state("flow_run", run_id, "Submitted")
            await client.set_state("flow_run", run_id, "Running")
            query = "query($id: uuid) { task_run(where: {flow_run_id: {_eq: $id}}) { id state task { slug } } }"
            runs = {one["task"]["slug"]: one["id"] for one in (await client.ask(query, {"id": run_id}))["task_run"]}
            for slug, state in (("numbers-1", "Success"), ("twice-1", "Failed"), ("total-1", "TriggerFailed")):
                await client.set_state("task_run", runs[slug], state)
            await client.set_state("flow_run", run_id, "Failed")
            await client.do("restart_flow_run", flow_run_id=run_id)
            found = (await client.ask(query, {"id": run_id}))["task_run"]
            states = {one["task"]["slug"]: one["state"] for one in found}
            assert states == {"numbers-1": "Success", "twice-1": "Pending", "total-1": "Pending"}
            before = "2999-01-01T00:00:00+00:00"
            queue = await client.do("get_runs_in_queue", "flow_run_ids", before=before, labels=["own"])
            assert queue["flow_run_ids"] == [run_id]
