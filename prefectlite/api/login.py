"""`/api/session`: how a browser exchanges a token for a cookie that no script can read, and ends that again."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from prefectlite.api.caller import caller_of
from prefectlite.api.gate import GATE, Gate, Refused, cookie_of, forget_cookie, give_cookie
from prefectlite.api.requests import failure
from prefectlite.client.tokens import LOGIN, Identity
from prefectlite.errors import BadRequest, Forbidden
from prefectlite.roles import VIEWERS

_LONGEST = 4_096
_NO_STORE = {"cache-control": "no-store"}


class _Shown(msgspec.Struct):
    token: str | None = None
    link: str | None = None


async def who(request: Request) -> Response:
    """GET: the name and the role of who asks, and whether there is anything to log in to."""
    caller = caller_of(request)
    return JSONResponse({"name": caller.actor, "role": caller.role, "auth": caller.is_known}, headers=_NO_STORE)


async def log_in(request: Request) -> Response:
    """POST {"token": …}: a cookie, if the token is good; {"link": …}: if it is the key of a link that nobody has used."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return _failed("Send the token as application/json", 415)
    try:
        shown = msgspec.json.decode(await _body(request), type=_Shown)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        shown = _Shown()
    except ClientDisconnect:
        return Response(status_code=400)
    if shown.token is None and shown.link is None:
        return _failed('Send {"token": "…"}', 400)
    try:
        identity, key = await _made(request, shown)
    except Refused as refused:
        return refused.response()
    content: dict[str, Any] = {"name": identity.actor, "role": identity.role, "auth": True}
    response = JSONResponse(content, headers=_NO_STORE)
    give_cookie(response, request.scope, key, int(LOGIN.total_seconds()))
    return response


async def _made(request: Request, shown: _Shown) -> tuple[Identity, str]:
    gate: Gate = request.scope[GATE]
    if shown.link is not None:
        made = await gate.tokens.login_by_link(shown.link.encode(errors="replace"))
        if made is None:
            raise Refused("This link was used before, or is too old: log in with a token")
        return made
    token = (shown.token or "").strip().encode(errors="replace")
    if (await gate.holder(token, request.scope)).role not in VIEWERS:
        raise Refused("This is an agent's token: the pages are for viewers, operators and admins", 403, Forbidden.code)
    made = await gate.tokens.login(token)
    if made is None:  # it was revoked in this very moment
        raise Refused("This token is not known, has expired or was revoked")
    return made


async def log_out(request: Request) -> Response:
    """DELETE: the login is of no use any more."""
    key, gate = cookie_of(request.scope), request.scope[GATE]
    if key is not None and "x-prefectlite" not in request.headers:
        return _failed("The header x-prefectlite is missing", 403)
    if key is not None:
        await gate.tokens.log_out(key)
    response = Response(status_code=204, headers=_NO_STORE)
    forget_cookie(response, request.scope)
    return response


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST:
            return b""
    return body


def _failed(message: str, status: int) -> Response:
    answer = failure(message, BadRequest.code, status)
    return Response(answer.body, answer.status, _NO_STORE, "application/json")
