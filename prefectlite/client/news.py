"""Subscriptions of a running server: GraphQL over WebSocket, the protocol `graphql-transport-ws`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import msgspec

from prefectlite.errors import ApiError, ServerUnreachable

_PROTOCOL = "graphql-transport-ws"
_PATIENCE = 15.0
_MOST = 16 * 1024 * 1024  # one line of a log may be a megabyte, and JSON writes it longer
#: Headers that belong to one HTTP request.
_OF_HTTP = ("accept", "accept-encoding", "connection", "host", "user-agent", "content-type", "content-length")


async def subscription(
    url: str, query: str, variables: Mapping[str, Any], headers: Mapping[str, str]
) -> AsyncGenerator[dict[str, Any], None]:
    """The data of each piece of news, for as long as the server has some.

    Raises ServerUnreachable if the server cannot be reached, or goes away; ApiError if it refuses.
    """
    from websockets.asyncio.client import connect  # noqa: PLC0415 - 60 ms that only those pay who listen
    from websockets.exceptions import ConnectionClosed, InvalidHandshake  # noqa: PLC0415
    from websockets.typing import Subprotocol  # noqa: PLC0415

    kept = {name: value for name, value in headers.items() if name.lower() not in _OF_HTTP}
    connecting = connect(
        "ws" + url.removeprefix("http"),
        subprotocols=[Subprotocol(_PROTOCOL)],
        additional_headers=kept,
        open_timeout=_PATIENCE,
        max_size=_MOST,
    )
    try:
        async with connecting as socket:
            await socket.send(_message("connection_init"))
            async for text in socket:
                message = msgspec.json.decode(text, type=dict[str, Any])
                kind: str = message.get("type", "")
                payload: Any = message.get("payload")
                if kind == "connection_ack":
                    await socket.send(_message("subscribe", id="1", payload={"query": query, "variables": variables}))
                elif kind == "ping":
                    await socket.send(_message("pong"))
                elif kind == "next" and not payload.get("errors"):
                    yield payload["data"]
                elif kind in ("next", "error"):
                    errors = payload["errors"] if kind == "next" else payload
                    raise ApiError(f"The server {url} refused: " + "; ".join(str(one.get("message")) for one in errors))
                elif kind == "complete":
                    return
    except ConnectionClosed as error:
        raise ServerUnreachable(f"The server {url} has closed the connection: {error}") from error
    except (InvalidHandshake, OSError, TimeoutError) as error:
        raise ServerUnreachable(f"The server {url} cannot be listened to: {error or type(error).__name__}") from error


def _message(kind: str, **more: Any) -> str:
    return msgspec.json.encode({"type": kind, **more}).decode()
