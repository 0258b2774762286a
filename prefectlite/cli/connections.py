"""HTTP connections that cannot be held open by doing nothing, and WebSockets that write many messages at once.

They are uvicorn's own, with the deadlines that it has not, and without the way that it goes for each single message.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from prefectlite.api.websocket import OUTLET

#: Seconds within which the whole head of a request has to come, from the connection's or its first byte's on.
HEAD_SECONDS = 8.0
#: A body has to come with so many bytes in each such time.
BODY_SECONDS, BODY_BYTES = 5.0, 5 * 1024
#: Of all connections no other machine has more than this.
PER_ADDRESS = 256
_LOOPBACK = ("127.0.0.1", "::1")
_NO_HANDSHAKE = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Connection(H11Protocol):
    """One connection. Who is too slow, or has too many, is cut off."""

    _open: Counter[str] = Counter()  # of all servers in the process: connections by address

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._deadline: asyncio.TimerHandle | None = None
        self._in_body = self._is_websocket = False
        self._received = 0
        self._address: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if address not in _LOOPBACK:
            self._address = address
            self._open[address] += 1
            if self._open[address] > PER_ADDRESS:
                transport.abort()
                return
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._is_websocket = True  # from here on, with limits of its own
        self._leave()
        super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        """Say that what was sent is no HTTP; what was answering it has nobody to answer any more."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:  # a part of the answer is on its way
            self._cut()

    def _watch(self) -> None:
        state = self.conn.their_state
        if self.transport.is_closing() or self._is_websocket:
            self._stop()
        elif state is h11.SEND_BODY:
            if not self._in_body:
                self._stop()
                self._in_body, self._received = True, 0
                self._deadline = self.loop.call_later(BODY_SECONDS, self._look_at_body)
        elif state is h11.IDLE and self.conn.trailing_data[0]:
            if self._deadline is None or self._in_body:
                self._wait_for_head()
        else:
            self._stop()

    def _wait_for_head(self) -> None:
        self._stop()
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._cut)

    def _look_at_body(self) -> None:
        if self._received < BODY_BYTES and not self.flow.read_paused:  # paused: it is we who are slow
            self._cut()
            return
        self._received = 0
        self._deadline = self.loop.call_later(BODY_SECONDS, self._look_at_body)

    def _cut(self) -> None:
        self._stop()
        self.transport.abort()  # without waiting until what is left could be sent: nobody may read it

    def _stop(self) -> None:
        self._in_body = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _leave(self) -> None:
        self._stop()
        if self._address is not None:
            self._open[self._address] -= 1
            if not self._open[self._address]:
                del self._open[self._address]
            self._address = None


class Socket(WebSocketsSansIOProtocol):
    """One WebSocket; news goes out in batches through it, as the outlet in its scope."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # A handshake that cannot be read: uvicorn would wait for more for ever, and stumble over it when it shuts down.
        if self.conn.handshake_exc is not None and not self.handshake_initiated and not self.close_sent:
            self.handshake_complete = self.close_sent = True
            self.transport.write(_NO_HANDSHAKE)
            self.transport.close()

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            # A refusal is an answer: without this, each would be an error in the server's log.
            self.handshake_complete = True

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope") and not self.config.ws_per_message_deflate:
            cast(dict[str, Any], self.scope)[OUTLET] = self

    async def ready(self) -> None:
        """Return when there is room. Raises OSError when the connection is gone."""
        await self.writable.wait()
        if self.disconnected or self.close_sent:
            raise ClientDisconnected

    def write(self, messages: Sequence[bytes]) -> None:
        """Send text messages, in UTF-8."""
        self.transport.write(b"".join([part for message in messages for part in (_head(len(message)), message)]))


def _head(size: int) -> bytes:
    """What a whole text message of `size` bytes begins with on its way from a server (RFC 6455, 5.2)."""
    if size < 126:
        return bytes((0x81, size))
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2)
    return b"\x81\x7f" + size.to_bytes(8)
