"""Posting: what is sent, what counts as taken, and the limits."""

from __future__ import annotations

import asyncio
import base64
import logging
import ssl
from typing import Any

import pytest

from prefectlite.errors import BadRequest
from prefectlite.notifications.delivery import DeliveryError, DeliveryRefused
from prefectlite.notifications.post import checked_url, post
from tests.notifications.servers import Receiver, listening

pytestmark = pytest.mark.asyncio


async def send(url: str, **options: Any) -> None:
    await post(url, {"a": "ü"}, {"X-Own": "1"}, **({"allow_private": True, "timeout": 5} | options))


async def test_what_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with Receiver().open() as receiver:
        await send(receiver.url.replace("http://", "http://me:p%40ss@"))
        assert receiver.bodies == [{"a": "ü"}]
        head = receiver.heads[0].lower().splitlines()
        assert {"content-type: application/json", "x-own: 1", "accept-encoding: identity"} <= set(head)
        assert "authorization: basic " + base64.b64encode(b"me:p@ss").decode().lower() in head
    assert "secret-path" not in caplog.text


@pytest.mark.parametrize(("status", "headers"), [(500, ""), (404, ""), (302, "Location: http://127.0.0.1:1/\r\n")])
async def test_what_is_not_taken(status: int, headers: str) -> None:
    async with Receiver().open() as receiver:
        receiver.status, receiver.headers = status, headers
        with pytest.raises(DeliveryError, match=rf"^127\.0\.0\.1 answered with HTTP {status}$"):
            await send(receiver.url)
        assert len(receiver.bodies) == 1


async def test_a_long_answer_is_left_alone() -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 X\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()
            sent += 65_536

    async with listening(endless) as port:
        await send(f"http://127.0.0.1:{port}/")
        assert sent < 20_000_000


async def test_one_that_hangs() -> None:
    async with Receiver().open() as receiver:
        receiver.hangs = True
        with pytest.raises(DeliveryError, match=r"^127\.0\.0\.1 did not answer within 0\.2 s$"):
            await send(receiver.url, timeout=0.2)


async def test_one_that_is_not_there(free_port: int) -> None:
    with pytest.raises(DeliveryError, match=r"^127\.0\.0\.1 cannot be reached: "):
        await send(f"http://127.0.0.1:{free_port}/secret-path")


async def test_the_certificate_is_that_of_the_name(free_port: int) -> None:
    """Dialling an address does not mean that its certificate goes unchecked, and the name is sent to choose it by."""
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = lambda _socket, name, _context: names.append(name)

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", free_port, ssl=context)
    async with server:
        with pytest.raises(DeliveryError, match=r"^a\.example cannot be reached: "):
            await send(f"https://a.example:{free_port}/", resolve=resolve)
    assert names == ["a.example"]


@pytest.mark.parametrize(
    "url", [None, "", 7, "ftp://a/", "//a/", "https:///x", "http://a:99999999/", "https://" + "a" * 3_000, "x"]
)
async def test_what_is_no_url(url: Any) -> None:
    with pytest.raises(BadRequest, match=r"^config\.url: "):
        checked_url(url, allow_private=True)


async def test_without_tls_only_where_private_addresses_are_allowed() -> None:
    with pytest.raises(BadRequest, match=r"^config\.url: it has to begin with https://$"):
        checked_url("http://a.example/", allow_private=False)
    with pytest.raises(DeliveryRefused):
        await send("http://a.example/", allow_private=False)
