"""Who may speak to the server, and from where."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Message

from prefectlite.api.guard import Guard


def guarded(*allowed: str) -> Starlette:
    async def fine(_request: Any) -> PlainTextResponse:
        return PlainTextResponse("fine", headers={"x-frame-options": "SAMEORIGIN"})

    routes = [Route("/{path:path}", fine, methods=["GET", "POST"])]
    return Starlette(routes=routes, middleware=[Middleware(Guard, allowed_hosts=allowed)])


async def status(app: Starlette, method: str = "GET", **headers: str) -> int:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:1") as client:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return (await client.request(method, "/", headers=named)).status_code


async def status_of(headers: list[tuple[bytes, bytes]]) -> int:
    """The status of the answer to these very headers."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers, "query_string": b"", "root_path": ""}
    await guarded()(scope, receive, send)
    return int(sent[0]["status"])


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:65535", "box.lan", "box.lan:80"]
)
async def test_known_names_are_answered(host: str) -> None:
    assert await status(guarded("Box.lan"), host=host) == 200


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "localhost.evil", "x@localhost", "localhost/", "localhost?", "localhost#", "localhost:", "::1",
        "localhost:123456", "127.0.0.1.nip.io", "[::1", "[::2]", "local host", "localhost,evil", "127.0.0.2", "", ".",
        "localhost:80:80", "0.0.0.0", "box.lan",
    ],
)  # fmt: skip
async def test_other_names_are_not(host: str) -> None:
    assert await status(guarded(), host=host) == 421


@pytest.mark.asyncio
@pytest.mark.parametrize("hosts", [[], [b"localhost", b"localhost"], [b"localhost", b"evil.example"]])
async def test_one_host_header_is_needed(hosts: list[bytes]) -> None:
    assert await status_of([(b"host", host) for host in hosts]) == 421


@pytest.mark.asyncio
async def test_any_name_may_be_allowed() -> None:
    assert await status(guarded("*"), host="whatever.example:1234") == 200
    assert await status(guarded("*"), host="what ever") == 421


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("host", "origin", "expected"),
    [
        ("localhost:8080", "http://localhost:8080", 200),
        ("localhost:8080", "https://localhost:8080", 200),
        ("localhost:8080", "HTTP://LOCALHOST:8080", 200),
        ("localhost", "http://localhost:80", 200),
        ("localhost:443", "https://localhost", 200),
        ("[::1]:9000", "http://[::1]:9000", 200),
        ("localhost:8080", "http://localhost:8081", 403),
        ("localhost:8080", "http://localhost", 403),
        ("localhost:8080", "http://127.0.0.1:8080", 403),
        ("localhost:8080", "http://localhost:8080.evil.example", 403),
        ("localhost:8080", "http://evil.example", 403),
        ("localhost:8080", "null", 403),
        ("localhost:8080", "localhost:8080", 403),
        ("localhost:8080", "file://localhost:8080", 403),
        ("localhost:8080", "", 403),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_only_pages_of_our_own_may_ask(host: str, origin: str, expected: int, method: str) -> None:
    answered = await status(guarded(), method, host=host, origin=origin)
    assert answered == (405 if method == "DELETE" and expected == 200 else expected)


@pytest.mark.asyncio
@pytest.mark.parametrize("headers", [[(b"x", b"a" * 16_384)], [(b"x-%d" % n, b"a" * 10) for n in range(1_500)]])
async def test_headers_have_an_end(headers: list[tuple[bytes, bytes]]) -> None:
    host = (b"host", b"localhost")
    assert await status_of([host, *headers]) == 431
    assert await status_of([host, (b"x", b"a" * 16_000)]) == 200


@pytest.mark.asyncio
async def test_browsers_say_where_a_request_comes_from() -> None:
    app = guarded()
    for site, expected in {"same-origin": 200, "none": 200, "cross-site": 403, "same-site": 403, "new": 403}.items():
        assert await status(app, "POST", sec_fetch_site=site) == expected
        assert await status(app, "GET", sec_fetch_site=site) == 200  # a link to a page is followed from anywhere


@pytest.mark.asyncio
@pytest.mark.parametrize("host", ["localhost", "evil.example"])
async def test_every_answer_carries_the_headers(host: str) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guarded()), base_url=f"http://{host}") as client:
        headers = (await client.get("/")).headers
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == ("SAMEORIGIN" if host == "localhost" else "DENY")  # a route may say otherwise
    assert headers["referrer-policy"] == "no-referrer"
