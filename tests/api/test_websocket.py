"""The protocol graphql-transport-ws, against a real server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from prefectlite import Runtime
from prefectlite.api import seats, websocket
from tests.api.sockets import PROTOCOL, close_code, dial, initialise, receive, send, until

ENDLESS = {"query": "subscription { state_changes { seq } }"}


@pytest.mark.asyncio
async def test_queries_and_mutations_go_over_it_too(port: int) -> None:
    async with dial(port) as socket:
        assert socket.subprotocol == PROTOCOL
        await initialise(socket)
        await send(socket, id="a", type="subscribe", payload={"query": "{ hello }"})
        assert await receive(socket) == {"id": "a", "type": "next", "payload": {"data": {"hello": "👋"}}}
        assert await receive(socket) == {"id": "a", "type": "complete"}
        mutation = 'mutation { create_project(input: {name: "w"}) { __typename } }'
        await send(socket, id="a", type="subscribe", payload={"query": mutation})
        answer = await receive(socket)
        assert answer["payload"] == {"data": {"create_project": {"__typename": "create_project_payload"}}}
        assert await receive(socket) == {"id": "a", "type": "complete"}
        await send(socket, id="a", type="subscribe", payload={"query": mutation})
        answer = await receive(socket)
        assert answer["type"] == "next"
        assert answer["payload"]["errors"][0]["message"] == "Uniqueness violation."


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["/graphql", "/graphql/"])
async def test_pings_are_answered(port: int, path: str) -> None:
    async with connect(f"ws://127.0.0.1:{port}{path}", subprotocols=[PROTOCOL], proxy=None) as socket:
        await send(socket, type="ping")
        assert await receive(socket) == {"type": "pong"}
        await send(socket, type="pong", payload={"x": 1})
        await send(socket, type="ping", payload={"y": [2]})
        assert await receive(socket) == {"type": "pong", "payload": {"y": [2]}}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "payload",
    [
        {"query": "subscription { nothing }"},
        {"query": "subscription {"},
        {"query": "subscription q($x: uuid!) { state_changes(flow_run_id: $x) { seq } }"},
        {"query": ""},
        {},
        None,
        {"query": "subscription { state_changes { seq } more: state_changes { seq } }"},
    ],
)
async def test_what_cannot_run_is_an_error_message(port: int, payload: Any) -> None:
    async with dial(port) as socket:
        await initialise(socket)
        await send(socket, id="x", type="subscribe", payload=payload)
        answer = await receive(socket)
        assert (answer["id"], answer["type"]) == ("x", "error")
        assert answer["payload"][0]["message"]
        await send(socket, id="x", type="subscribe", payload={"query": "{ hello }"})  # the id is free again
        assert (await receive(socket))["type"] == "next"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (["not json"], 4400),
        (["[]"], 4400),
        (['{"type": "start", "id": "1"}'], 4400),
        (['{"id": "1"}'], 4400),
        (['{"type": "complete"}'], 4400),
        ([b"\x00"], 4400),
        (['{"type": "subscribe", "id": "1", "payload": {"query": "{hello}"}}'], 4401),
        (['{"type": "connection_init"}', '{"type": "connection_init"}'], 4429),
        (['{"type": "connection_init"}', '{"type": "subscribe", "payload": {"query": "{hello}"}}'], 4400),
        (['{"type": "connection_init"}', '{"type": "subscribe", "id": "", "payload": {"query": "{hello}"}}'], 4400),
        (["[" * 50_000], 4400),
        (['"' + "x" * 1_100_000 + '"'], 1009),
    ],
)
async def test_breaking_the_protocol_ends_the_connection(port: int, messages: list[Any], code: int) -> None:
    async with dial(port) as socket:
        for message in messages:
            await socket.send(message)
        assert await close_code(socket) == code


@pytest.mark.asyncio
async def test_an_id_is_used_once_at_a_time(port: int) -> None:
    async with dial(port) as socket:
        await initialise(socket)
        await send(socket, id="1", type="subscribe", payload=ENDLESS)
        await send(socket, id="1", type="complete")
        await send(socket, id="1", type="subscribe", payload=ENDLESS)
        await send(socket, type="ping")
        assert await receive(socket) == {"type": "pong"}
        await send(socket, id="1", type="subscribe", payload=ENDLESS)
        assert await close_code(socket) == 4409


@pytest.mark.asyncio
async def test_twenty_operations_at_a_time(port: int, runtime: Runtime) -> None:
    async with dial(port) as socket:
        await initialise(socket)
        for n in range(20):
            await send(socket, id=str(n), type="subscribe", payload=ENDLESS)
        await send(socket, type="ping")
        assert await receive(socket) == {"type": "pong"}
        await send(socket, id="20", type="subscribe", payload=ENDLESS)
        assert await close_code(socket) == 4429


@pytest.mark.asyncio
async def test_who_does_not_initialise_is_sent_away(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "INIT_TIMEOUT", 0.1)
    async with dial(port) as socket:
        assert await close_code(socket) == 4408


@pytest.mark.asyncio
@pytest.mark.parametrize("protocols", [None, ["graphql-ws"]])
async def test_other_subprotocols_are_not_spoken(port: int, protocols: list[Subprotocol] | None) -> None:
    async with connect(f"ws://localhost:{port}/graphql", subprotocols=protocols, proxy=None) as socket:
        assert await close_code(socket) == 4406


@pytest.mark.asyncio
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1"])
async def test_pages_of_other_sites_cannot_connect(port: int, origin: Any) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with dial(port, origin=origin):
            pass
    assert caught.value.response.status_code == 403


@pytest.mark.asyncio
async def test_pages_of_our_own_can(port: int) -> None:
    async with dial(port, origin=f"http://localhost:{port}") as socket:
        await initialise(socket)


@pytest.mark.asyncio
async def test_leaving_ends_what_ran(port: int, runtime: Runtime) -> None:
    bus = runtime.session.bus
    async with dial(port) as socket:
        await initialise(socket)
        run = "00000000-0000-7000-8000-000000000000"
        query = f'subscription {{ state_changes(flow_run_id: "{run}") {{ seq }} }}'
        await send(socket, id="1", type="subscribe", payload={"query": query})
        await until(lambda: bus.has_listeners(("flow_run", run)))
    await until(lambda: not bus.has_listeners(("flow_run", run)))


@pytest.mark.asyncio
async def test_connections_have_a_most(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seats, "MAX_CONNECTIONS", 1)
    async with dial(port) as first:
        await initialise(first)
        with pytest.raises(InvalidStatus):
            async with dial(port):
                pass
        async with dial(port, additional_headers={"x-prefectlite-executor": "1"}) as agent:
            await initialise(agent)  # runs begin with what it hears
    async with asyncio.timeout(10):
        while True:
            try:
                async with dial(port) as again:
                    await initialise(again)
                break
            except InvalidStatus:
                await asyncio.sleep(0.01)
