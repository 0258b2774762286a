"""E-mail, by a server on this machine."""

from __future__ import annotations

from typing import Any

import pytest

from prefectlite.errors import BadRequest
from prefectlite.notifications.delivery import DeliveryError, DeliveryRefused
from prefectlite.notifications.mail import Letter, checked_recipients, send
from tests.notifications.servers import MailServer

pytestmark = pytest.mark.asyncio
LETTER = Letter(["a@b.example", "c@d.example"], "Run\r\nBcc: x@y.example", "It is\n.\nFailed", "the-id")


async def test_a_letter() -> None:
    async with MailServer().open() as server:
        await send(LETTER, smtp_url=f"smtp://127.0.0.1:{server.port}", sender="me@here.example")
        [letter] = server.letters
        assert server.recipients == ["<a@b.example>", "<c@d.example>"]
        head, _, text = letter.partition("\r\n\r\n")
        assert "Subject: Run Bcc: x@y.example" in head.splitlines()
        assert "Message-ID: <the-id@prefectlite.invalid>" in head.splitlines()
        assert "From: me@here.example" in head.splitlines()
        assert text == "It is\r\n..\r\nFailed\r\n.\r\n"


async def test_a_server_that_refuses(free_port: int) -> None:
    async with MailServer().open() as server:
        server.refuses = True
        with pytest.raises(DeliveryError, match=r"^The mail server 127\.0\.0\.1 did not take it: "):
            await send(LETTER, smtp_url=f"smtp://127.0.0.1:{server.port}", sender="")
    with pytest.raises(DeliveryError, match=r"did not take it: "):
        await send(LETTER, smtp_url=f"smtp://127.0.0.1:{free_port}", sender="")


async def test_a_password_is_not_sent_in_the_clear() -> None:
    async with MailServer().open() as server:
        with pytest.raises(DeliveryRefused, match="does not encrypt"):
            await send(LETTER, smtp_url=f"smtp://me:pass@127.1:{server.port}", sender="")


async def test_without_a_server() -> None:
    with pytest.raises(DeliveryRefused, match="set smtp_url"):
        await send(LETTER, smtp_url="", sender="")


@pytest.mark.parametrize("url", ["mail.example", "http://a.example", "smtp://", "smtp://a:x", "smtp://[", "smtp://a:99999"])
async def test_what_is_no_server(url: str) -> None:
    with pytest.raises(DeliveryRefused, match=r"^The setting smtp_url is not like smtp://host:587"):
        await send(LETTER, smtp_url=url, sender="")


async def test_recipients() -> None:
    assert checked_recipients("a@b.example, c@d.example") == checked_recipients(["a@b.example", "c@d.example"])


@pytest.mark.parametrize("given", [None, "", [], ["a"], ["@b"], ["a@b\nBcc: c@d"], ["a@b, c@d"], [1], ["a@b.example"] * 51])
async def test_what_is_no_recipient(given: Any) -> None:
    with pytest.raises(BadRequest, match=r"^config\.to: "):
        checked_recipients(given)
