"""Concurrency limits over the API: its own clients set and read them, and those of Prefect 1.x keep to them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import pytest_asyncio

from prefectlite import Flow, Runtime, task
from prefectlite.repository.agents import MOST_RUNS
from tests.api.conftest import Ask
from tests.api.prefect_client import PrefectClient
from tests.api.test_prefect_clients import agent, queue, row, running

pytestmark = pytest.mark.asyncio
LABELS = ("own", "big", "free")
NOBODY = "00000000-0000-7000-8000-000000000000"
SET = "mutation ($input: update_task_tag_limit_input!) { update_task_tag_limit(input: $input) { id } }"
SET_LABEL = "mutation ($input: update_flow_concurrency_limit_input!) { update_flow_concurrency_limit(input: $input) { id } }"
ALL = "{ task_tag_limit(order_by: {tag: asc, seconds: asc}) { id tag limit seconds used } }"


@pytest_asyncio.fixture
async def client(http: httpx.AsyncClient) -> PrefectClient:
    return PrefectClient(http)


async def refused(http: httpx.AsyncClient, query: str, **variables: Any) -> tuple[str, str]:
    """(code, message) with which it is refused."""
    answer = (await http.post("/graphql", json={"query": query, "variables": variables})).json()
    (error,) = answer["errors"]
    return error["extensions"]["code"], error["message"]


async def test_limits_are_set_read_and_deleted(ask: Ask, http: httpx.AsyncClient) -> None:
    first = (await ask(SET, input={"tag": "db", "limit": 3}))["update_task_tag_limit"]["id"]
    again = (await ask(SET, input={"tag": "db", "limit": 5}))["update_task_tag_limit"]["id"]
    assert again == first
    await ask(SET, input={"tag": "db", "limit": 10, "seconds": 60})
    found = (await ask(ALL))["task_tag_limit"]
    assert [(one["tag"], one["limit"], one["seconds"], one["used"]) for one in found] == [("db", 5, 0, 0), ("db", 10, 60, 0)]
    large = '{ task_tag_limit(where: {tag: {_eq: "db"}, limit: {_gt: 6}}) { id }'
    query = f"{large} task_tag_limit_aggregate {{ aggregate {{ count }} }} }}"
    data = await ask(query)
    assert data["task_tag_limit"] == [{"id": found[1]["id"]}]
    assert data["task_tag_limit_aggregate"] == {"aggregate": {"count": 2}}
    forget = "mutation ($id: UUID!) { delete_task_tag_limit(input: {limit_id: $id}) { success } }"
    assert (await ask(forget, id=first))["delete_task_tag_limit"] == {"success": True}
    assert await refused(http, forget, id=NOBODY) == ("NOT_FOUND", f"There is no concurrency limit {NOBODY}")
    assert len((await ask(ALL))["task_tag_limit"]) == 1


@pytest.mark.parametrize(
    "given", [{"tag": "db", "limit": -1}, {"tag": " ", "limit": 1}, {"tag": "db", "limit": 1, "seconds": -5}]
)
async def test_what_no_limit_can_be_is_refused(http: httpx.AsyncClient, given: dict[str, Any]) -> None:
    assert (await refused(http, SET, input=given))[0] == "BAD_USER_INPUT"


async def test_labels_have_limits_too(ask: Ask, http: httpx.AsyncClient) -> None:
    made = (await ask(SET_LABEL, input={"label": "gpu", "limit": 2}))["update_flow_concurrency_limit"]["id"]
    assert (await ask(SET_LABEL, input={"name": "gpu", "limit": 4}))["update_flow_concurrency_limit"]["id"] == made
    found = (await ask("{ flow_concurrency_limit { name limit used } }"))["flow_concurrency_limit"]
    assert found == [{"name": "gpu", "limit": 4, "used": 0}]
    assert "label: say which" in (await refused(http, SET_LABEL, input={"limit": 2}))[1]
    forget = "mutation ($id: UUID!) { delete_flow_concurrency_limit(input: {limit_id: $id}) { success } }"
    assert (await ask(forget, id=made))["delete_flow_concurrency_limit"] == {"success": True}


async def test_what_is_used_is_counted_while_it_runs(runtime: Runtime, ask: Ask) -> None:
    await ask(SET, input={"tag": "db", "limit": 3})
    await ask(SET, input={"tag": "db", "limit": 9, "seconds": 600})
    seen: list[Any] = []

    @task(tags=["db", "other"])
    async def query() -> None:
        seen.append((await ask(ALL))["task_tag_limit"])

    with Flow("counted") as flow:
        query()
    assert (await flow.run()).is_successful()
    assert [one["used"] for one in seen[0]] == [1, 1]
    assert [one["used"] for one in (await ask(ALL))["task_tag_limit"]] == [0, 1], "it began within ten minutes"


async def status(client: PrefectClient, kind: str, run_id: str, state: str) -> dict[str, Any]:
    given = {f"{kind}_id": run_id, "state": client.state(state)}
    answer = await client.do(f"set_{kind}_states", "states { id status message }", states=[given])
    found: dict[str, Any] = answer["states"][0]
    return found


async def test_a_task_run_of_a_prefect_client_is_queued(client: PrefectClient, runtime: Runtime) -> None:
    run_id, tasks = await running(client)
    other_run, other_tasks = await running(client)
    await runtime.session.client.limits.set("tag", "a", 1)
    places = []
    for run, parent in ((run_id, tasks["twice-1"]), (other_run, other_tasks["twice-1"])):
        task_id = (await row(client, "task_run", parent, "task_id"))["task_id"]
        made = await client.do("get_or_create_task_run", "id", flow_run_id=run, task_id=task_id, map_index=0)
        places.append(made["id"])
    assert (await status(client, "task_run", places[0], "Running"))["status"] == "SUCCESS"
    for _ in range(2):
        told = await status(client, "task_run", places[1], "Running")
        assert told["status"] == "QUEUED"
        assert "concurrency limit of tag 'a', 1 at once" in told["message"]
    found = await row(client, "task_run", places[1], "state serialized_state")
    assert (found["state"], found["serialized_state"]["type"]) == ("Queued", "Queued")
    assert (await status(client, "task_run", places[0], "Success"))["status"] == "SUCCESS"
    assert (await status(client, "task_run", places[1], "Running"))["status"] == "SUCCESS"


async def test_a_flow_run_of_a_prefect_client_is_queued(client: PrefectClient, runtime: Runtime) -> None:
    await runtime.session.client.limits.set("label", "own", 1)
    flow_id = await client.registered()
    first, second = await client.run_of(flow_id), await client.run_of(flow_id)
    assert (await status(client, "flow_run", first, "Submitted"))["status"] == "SUCCESS"
    told = await status(client, "flow_run", second, "Submitted")
    assert told["status"] == "QUEUED"
    assert (await status(client, "flow_run", first, "Running"))["status"] == "SUCCESS", "it has its slot"
    assert (await status(client, "flow_run", second, "Running"))["status"] == "QUEUED"
    found = await client.ask("{ flow_concurrency_limit { used } }")
    assert found["flow_concurrency_limit"] == [{"used": 1}]
    await status(client, "flow_run", first, "Success")
    assert (await status(client, "flow_run", second, "Running"))["status"] == "SUCCESS"


async def test_an_agent_of_prefect_is_offered_what_has_a_slot(
    client: PrefectClient, http: httpx.AsyncClient, runtime: Runtime
) -> None:
    flow_id = await client.registered()
    own = [await client.run_of(flow_id, labels=["own"]) for _ in range(3)]
    both = await client.run_of(flow_id, labels=["big", "own"])
    big = await client.run_of(flow_id, labels=["big"])
    free = await client.run_of(flow_id, labels=["free"])
    somebody = await agent(client, http, *LABELS)
    assert await queue(somebody, *LABELS) == [*own, both, big, free]
    await runtime.session.client.limits.set("label", "own", 2)
    await runtime.session.client.limits.set("label", "big", 1)
    assert await queue(somebody, *LABELS) == [*own[:2], big, free], "no more at once than there are slots"
    assert (await status(client, "flow_run", own[0], "Submitted"))["status"] == "SUCCESS"
    assert await queue(somebody, *LABELS) == [own[1], big, free]
    assert (await status(client, "flow_run", own[1], "Submitted"))["status"] == "SUCCESS"
    assert await queue(somebody, *LABELS) == [big, free]
    assert (await status(client, "flow_run", own[2], "Submitted"))["status"] == "QUEUED"
    assert await queue(somebody, *LABELS) == [big, free], "nor what waits for a slot"
    await status(client, "flow_run", own[0], "Running")
    await status(client, "flow_run", own[0], "Success")
    assert set(await queue(somebody, *LABELS)) == {both, free}, "the next is longer due than those that need one slot only"
    await runtime.session.client.limits.set("label", "own", 0)
    await runtime.session.client.limits.set("label", "big", 0)
    assert await queue(somebody, *LABELS) == [free]


async def test_what_runs_and_has_tasks_to_retry_keeps_its_slot(
    client: PrefectClient, http: httpx.AsyncClient, runtime: Runtime
) -> None:
    run_id, tasks = await running(client)
    await client.set_state("task_run", tasks["twice-1"], "Running")
    await client.set_state("task_run", tasks["twice-1"], "Retrying", start_time="2024-01-01T00:00:00+00:00", run_count=2)
    somebody = await agent(client, http, "own")
    assert await queue(somebody, "own") == [run_id]
    await runtime.session.client.limits.set("label", "own", 1)
    assert await queue(somebody, "own") == [run_id]


async def test_what_waits_for_slots_hides_nobody(client: PrefectClient, http: httpx.AsyncClient, runtime: Runtime) -> None:
    flow_id = await client.registered()
    waiting = [await client.run_of(flow_id, labels=["own"]) for _ in range(MOST_RUNS + 5)]
    free = [await client.run_of(flow_id, labels=["free"]) for _ in range(MOST_RUNS + 5)]
    somebody = await agent(client, http, *LABELS)
    await runtime.session.client.limits.set("label", "own", 1)
    assert await queue(somebody, *LABELS) == [waiting[0], *free[: MOST_RUNS - 1]]
    await runtime.session.client.limits.set("label", "own", 9, 60)
    await runtime.session.client.limits.set("label", "own", 3, 0)
    assert await queue(somebody, *LABELS) == [*waiting[:3], *free[: MOST_RUNS - 3]], "the lesser of two limits"
