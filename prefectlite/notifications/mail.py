"""Sending e-mail by the server that the setting smtp_url names."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from prefectlite.errors import BadRequest
from prefectlite.lazily import lazily
from prefectlite.notifications.delivery import DeliveryError, DeliveryRefused

if TYPE_CHECKING:
    import email.message as messages
    import email.utils as dates
    import smtplib
    import ssl
else:  # 30 ms that only those pay who send e-mail
    messages, dates, smtplib, ssl = map(lazily, ("email.message", "email.utils", "smtplib", "ssl"))

#: Seconds that the server may take for each thing it is told.
TIMEOUT = 10.0
_MOST_RECIPIENTS = 50
_NOT_IN_AN_ADDRESS = set(' ,;:<>()[]"\\')
_OWN = ("localhost", "127.0.0.1", "::1")


class Letter(NamedTuple):
    """What is to be sent; `delivery_id` is the same each time that it is tried."""

    recipients: Sequence[str]
    subject: str
    text: str
    delivery_id: str


def checked_recipients(given: object) -> list[str]:
    """The addresses in `given`: a list, or a text with commas. Raises BadRequest."""
    found = [part.strip() for part in given.split(",")] if isinstance(given, str) else given
    if not isinstance(found, list) or not found or len(found) > _MOST_RECIPIENTS:
        raise BadRequest(f"config.to: one to {_MOST_RECIPIENTS} e-mail addresses are needed")
    for one in found:
        if not isinstance(one, str) or not _is_address(one):
            raise BadRequest(f"config.to: {one!r} is not an e-mail address")
    return found


def _is_address(text: str) -> bool:
    name, at, host = text.rpartition("@")
    return bool(name and at and host) and text.isascii() and text.isprintable() and not set(text) & _NOT_IN_AN_ADDRESS


async def send(letter: Letter, *, smtp_url: str, sender: str) -> None:
    """Have the server take a letter. Raises DeliveryError, and DeliveryRefused if there is no server to send it by."""
    if not smtp_url:
        raise DeliveryRefused("E-mail cannot be sent: set smtp_url to the server that takes it, smtp://host:587 for example")
    await asyncio.to_thread(_send, letter, smtp_url, sender)


def _send(letter: Letter, smtp_url: str, sender: str) -> None:
    url, host, port = _server(smtp_url)
    message = messages.EmailMessage()
    message["From"] = sender or f"prefectlite@{host}"
    message["To"] = ", ".join(letter.recipients)
    message["Subject"] = " ".join(letter.subject.split())  # a name with a line break must not add a header
    message["Date"] = dates.formatdate()
    message["Message-ID"] = f"<{letter.delivery_id}@prefectlite.invalid>"  # by which a second copy is known
    message.set_content(letter.text)
    try:
        if url.scheme == "smtps":
            connection: smtplib.SMTP = smtplib.SMTP_SSL(
                host, port or 465, timeout=TIMEOUT, context=ssl.create_default_context()
            )
        else:
            connection = smtplib.SMTP(host, port or 587, timeout=TIMEOUT)
        with connection:
            _introduce(connection, host, unquote(url.username or ""), unquote(url.password or ""), url.scheme)
            connection.send_message(message)
    except (smtplib.SMTPException, OSError) as error:
        raise DeliveryError(f"The mail server {host} did not take it: {_told(error)}") from None


def _server(smtp_url: str) -> tuple[SplitResult, str, int | None]:
    try:
        url = urlsplit(smtp_url)
        host, port = url.hostname, url.port
    except ValueError:
        host = None
    if not host or url.scheme not in ("smtp", "smtps"):
        raise DeliveryRefused("The setting smtp_url is not like smtp://host:587 or smtps://host:465")
    return url, host, port


def _introduce(connection: smtplib.SMTP, host: str, user: str, password: str, scheme: str) -> None:
    """Encrypt what follows where the server can, and log in where it is to know who sends."""
    connection.ehlo()
    is_sealed = scheme == "smtps"
    if not is_sealed and connection.has_extn("starttls"):
        connection.starttls(context=ssl.create_default_context())
        connection.ehlo()
        is_sealed = True
    if user:
        if not is_sealed and host not in _OWN:
            raise DeliveryRefused(f"The mail server {host} does not encrypt, so that the password is not sent to it")
        connection.login(user, password)


def _told(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
