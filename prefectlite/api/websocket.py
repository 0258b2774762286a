"""GraphQL over WebSocket: the protocol `graphql-transport-ws`, and no other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing, suppress
from typing import Any, Protocol

import anyio
import msgspec
from anyio.abc import TaskGroup
from starlette.websockets import WebSocket, WebSocketDisconnect

from prefectlite.api.caller import IDENTITY, caller_of
from prefectlite.api.gate import GATE, Gate, Refused
from prefectlite.api.gateway import Gateway
from prefectlite.api.requests import Answer, Request, failure, request_of
from prefectlite.api.seats import Seat, Seats
from prefectlite.api.turns import Turns
from prefectlite.client.tokens import Identity
from prefectlite.errors import BadRequest

PROTOCOL = "graphql-transport-ws"
INIT_TIMEOUT = 5.0
MAX_OPERATIONS = 20
MAX_MESSAGE = 1_000_000
MAX_ID = 200
#: Where a server puts, into the scope, that it can write several messages at once.
OUTLET = "prefectlite.outlet"
_AT_ONCE = 50


class Outlet(Protocol):
    """The connection as a server of ours sees it, which saves most of the way of each single message."""

    async def ready(self) -> None:
        """Return when there is room. Raises OSError when the connection is gone."""
        ...

    def write(self, messages: Sequence[bytes]) -> None:
        """Send text messages, in UTF-8."""
        ...


class _Violation(Exception):
    """The other side broke the protocol: the connection is closed with this code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class WebSocketEndpoint:
    """Accepts connections, up to a limit, and serves each until it ends."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._turns = Turns()
        self._seats = Seats()

    async def serve(self, websocket: WebSocket) -> None:
        """One connection, from its handshake to its end; its operations end with it."""
        seat = self._seats.seat(websocket)
        if seat is None:
            await websocket.close(1013, "Too many connections")
            return
        try:
            if PROTOCOL not in websocket.scope.get("subprotocols", ()):
                await websocket.accept()
                await websocket.close(4406, f"Subprotocol not acceptable: {PROTOCOL} is")
                return
            await websocket.accept(PROTOCOL)
            async with anyio.create_task_group() as group:
                await _Connection(websocket, self._gateway, self._turns, group, seat).run()
                group.cancel_scope.cancel()
        except WebSocketDisconnect:
            pass
        finally:
            seat.leave()


class _Connection:
    def __init__(self, websocket: WebSocket, gateway: Gateway, turns: Turns, group: TaskGroup, seat: Seat) -> None:
        self._websocket = websocket
        self._outlet: Outlet | None = websocket.scope.get(OUTLET)
        self._gateway, self._turns = gateway, turns
        self._group, self._seat = group, seat
        self._operations: dict[str, anyio.CancelScope] = {}
        self._sending = anyio.Lock()  # also gives the loop a turn between two messages of a fast subscription
        self._initialised = False
        self._over = False
        self._identity: Identity | None = websocket.scope.get(IDENTITY)

    async def run(self) -> None:
        """Serve until the other side leaves or breaks the protocol."""
        try:
            with anyio.move_on_after(INIT_TIMEOUT):
                while not self._initialised:
                    await self._handle(await self._receive())
            if not self._initialised:
                raise _Violation(4408, "Connection initialisation timeout")
            while True:
                await self._handle(await self._receive())
        except WebSocketDisconnect:
            self._over = True
        except _Violation as violation:
            await self._close(violation)

    async def _receive(self) -> dict[str, Any]:
        received = await self._websocket.receive()
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(received.get("code", 1005))
        text = received.get("text")
        if text is None:
            raise _Violation(4400, "Messages are text")
        if len(text) > MAX_MESSAGE:
            raise _Violation(1009, f"A message has at most {MAX_MESSAGE:,} characters")
        try:
            message = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            raise _Violation(4400, "Invalid message: not JSON") from None
        if not isinstance(message, dict):
            raise _Violation(4400, "Invalid message: not an object")
        return message

    async def _handle(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == "connection_init":
            if self._initialised:
                raise _Violation(4429, "Too many initialisation requests")
            await self._admit(message.get("payload"))
            self._initialised = True
            await self._send({"type": "connection_ack"})
        elif kind == "ping":
            payload = message.get("payload")
            await self._send({"type": "pong"} if payload is None else {"type": "pong", "payload": payload})
        elif kind == "subscribe":
            self._subscribe(message)
        elif kind == "complete":
            if scope := self._operations.pop(_id(message), None):
                scope.cancel()
        elif kind != "pong":
            raise _Violation(4400, "Invalid message: unknown type")

    async def _admit(self, payload: Any) -> None:
        """Whether the other side has shown a token, in the headers or here, where tokens are asked for."""
        gate: Gate | None = self._websocket.scope.get(GATE)
        if gate is None:
            return
        shown = token_in(payload)
        try:
            if shown is not None:
                self._identity = await gate.holder(shown, self._websocket.scope)
        except Refused as refused:
            raise _Violation(4403, refused.message) from None
        if self._identity is None:
            raise _Violation(4403, "Forbidden: a token is needed in the payload of connection_init")
        if not self._seat.belongs_to(self._identity):
            raise _Violation(1013, "Too many connections with this token")
        self._group.start_soon(self._leave_after, gate, self._identity)

    async def _leave_after(self, gate: Gate, identity: Identity) -> None:
        await gate.tokens.end_of(identity)
        await self._close(_Violation(4403, "Forbidden: the token was revoked or has expired"))

    def _subscribe(self, message: dict[str, Any]) -> None:
        if not self._initialised:
            raise _Violation(4401, "Unauthorized")
        operation_id = _id(message)
        if operation_id in self._operations:
            raise _Violation(4409, f"Subscriber for {operation_id[:80]} already exists")
        if len(self._operations) >= MAX_OPERATIONS:
            raise _Violation(4429, f"Too many operations: at most {MAX_OPERATIONS} at a time")
        scope = self._operations[operation_id] = anyio.CancelScope()
        self._group.start_soon(self._operate, operation_id, message.get("payload"), scope)

    async def _operate(self, operation_id: str, payload: Any, scope: anyio.CancelScope) -> None:
        with scope:
            try:
                answer = await self._run(operation_id, request_of(payload))
            except BadRequest as error:
                answer = failure(str(error), error.code, 400)
            except WebSocketDisconnect:
                return
            if self._operations.get(operation_id) is scope:  # not after the caller has said that it is complete
                del self._operations[operation_id]
                await self._end(operation_id, answer)

    async def _run(self, operation_id: str, request: Request) -> Answer | None:
        execution = await self._gateway.execution()
        caller = caller_of(self._websocket, self._identity)
        turns = self._turns.ahead() if caller.goes_first else self._turns
        found = await execution.subscribe(request, execution.budget(), caller, turns)
        if isinstance(found, Answer):
            return found
        async with aclosing(found):
            async for bodies in found:
                await self._next(operation_id, bodies)
        return None

    async def _end(self, operation_id: str, answer: Answer | None) -> None:
        try:
            if answer is not None and answer.status != 200:
                errors = msgspec.json.decode(answer.body)["errors"]
                await self._send({"id": operation_id, "type": "error", "payload": errors})
                return
            if answer is not None:
                await self._next(operation_id, [answer.body])
            await self._send({"id": operation_id, "type": "complete"})
        except WebSocketDisconnect:
            return

    async def _next(self, operation_id: str, bodies: list[bytes]) -> None:
        before = b'{"id":' + msgspec.json.encode(operation_id) + b',"type":"next","payload":'
        texts = [b"%b%b}" % (before, body) for body in bodies]
        async with self._sending:
            if self._outlet is not None:
                try:
                    await self._outlet.ready()
                except OSError:
                    raise WebSocketDisconnect from None
                self._check_open()
                begun = time.perf_counter()
                self._outlet.write(texts)
                self._turns.took(time.perf_counter() - begun, len(texts))
                return
            for number, text in enumerate(texts, 1):
                self._check_open()
                begun = time.perf_counter()
                await self._websocket.send_text(text.decode())
                self._turns.took(time.perf_counter() - begun, 1)
                if not number % _AT_ONCE:
                    await asyncio.sleep(0)

    def _check_open(self) -> None:
        if self._over:
            raise WebSocketDisconnect

    async def _send(self, message: dict[str, Any]) -> None:
        text = msgspec.json.encode(message).decode()
        async with self._sending:
            self._check_open()
            await self._websocket.send_text(text)

    async def _close(self, violation: _Violation) -> None:
        async with self._sending:
            self._over = True
            with suppress(WebSocketDisconnect, RuntimeError):  # the other side may have left at the same moment
                await self._websocket.close(violation.code, violation.reason[:100])


def token_in(payload: Any) -> bytes | None:
    """The token in the payload of `connection_init`: as `token` or `authorization`, with or without `Bearer` before it."""
    if not isinstance(payload, dict):
        return None
    for name in ("token", "authorization", "Authorization"):
        if isinstance(value := payload.get(name), str) and value.strip():
            scheme, _, rest = value.strip().partition(" ")
            return (rest.strip() if scheme.lower() == "bearer" else value.strip()).encode(errors="replace")
    return None


def _id(message: dict[str, Any]) -> str:
    operation_id = message.get("id")
    if isinstance(operation_id, str) and 0 < len(operation_id) <= MAX_ID:
        return operation_id
    raise _Violation(4400, "Invalid message: `id` is missing")
