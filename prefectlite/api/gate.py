"""Who may come in, where tokens are asked for: every HTTP request and WebSocket but those for routes that are open.

A token is in the header `Authorization: Bearer …`; on a WebSocket it may come in the first message instead. A browser that
has logged in shows a cookie, which counts only together with the header `x-prefectlite` (on a WebSocket: `Origin`), so that
no page of another site can make use of it.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from http.cookies import CookieError, SimpleCookie

from starlette.responses import Response
from starlette.routing import BaseRoute, Match, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from prefectlite.api.caller import IDENTITY
from prefectlite.api.guard import FOREIGN_ORIGIN
from prefectlite.api.requests import failure
from prefectlite.client.tokens import Identity, Tokens
from prefectlite.errors import Forbidden, StoreError

#: Where the gate leaves itself, in the scope of a WebSocket that has shown nothing so far.
GATE = "prefectlite.gate"
UNAUTHENTICATED = "UNAUTHENTICATED"  # the code for which Prefect's clients raise AuthorizationError
FAILURES, WITHIN = 10, 60.0
#: Addresses whose failures are remembered.
_ADDRESSES = 10_000
_BEARER = re.compile(rb"bearer +(\S+)", re.IGNORECASE)
_PATH = re.compile(r"/[\w.~%/-]{0,1000}", re.ASCII)
_PORT = re.compile(rb":(\d+)\s*")


class Refused(Exception):
    """What was shown is not good; the message is for who showed it."""

    def __init__(self, message: str, status: int = 401, code: str = UNAUTHENTICATED, *, is_of_login: bool = False) -> None:
        super().__init__(message)
        self.message, self.status, self.code, self.is_of_login = message, status, code, is_of_login

    def response(self) -> Response:
        """The HTTP answer."""
        answer = failure(self.message, self.code, self.status)
        headers = {401: {"www-authenticate": "Bearer"}, 429: {"retry-after": str(int(WITHIN))}}.get(self.status, {})
        headers |= {"cache-control": "no-store"}
        return Response(answer.body, answer.status, headers, "application/json")


class _Failures:
    """How often each address has shown what is not good, within the last minute."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._times: OrderedDict[str, deque[tuple[float, int]]] = OrderedDict()

    def are_too_many(self, address: str) -> bool:
        times = self._times.get(address)
        while times and self._monotonic() - times[0][0] >= WITHIN:
            times.popleft()
        return times is not None and len(times) >= FAILURES

    def add(self, address: str, shown: bytes) -> None:
        times = self._times.setdefault(address, deque(maxlen=FAILURES))
        if any(hash(shown) == before for _, before in times):  # pages whose login has ended show it a few times
            return
        times.append((self._monotonic(), hash(shown)))
        self._times.move_to_end(address)
        if len(self._times) > _ADDRESSES:
            self._times.popitem(last=False)


