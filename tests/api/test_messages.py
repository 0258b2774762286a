"""Messages: hooks write them, pages read and mark them."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from prefectlite import Flow, Runtime
from prefectlite.notifications.courier import Courier
from prefectlite.repository.hooks import due_deliveries
from prefectlite.services.notifier import Notifier
from tests.api.test_queries import both_ways

pytestmark = pytest.mark.asyncio
CREATE = "mutation ($input: create_cloud_hook_input!) { create_cloud_hook(input: $input) { id } }"
TEST = "mutation ($id: UUID!) { test_cloud_hook(input: {cloud_hook_id: $id}) { success error } }"
#: As the pages of Prefect's server ask.
UNREAD = (
    "query q($where: message_bool_exp, $by: [message_order_by!]) {"
    " message(where: $where, order_by: $by, limit: 5) { id read type text content created updated tenant_id __typename }"
    " message_aggregate(where: $where) { aggregate { count } } }"
)
HOOK: dict[str, Any] = {"type": "PREFECT_MESSAGE", "states": ["SUCCESS"], "config": {}, "name": "Tell us"}
NOBODY = "00000000-0000-7000-8000-000000000000"


async def do(ask: Any, name: str, message_id: str) -> Any:
    return (await ask(f"mutation ($id: UUID!) {{ {name}(input: {{message_id: $id}}) {{ success error }} }}", id=message_id))[
        name
    ]


async def test_a_message_comes_is_read_and_goes(ask: Any, http: httpx.AsyncClient) -> None:
    hook_id = (await ask(CREATE, input=HOOK))["create_cloud_hook"]["id"]
    assert await ask("{ cloud_hook { type config } }") == {"cloud_hook": [{"type": "PREFECT_MESSAGE", "config": {}}]}
    for _ in range(2):
        assert (await ask(TEST, id=hook_id))["test_cloud_hook"] == {"success": True, "error": None}
    given = {"where": {"read": {"_eq": False}, "text": {"_ilike": "%test%"}}, "by": {"created": "desc"}}
    found = await both_ways(http, UNREAD, given)
    assert found["message_aggregate"] == {"aggregate": {"count": 2}}
    first, second = found["message"]
    assert (first["read"], first["type"], first["__typename"]) == (False, "CLOUD_HOOK", "message")
    assert first["text"] == "Test: Flow run test-run of Test Flow is Success"
    assert first["content"]["event"]["type"] == "FlowRunStateChange"
    assert first["created"] >= second["created"]
    done = {"success": True, "error": None}
    assert await do(ask, "mark_message_as_read", first["id"]) == done
    assert (await ask(UNREAD, **given))["message"] == [second]
    by_pk = "query q($id: uuid!) { message_by_pk(id: $id) { read } }"
    assert await ask(by_pk, id=first["id"]) == {"message_by_pk": {"read": True}}
    assert await do(ask, "mark_message_as_unread", first["id"]) == done
    assert await ask(by_pk, id=first["id"]) == {"message_by_pk": {"read": False}}
    assert await do(ask, "delete_message", first["id"]) == done
    assert await ask(by_pk, id=first["id"]) == {"message_by_pk": None}


@pytest.mark.parametrize("name", ["mark_message_as_read", "mark_message_as_unread", "delete_message"])
async def test_what_is_not_there_is_not_found(http: httpx.AsyncClient, name: str) -> None:
    query = f'mutation {{ {name}(input: {{message_id: "{NOBODY}"}}) {{ success }} }}'
    [error] = (await http.post("/graphql", json={"query": query})).json()["errors"]
    assert error["message"] == f"Message {NOBODY} not found"


async def test_a_state_is_told_once(runtime: Runtime, ask: Any, flows: tuple[Flow, Flow]) -> None:
    await ask(CREATE, input=HOOK)
    run = await flows[0].run()
    client, database = runtime.session.client, runtime.session.database
    courier = Courier(runtime.session.settings)
    async with asyncio.timeout(20):
        while not (await ask("{ message { id } }"))["message"]:
            await Notifier(runtime.session, courier).read()
            for delivery in await due_deliveries(database, runtime.session.clock.micros(), 4):
                await client.hooks.attempt(courier, delivery)
    [message] = (await ask("{ message { id text content } }"))["message"]
    assert message["content"]["event"]["flow_run"]["id"] == run.id
    [delivery] = (await ask("{ hook_delivery { id status } }"))["hook_delivery"]
    assert delivery == {"id": message["id"], "status": "Delivered"}
    await client.messages.add(message["id"], "CLOUD_HOOK", "again", {})
    assert (await ask("{ message { text } }"))["message"] == [{"text": message["text"]}]


async def test_a_config_says_nothing(http: httpx.AsyncClient) -> None:
    answer = (
        await http.post("/graphql", json={"query": CREATE, "variables": {"input": {**HOOK, "config": {"to": "x"}}}})
    ).json()
    assert answer["errors"][0]["message"] == "config: a hook of type PREFECT_MESSAGE needs nothing"
