"""Pausing and resuming through GraphQL."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
import pytest_asyncio

from prefectlite import Flow, Runtime, pause_task, task
from tests.api.conftest import HOST
from tests.api.test_mutations import errors, new_run

pytestmark = pytest.mark.asyncio
Ask = Any
PAUSE = "mutation($input: pause_flow_run_input!) { pause_flow_run(input: $input) { success } }"
RESUME = "mutation($input: resume_flow_run_input!) { resume_flow_run(input: $input) { state } }"
RESUME_TASK = "mutation($input: resume_task_run_input!) { resume_task_run(input: $input) { success } }"
TASK_RUNS = "{ task_run { id state state_message states(order_by: {version: desc}, limit: 1) { details } } }"
STATE = "query($id: uuid!) { flow_run_by_pk(id: $id) { state state_message state_start_time } }"


async def test_a_flow_run(http: httpx.AsyncClient, ask: Ask) -> None:
    run = await new_run(ask)
    given = {"flow_run_id": run, "reason": "wait for ann", "expires_in": "01:00:00", "then": "resume"}
    assert await ask(PAUSE, input=given) == {"pause_flow_run": {"success": True}}
    found = (await ask(STATE, id=run))["flow_run_by_pk"]
    assert (found["state"], found["state_message"]) == ("Paused", "Paused by local: wait for ann")
    assert found["state_start_time"] is not None
    [error] = await errors(http, PAUSE, input={**given, "expires": "2100-01-01T00:00:00Z"})
    assert "either expires or expires_in" in error["message"]
    assert await ask(RESUME, input={"flow_run_id": run, "reason": "ok"}) == {"resume_flow_run": {"state": "Resume"}}
    assert (await ask(STATE, id=run))["flow_run_by_pk"]["state_message"] == "Resumed by local: ok"
    [error] = await errors(http, RESUME, input={"flow_run_id": run})
    assert "is not paused: it is Resume" in error["message"]


@task
async def asks() -> list[int]:
    return pause_task("how many?", input=list[int])


with Flow("asking") as asking:
    asks()


@pytest_asyncio.fixture
async def busy(api_database_url: str) -> Any:
    async with Runtime([asking], database_url=api_database_url) as runtime:
        transport = httpx.ASGITransport(runtime.app)
        async with httpx.AsyncClient(transport=transport, base_url=HOST) as client:
            yield client


async def test_a_task_run(busy: httpx.AsyncClient) -> None:
    async def ask(query: str, **variables: Any) -> Any:
        return (await busy.post("/graphql", json={"query": query, "variables": variables})).json()["data"]

    async def state(name: str) -> Any:
        async with asyncio.timeout(20):
            while True:
                rows = await ask(TASK_RUNS)
                if [row["state"] for row in rows["task_run"]] == [name]:
                    return rows["task_run"][0]
                await asyncio.sleep(0.01)

    flow_id = (await ask("{ flow { id } }"))["flow"][0]["id"]
    await ask("mutation($id: UUID) { create_flow_run(input: {flow_id: $id}) { id } }", id=flow_id)
    found = await state("Paused")
    assert found["state_message"] == "how many?"
    schema = found["states"][0]["details"]["context"]["pause"]["input"]
    assert schema == {"type": "array", "items": {"type": "integer"}}
    [error] = await errors(busy, RESUME_TASK, input={"task_run_id": found["id"], "input": [1, "x"]})
    assert error["message"] == "input[1]: integer is expected, not 'x'"
    given = {"task_run_id": found["id"], "input": [1, 2], "reason": "two"}
    assert await ask(RESUME_TASK, input=given) == {"resume_task_run": {"success": True}}
    await state("Success")