class Gate:
    """ASGI middleware: lets nobody to a route that is not `open` unless they show a token, and says whose it is."""

    def __init__(
        self,
        app: ASGIApp,
        tokens: Tokens,
        monotonic: Callable[[], float],
        routes: Sequence[BaseRoute],
        open_routes: Sequence[BaseRoute],
    ) -> None:
        self._app, self.tokens = app, tokens
        self._failures = _Failures(monotonic)
        self._routes, self._open = routes, frozenset(map(id, open_routes))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        route = self._route(scope)
        scope[GATE] = self
        if id(route) not in self._open:
            try:
                identity = await self._identity(scope)
                if identity is None and not isinstance(route, WebSocketRoute):  # a WebSocket may show it later
                    raise Refused("A token is needed: send the header `Authorization: Bearer …`")
            except Refused as refused:
                await self._refuse(refused, scope, receive, send)
                return
            if identity is not None:
                scope[IDENTITY] = identity
        await self._app(scope, receive, send)

    def _route(self, scope: Scope) -> BaseRoute | None:
        """The very route that will answer: what is open is not decided by what a path looks like."""
        return next((route for route in self._routes if route.matches(scope)[0] is Match.FULL), None)

    async def _identity(self, scope: Scope) -> Identity | None:
        shown = [value for name, value in scope["headers"] if name == b"authorization"]
        if shown:
            match = _BEARER.fullmatch(shown[0].strip())
            if match is None or len(shown) > 1:
                raise Refused("One header `Authorization: Bearer …` is understood, and nothing else")
            return await self.holder(match[1], scope)
        key = cookie_of(scope)
        if key is None or not _is_from_own_page(scope):
            return None
        return await self.holder(key, scope, is_login=True)

    async def holder(self, shown: bytes, scope: Scope, *, is_login: bool = False) -> Identity:
        """Whose token, or login, this is. Raises Refused."""
        known = self.tokens.identity_of_login if is_login else self.tokens.identity
        address = scope["client"][0] if scope.get("client") else ""
        try:
            if self._failures.are_too_many(address) and not self.tokens.is_remembered(shown):
                raise Refused("Too many wrong tokens came from this address: wait a minute", 429, "TOO_MANY_FAILURES")
            found = await known(shown)
        except Forbidden as error:
            raise Refused(str(error), 403, Forbidden.code) from None
        except StoreError:
            raise Refused("The database cannot be used at the moment", 503, "API_ERROR") from None
        if found is None:
            self._failures.add(address, shown)
            what = "login has ended: log in again" if is_login else "token is not known, has expired or was revoked"
            raise Refused(f"This {what}", is_of_login=is_login)
        return found

    async def _refuse(self, refused: Refused, scope: Scope, receive: Receive, send: Send) -> None:
        response = refused.response()
        if scope["type"] == "http":
            is_prefect = any(name == b"x-prefect-core-version" for name, _ in scope["headers"])
            if is_prefect and refused.status == 401 and scope["method"] == "POST":
                response.status_code = 200  # its clients look for the code in an answer, and call 401 a failure of HTTP
            if refused.is_of_login:
                forget_cookie(response, scope)  # each time it were shown it would count as another failure
            await response(scope, receive, send)
        elif "websocket.http.response" in scope.get("extensions", {}):
            headers = response.raw_headers
            await send({"type": "websocket.http.response.start", "status": refused.status, "headers": headers})
            await send({"type": "websocket.http.response.body", "body": response.body})
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": refused.message})


def cookie_of(scope: Scope) -> bytes | None:
    """The key of a login, if the browser shows one."""
    for name, value in scope["headers"]:
        if name == b"cookie":
            try:
                found = SimpleCookie(value.decode("latin-1")).get(_cookie_name(scope))
            except CookieError:
                continue
            if found is not None:
                return found.value.encode("latin-1", "replace")
    return None


def give_cookie(response: Response, scope: Scope, key: str, seconds: int) -> None:
    """Let the browser show `key` from now on: to the API only, to no script, and to no page of another site."""
    prefix = _prefix(scope)
    for path in ("graphql", "api/session"):
        response.set_cookie(
            _cookie_name(scope),
            key,
            max_age=seconds,
            path=f"{prefix}/{path}",
            secure=scope.get("scheme") in ("https", "wss"),
            httponly=True,
            samesite="strict",
        )


def forget_cookie(response: Response, scope: Scope) -> None:
    """Let the browser show no key any more."""
    give_cookie(response, scope, "", 0)


def _cookie_name(scope: Scope) -> str:
    """With the port, because browsers give the cookies of one port to all others of a machine."""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    port = _PORT.search(host)
    return "prefectlite-session" + (f"-{port[1].decode()}" if port else "")


def _prefix(scope: Scope) -> str:
    """Where the API is for the browser: its page knows it, also behind a proxy that takes away a prefix."""
    shown = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"x-prefectlite"), "")
    return shown.rstrip("/") if _PATH.fullmatch(shown) else str(scope.get("root_path", ""))


def _is_from_own_page(scope: Scope) -> bool:
    if scope.get(FOREIGN_ORIGIN):  # let in by `allowed_origins`, with a token of its own
        return False
    wanted = b"origin" if scope["type"] == "websocket" else b"x-prefectlite"
    return any(name == wanted for name, _ in scope["headers"])
