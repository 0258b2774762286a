"""Connections of `serve`: who is slow, and who has too many."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from prefectlite.cli import connections
from prefectlite.cli.connections import Connection, Socket
from tests.api.conftest import _QuietServer

pytestmark = pytest.mark.asyncio
HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\n"


async def length(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers how long the body is, after half a second."""
    try:
        body = await Request(scope, receive).body()
    except Exception:
        return
    await asyncio.sleep(0.5)
    await PlainTextResponse(str(len(body)))(scope, receive, send)


@contextlib.asynccontextmanager
async def served(application: Any = length) -> AsyncIterator[int]:
    config = uvicorn.Config(
        application,
        port=0,
        log_level="error",
        lifespan="off",
        http=Connection,
        ws=Socket,
        timeout_graceful_shutdown=1,
    )
    server = _QuietServer(config)
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn sets no event
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await running


def hear(caplog: pytest.LogCaptureFixture) -> None:
    """Let `caplog` have what uvicorn logs from now on, which it keeps from other handlers."""
    logging.getLogger("uvicorn.error").addHandler(caplog.handler)


async def answer(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    """All that is answered until the connection ends, or for two seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause)
        found = b""
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            async with asyncio.timeout(2):
                while piece := await reader.read(65_536):
                    found += piece
                found += b"<closed>"
        return found
    finally:
        writer.close()


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(connections, "BODY_SECONDS", 0.3)


async def test_who_is_slow_is_cut_off() -> None:
    async with served() as port:
        body = HEAD + b"Content-Length: 100000\r\n\r\n"
        slow = [[b""], [HEAD], [body], [body, b"x" * 100, b"x"], [HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"]]
        answers = await asyncio.gather(*(answer(port, *parts, pause=0.1) for parts in slow))
        assert [found.replace(b"<closed>", b"") for found in answers] == [b""] * len(slow)


async def test_who_is_not_is_answered() -> None:
    async with served() as port:
        body = HEAD + b"Content-Length: 60000\r\n\r\n"
        found = await answer(port, body, *[b"x" * 10_000] * 6, pause=0.12)  # longer than the deadline, and steadily
        assert b"\r\n\r\n60000" in found
        found = await answer(port, HEAD + b"Content-Length: 1\r\n\r\n1", HEAD + b"Content-Length: 2\r\n\r\n22", pause=0.1)
        assert found.count(b"200 OK") == 2  # the application takes longer than any deadline, and the connection stays
        assert not found.endswith(b"<closed>")


async def test_the_next_request_has_a_deadline_too() -> None:
    async with served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"Content-Length: 1\r\n\r\n1" + HEAD)
        async with asyncio.timeout(3):
            with contextlib.suppress(ConnectionResetError):
                while await reader.read(65_536):
                    pass
        writer.close()


async def test_one_address_has_a_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_LOOPBACK", ())
    monkeypatch.setattr(connections, "PER_ADDRESS", 2)
    monkeypatch.setattr(Connection, "_open", Counter())
    request = HEAD + b"Content-Length: 1\r\n\r\n1"
    async with served() as port:
        found = await asyncio.gather(*(answer(port, request) for _ in range(4)))
        assert sum(b"200 OK" in one for one in found) == 2
        for _ in range(100):
            if not Connection._open:
                break
            await asyncio.sleep(0.02)
        assert b"200 OK" in await answer(port, request)


async def test_a_websocket_on_which_nothing_is_said_stays() -> None:
    async def echo(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})

    async with served(echo) as port, connect(f"ws://127.0.0.1:{port}/", proxy=None) as socket:
        await asyncio.sleep(1)  # longer than any deadline
        await socket.send("still there")
        assert await asyncio.wait_for(socket.recv(), 5) == "still there"


@pytest.mark.parametrize(
    "head",
    [b"Content-Length: 100\r\n", b"X: \x01\r\n", b"Transfer-Encoding: chunked\r\n", b"X: a\r\n" * 200, b"X: \x1b[31m\r\n"],
)
async def test_a_handshake_that_cannot_be_read_is_answered(head: bytes, caplog: pytest.LogCaptureFixture) -> None:
    upgrade = (
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    async with served(at_once) as port:
        hear(caplog)
        found = await answer(port, upgrade + head + b"\r\n")
        assert found.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert found.endswith(b"<closed>")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(upgrade + head + b"\r\n")  # and nobody looks at the answer
        await asyncio.sleep(0.1)
    writer.close()
    assert reader is not None
    assert [record for record in caplog.records if record.exc_info] == []


async def at_once(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers without a look at the body."""
    await PlainTextResponse("no", 401)(scope, receive, send)


async def test_a_websocket_that_is_refused_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async with served(at_once) as port:
        hear(caplog)
        with pytest.raises(InvalidStatus) as caught:
            async with connect(f"ws://127.0.0.1:{port}/", proxy=None):
                pass
    assert caught.value.response.status_code == 401
    assert [record.getMessage() for record in caplog.records if record.name.startswith("uvicorn")] == []


async def in_pieces(scope: Any, receive: Any, send: Any) -> None:
    """An application that begins to answer, and reads then."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    with contextlib.suppress(ClientDisconnect):
        await Request(scope, receive).body()


@pytest.mark.parametrize("application", [length, at_once, in_pieces])
async def test_what_is_no_http_leaves_no_traceback(application: Any, caplog: pytest.LogCaptureFixture) -> None:
    body = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    async with served(application) as port:
        hear(caplog)
        await answer(port, body + b"zz\r\n")
        await answer(port, body, b"zz\r\n", pause=0.1)
        assert b"200" in await answer(port, HEAD + b"Content-Length: 0\r\n\r\n") or application is at_once
    assert [record for record in caplog.records if record.exc_info] == []
