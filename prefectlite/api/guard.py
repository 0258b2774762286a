"""What stands before every route, HTTP and WebSocket alike: who may be spoken to as whom, and how browsers must behave.

A page on another site can make a browser send requests here. It cannot choose the `Host` (so a rebound DNS name is
noticed) and it cannot hide its `Origin`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prefectlite.errors import SettingsError

#: Where the guard leaves, in the scope of a request, that a page of another site sent it, one of `allowed_origins`.
FOREIGN_ORIGIN = "prefectlite.foreign_origin"
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
ANY_HOST = "*"
#: Bytes of all headers of a request together.
MOST_OF_HEADERS = 16 * 1024
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(\d{1,5}))?", re.ASCII)
_HEADER = re.compile(r"[a-z0-9-]{1,60}", re.ASCII)
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
    """ASGI middleware: refuses foreign hosts (421), foreign origins (403) and endless headers (431).

    It adds the headers that browsers obey.

    Pages of `allowed_origins` may read the answers, too; with credentials that they send themselves, never with cookies.
    """

    def __init__(
        self, app: ASGIApp, allowed_hosts: Iterable[str] = (), allowed_origins: frozenset[str] = frozenset()
    ) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in (*LOCAL_HOSTS, *allowed_hosts))
        self._origins = allowed_origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            if scope["type"] == "http":
                foreign = scope.get(FOREIGN_ORIGIN)
                send = _with_headers(send) if foreign is None else _with_headers(send, _readable_by(foreign, scope))
                if foreign is not None and scope["method"] == "OPTIONS":
                    await Response(status_code=204)(scope, receive, send)
                    return
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            status, text = refusal
            await PlainTextResponse(text + "\n", status)(scope, receive, _with_headers(send))
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": refusal[1]})  # before accept: HTTP 403

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MOST_OF_HEADERS:
            return 431, "The headers of a request have at most 16 KB"
        hosts = _values(scope, b"host")
        host = _AUTHORITY.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if host is None or (host[1] not in self._hosts and ANY_HOST not in self._hosts):
            return 421, "This host name is not one the server answers to; it can be allowed in the settings"
        origins = _values(scope, b"origin")
        if len(origins) == 1 and origins[0] in self._origins and not _same_place(origins[0], host[1], host[2]):
            scope[FOREIGN_ORIGIN] = origins[0]
            return None
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


def checked_origins(origins: Iterable[str]) -> frozenset[str]:
    """Origins as browsers name them. Raises SettingsError for what is none; `*` is not, because it would be everybody."""
    found = frozenset(origin.strip().lower().removesuffix("/") for origin in origins)
    for origin in found:
        scheme, separator, rest = origin.partition("://")
        if not separator or scheme not in _DEFAULT_PORTS or not _AUTHORITY.fullmatch(rest):
            raise SettingsError(f"allowed_origins: {origin!r} is no origin, such as http://localhost:3000")
    return found


def _readable_by(origin: str, scope: Scope) -> dict[str, str]:
    """The headers by which a browser lets pages of `origin` ask, and read what they are answered."""
    found = {
        "access-control-allow-origin": origin,
        "vary": "origin",
        "access-control-expose-headers": "retry-after",
        "cross-origin-resource-policy": "cross-origin",
    }
    if scope["method"] == "OPTIONS":
        wanted = [name.strip() for value in _values(scope, b"access-control-request-headers") for name in value.split(",")]
        found["access-control-allow-headers"] = ", ".join(name for name in wanted if _HEADER.fullmatch(name))
        found["access-control-allow-methods"] = "GET, POST"
        found["access-control-max-age"] = "600"
    return found


def _with_headers(send: Send, more: dict[str, str] | None = None) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            for name, value in (more or {}).items():
                headers[name] = value
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers
