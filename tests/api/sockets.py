"""Speaking graphql-transport-ws to a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

PROTOCOL = Subprotocol("graphql-transport-ws")


def dial(port: int, **options: Any) -> connect:
    return connect(f"ws://localhost:{port}/graphql", subprotocols=[PROTOCOL], proxy=None, **options)


async def send(socket: ClientConnection, **message: Any) -> None:
    await socket.send(msgspec.json.encode(message).decode())


async def receive(socket: ClientConnection) -> Any:
    return msgspec.json.decode(await asyncio.wait_for(socket.recv(), 10))


async def initialise(socket: ClientConnection) -> None:
    await send(socket, type="connection_init")
    assert await receive(socket) == {"type": "connection_ack"}


async def close_code(socket: ClientConnection) -> int | None:
    async with asyncio.timeout(10):
        await socket.wait_closed()
    return socket.close_code


async def until(true: Callable[[], bool]) -> None:
    """Return once `true()` is."""
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)
