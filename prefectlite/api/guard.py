"""What stands before every route, HTTP and WebSocket alike: who may be spoken to as whom, and how browsers must behave.

A page on another site can make a browser send requests here. It cannot choose the `Host` (so a rebound DNS name is
noticed) and it cannot hide its `Origin`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
ANY_HOST = "*"
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(\d{1,5}))?", re.ASCII)
_DEFAULT_PORTS = {"http": "80", "https": "443"}

HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",  # pages bring a wider one of their own
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """ASGI middleware: refuses foreign hosts (421) and foreign origins (403), and adds the headers browsers obey."""

    def __init__(self, app: ASGIApp, allowed_hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in (*LOCAL_HOSTS, *allowed_hosts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, _with_headers(send) if scope["type"] == "http" else send)
        elif scope["type"] == "http":
            status, text = refusal
            await PlainTextResponse(text + "\n", status)(scope, receive, _with_headers(send))
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": refusal[1]})  # before accept: HTTP 403

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        hosts = _values(scope, b"host")
        host = _AUTHORITY.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if host is None or (host[1] not in self._hosts and ANY_HOST not in self._hosts):
            return 421, "This host name is not one the server answers to; it can be allowed in the settings"
        origins = _values(scope, b"origin")
        if origins and (len(origins) > 1 or not _same_place(origins[0], host[1], host[2])):
            return 403, "Requests from pages of other sites are refused"
        fetch = _values(scope, b"sec-fetch-site")
        if fetch and fetch[0] not in ("same-origin", "none") and scope.get("method") not in ("GET", "HEAD"):
            return 403, "Requests from pages of other sites are refused"
        return None


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1").strip().lower() for key, value in scope["headers"] if key.lower() == name]


def _same_place(origin: str, host: str, port: str | None) -> bool:
    """Whether `origin` is where the request went. Its scheme may differ: a proxy may speak TLS to the outside."""
    scheme, separator, rest = origin.partition("://")
    match = _AUTHORITY.fullmatch(rest) if separator and scheme in _DEFAULT_PORTS else None
    if match is None or match[1] != host:
        return False
    default = _DEFAULT_PORTS[scheme]
    return (match[2] or default) == (port or default)


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers
