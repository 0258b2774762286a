"""News through the server's own WebSockets: many messages at once, and nothing for who does not read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from prefectlite import Flow, Runtime
from prefectlite.api.turns import BURST, SHARE, Turns
from prefectlite.cli.connections import Socket
from prefectlite.live.events import ALL_FLOW_RUNS, StateChange
from prefectlite.records import StateRecord
from tests.api.conftest import serving
from tests.api.sockets import dial, initialise, receive, send, until

QUERY = "subscription { state_changes { seq state message lagged } }"


@pytest.fixture
def api_database_url() -> str:
    return "sqlite://:memory:"  # what is tried here is above databases


@pytest_asyncio.fixture
async def port(runtime: Runtime) -> AsyncIterator[int]:
    async with serving(runtime.app, ws=Socket, ws_per_message_deflate=False) as port:
        yield port


def changes(first: int, last: int, message: str | None = None) -> list[StateChange]:
    state = StateRecord("s", "Running", 0, message)
    return [StateChange(seq, "flow_run", "r", None, None, None, 1, state) for seq in range(first, last + 1)]


async def listening(port: int, runtime: Runtime, number: int) -> list[Any]:
    before = runtime.session.bus.listeners(ALL_FLOW_RUNS)
    sockets = []
    for _ in range(number):
        socket = await dial(port, ping_interval=None).__aenter__()
        await initialise(socket)
        await send(socket, id="é" * 3, type="subscribe", payload={"query": QUERY})
        sockets.append(socket)
    await until(lambda: runtime.session.bus.listeners(ALL_FLOW_RUNS) == before + number)
    return sockets


@pytest.mark.asyncio
@pytest.mark.parametrize("message", [None, "é", "x" * 300, "y" * 70_000])
async def test_messages_of_all_sizes(port: int, runtime: Runtime, message: str | None) -> None:
    [socket] = await listening(port, runtime, 1)
    runtime.session.bus.publish(changes(1, 50, message))
    for seq in range(1, 51):
        answer = await receive(socket)
        assert (answer["id"], answer["type"]) == ("é" * 3, "next")
        expected = {"seq": seq, "state": "Running", "message": message, "lagged": False}
        assert answer["payload"] == {"data": {"state_changes": expected}}
    await send(socket, type="ping")
    assert (await receive(socket))["type"] == "pong"
    await socket.close()


@pytest.mark.asyncio
async def test_who_does_not_read_holds_up_nobody(port: int, runtime: Runtime, flows: tuple[Flow, Flow]) -> None:
    stuck, reading = await listening(port, runtime, 2)
    stuck.transport.pause_reading()
    bus = runtime.session.bus
    bus._capacity = 500
    seen = []
    for first in range(10_001, 13_001, 100):  # numbers that the run below will not have
        bus.publish(changes(first, first + 99, "z" * 5_000))
        while not seen or seen[-1]["seq"] < first + 99:
            seen.append((await receive(reading))["payload"]["data"]["state_changes"])
    assert [one["seq"] for one in seen] == list(range(10_001, 13_001))
    assert not any(one["lagged"] for one in seen)
    await flows[0].run()  # the engine neither
    stuck.transport.resume_reading()
    missed = []
    while not missed or missed[-1]["state"] != "Success":
        missed.append((await receive(stuck))["payload"]["data"]["state_changes"])
    assert 500 <= len(missed) < 3_000
    assert sum(one["lagged"] for one in missed) >= 1
    for socket in (stuck, reading):
        await socket.close()


@pytest.mark.asyncio
async def test_a_connection_that_breaks_ends_its_subscription(port: int, runtime: Runtime) -> None:
    before = runtime.session.bus.listeners(ALL_FLOW_RUNS)
    sockets = await listening(port, runtime, 3)
    sockets[0].transport.abort()
    await until(lambda: runtime.session.bus.listeners(ALL_FLOW_RUNS) == before + 2)
    runtime.session.bus.publish(changes(1, 10))
    for socket in sockets[1:]:
        assert (await receive(socket))["type"] == "next"
        await socket.close()
    await until(lambda: runtime.session.bus.listeners(ALL_FLOW_RUNS) == before)


@pytest.mark.asyncio
async def test_turns_keep_to_their_share() -> None:
    turns = Turns()
    order: list[int] = []

    async def subscriber(number: int) -> None:
        await turns.mine()
        order.append(number)
        turns.took(0.001, 1_000)

    loop = asyncio.get_running_loop()
    turns.took(BURST)  # what may be spent at once is spent
    begun = loop.time()
    await asyncio.gather(*(subscriber(number) for number in range(4)))
    assert loop.time() - begun > 0.003 / SHARE
    assert order == [0, 1, 2, 3]


@pytest.mark.asyncio
async def test_the_more_wait_the_fewer_each_gets() -> None:
    turns = Turns()
    alone = await turns.mine()
    turns.took(BURST + 0.0001)
    together = await asyncio.gather(*(turns.mine() for _ in range(50)))
    assert alone > 1_000
    assert together[0] < alone / 20


@pytest.mark.asyncio
async def test_who_executes_runs_waits_for_nobody() -> None:
    turns = Turns()
    turns.took(1_000.0)
    waiting = asyncio.create_task(turns.mine())
    ahead = turns.ahead()
    assert await asyncio.wait_for(ahead.mine(), 10) > 10_000
    ahead.took(1.0, 10)
    assert turns._credit < -1_000, "what agents spend, the others have less"
    assert not waiting.done()
    waiting.cancel()
