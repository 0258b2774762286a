"""Cloud hooks and automations through GraphQL, by the names that Prefect's clients use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from prefectlite import Runtime
from prefectlite.settings import Settings
from tests.api.conftest import HOST, doubling, other
from tests.notifications.servers import Receiver

pytestmark = pytest.mark.asyncio
CREATE = "mutation ($input: create_cloud_hook_input!) { create_cloud_hook(input: $input) { id } }"
TEST = "mutation ($input: test_cloud_hook_input!) { test_cloud_hook(input: $input) { success error } }"


@pytest_asyncio.fixture
async def runtime(api_database_url: str) -> AsyncIterator[Runtime]:
    settings = Settings(database_url=api_database_url, hook_allow_private=True)
    async with Runtime([doubling, other], settings=settings, agent=False) as runtime:
        yield runtime


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver().open() as opened:
        yield opened


async def refusal(http: httpx.AsyncClient, query: str, **variables: Any) -> str:
    response = await http.post(f"{HOST}/graphql", json={"query": query, "variables": variables})
    assert response.json()["errors"]
    return response.text


async def do(ask: Any, name: str, hook_id: str) -> Any:
    return (await ask(f"mutation ($id: UUID!) {{ {name}(input: {{cloud_hook_id: $id}}) {{ success error }} }}", id=hook_id))[
        name
    ]


async def test_a_hook(ask: Any, receiver: Receiver) -> None:
    flow = (await ask('{ flow(where: {name: {_eq: "doubling"}}) { id version_group_id flow_group_id } }'))["flow"][0]
    given = {
        "tenant_id": "00000000-0000-4000-8000-000000000001",
        "type": "WEBHOOK",
        "name": "mine",
        "version_group_id": flow["version_group_id"],
        "states": ["FAILED", "SUCCESS"],
        "config": {"url": receiver.url},
    }
    hook_id = (await ask(CREATE, input=given))["create_cloud_hook"]["id"]
    query = "{ cloud_hook { id version_group_id name type states config active flow_group { id } deliveries { status } } }"
    shown = {"url": f"http://127.0.0.1:{receiver.port}/***"}
    expected = {key: given[key] for key in ("version_group_id", "name", "type", "states")}
    expected |= {"id": hook_id, "config": shown, "active": True, "flow_group": {"id": flow["flow_group_id"]}}
    assert await ask(query) == {"cloud_hook": [{**expected, "deliveries": []}]}
    done = {"success": True, "error": None}
    assert await do(ask, "set_cloud_hook_inactive", hook_id) == done
    assert (await ask("{ cloud_hook { active } }"))["cloud_hook"] == [{"active": False}]
    assert await do(ask, "set_cloud_hook_active", hook_id) == done
    assert await do(ask, "delete_cloud_hook", hook_id) == done
    assert await ask("{ cloud_hook { id } }") == {"cloud_hook": []}


async def test_testing_one(ask: Any, http: httpx.AsyncClient, receiver: Receiver) -> None:
    given = {"type": "WEBHOOK", "states": [], "config": {"url": receiver.url}}
    hook_id = (await ask(CREATE, input=given))["create_cloud_hook"]["id"]
    answer = await ask(TEST, input={"cloud_hook_id": hook_id, "state_type": "FAILED"})
    assert answer["test_cloud_hook"] == {"success": True, "error": None}
    [event] = receiver.events
    assert (event["is_test_event"], event["state"]["state"], event["flow_run"]["name"]) == (True, "Failed", "test-run")
    flow = (await ask('{ flow(where: {name: {_eq: "doubling"}}) { id } }'))["flow"][0]["id"]
    run = await ask("mutation ($id: UUID!) { create_flow_run(input: {flow_id: $id}) { id } }", id=flow)
    run_id = run["create_flow_run"]["id"]
    await ask(TEST, input={"cloud_hook_id": hook_id, "flow_run_id": run_id})
    assert (receiver.events[1]["flow_run"]["id"], receiver.states[1]) == (run_id, "Scheduled")
    receiver.status = 500
    answer = await ask(TEST, input={"cloud_hook_id": hook_id})
    assert answer["test_cloud_hook"] == {"success": False, "error": "127.0.0.1 answered with HTTP 500"}
    found = await ask("{ hook_delivery(order_by: {created: asc}) { status attempts last_error next_attempt } }")
    assert [(row["status"], row["attempts"]) for row in found["hook_delivery"]] == [
        ("Delivered", 1),
        ("Delivered", 1),
        ("Failed", 1),
    ]
    assert "NOT_FOUND" in await refusal(http, TEST, input={"cloud_hook_id": run_id})
    assert "NOT_FOUND" in await refusal(http, TEST, input={"cloud_hook_id": hook_id, "flow_run_id": hook_id})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"type": "TWILIO"}, "TWILIO"),
        ({"config": {}}, "config: a hook of type WEBHOOK needs url, and nothing else"),
        ({"config": {"url": "https://a.example/canary", "to": "x"}}, "nothing else"),
        ({"config": {"url": "ftp://a.example/canary"}}, "config.url: it has to begin with https://"),
        ({"type": "EMAIL", "config": {"to": ["x"]}}, "config.to: 'x' is not an e-mail address"),
        ({"states": ["FINISHD"]}, "did you mean FINISHED?"),
        ({"version_group_id": "nowhere"}, "Version group nowhere not found"),
    ],
)
async def test_what_is_refused(http: httpx.AsyncClient, ask: Any, given: dict[str, Any], said: str) -> None:
    usual = {"type": "WEBHOOK", "states": ["FAILED"], "config": {"url": "https://a.example/canary"}}
    answer = await refusal(http, CREATE, input={**usual, **given})
    assert said in answer
    assert "canary" not in answer
    assert await ask("{ cloud_hook { id } }") == {"cloud_hook": []}


async def test_an_automation(ask: Any, http: httpx.AsyncClient) -> None:
    groups = (await ask("{ flow_group { id } }"))["flow_group"]
    create = "mutation ($input: create_automation_input!) { create_automation(input: $input) { id } }"
    given = {
        "name": "again",
        "event": "STATE",
        "states": ["FAILED"],
        "action": "RUN_FLOW",
        "flow_group_id": groups[0]["id"],
        "target_flow_group_id": groups[1]["id"],
        "parameters": {"number": 1},
    }
    known = (await ask(create, input=given))["create_automation"]["id"]
    query = (
        "{ automation { name event states action flow_group_id target_flow_group_id parameters seconds is_active"
        " firings { status } } }"
    )
    expected = {**given, "seconds": None, "is_active": True, "firings": []}
    assert await ask(query) == {"automation": [expected]}
    update = "mutation ($input: update_automation_input!) { update_automation(input: $input) { success } }"
    changes = {"event": "LATE", "states": None, "seconds": 60, "flow_group_id": None}
    await ask(update, input={"automation_id": known, **changes})
    assert await ask(query) == {"automation": [{**expected, **changes, "states": []}]}
    answer = await refusal(http, update, input={"automation_id": known, "seconds": 0})
    assert "seconds: an automation of LATE needs from 1 to 31,622,400 of them" in answer
    await ask("mutation ($id: UUID!) { delete_automation(input: {automation_id: $id}) { success } }", id=known)
    assert await ask(query) == {"automation": []}
