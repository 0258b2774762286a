"""News from a running server: the states of flow runs, over a WebSocket (graphql-transport-ws)."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from prefectlite.clock import to_micros
from prefectlite.lazily import lazily
from prefectlite.live.bus import Bus
from prefectlite.live.events import StateChange
from prefectlite.records import StateRecord

if TYPE_CHECKING:
    import websockets.asyncio.client as websocket_client
    import websockets.exceptions as websocket_exceptions
else:
    websocket_client = lazily("websockets.asyncio.client")
    websocket_exceptions = lazily("websockets.exceptions")

#: Seconds until it is tried again to reach a server, longer each time.
DELAYS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
_ALL = "all"
_CHANGES = """
subscription ($run: uuid) { state_changes(flow_run_id: $run) {
    seq kind flow_run_id task_run_id task_id map_index version state message timestamp lagged
} }
"""
_logger = logging.getLogger("prefectlite.agent")


class _Change(msgspec.Struct, frozen=True):
    seq: int
    kind: str
    flow_run_id: str
    task_run_id: str | None
    task_id: str | None
    map_index: int | None
    version: int
    state: str
    message: str | None
    timestamp: datetime
    lagged: bool

    def event(self) -> StateChange:
        state = StateRecord("", self.state, to_micros(self.timestamp), self.message)
        where = (self.flow_run_id, self.task_run_id, self.task_id, self.map_index)
        return StateChange(self.seq, self.kind, *where, self.version, state)


class ServerNews:
    """Hands the states of all flow runs at the server to `bus`, and those of the task runs of the runs that are followed.

    What happens while there is no connection is not told afterwards: `missed` is awaited whenever something may have been.
    """

    def __init__(self, url: str, bus: Bus, payload: dict[str, Any] | None = None) -> None:
        """`payload` goes with `connection_init`, to say who asks."""
        self._url = "ws" + url.removeprefix("http").rstrip("/") + "/graphql"
        self._bus, self._payload = bus, payload or {}
        self._followed: dict[str, int] = {}  # flow run -> how many follow it
        self._connection: websocket_client.ClientConnection | None = None
        self._out: asyncio.Queue[bytes] = asyncio.Queue()
        self.missed: Callable[[], Awaitable[None]] | None = None

    @contextmanager
    def following(self, flow_run_id: str) -> Iterator[None]:
        """In this block, the bus has the states of this run's task runs."""
        self._followed[flow_run_id] = self._followed.get(flow_run_id, 0) + 1
        if self._followed[flow_run_id] == 1:
            self._say(_subscribe(flow_run_id))
        try:
            yield
        finally:
            self._followed[flow_run_id] -= 1
            if not self._followed[flow_run_id]:
                del self._followed[flow_run_id]
                self._say({"type": "complete", "id": flow_run_id})

    async def run(self) -> None:
        """Listen, until cancelled; a connection that is lost is made again."""
        for delay in itertools.chain(DELAYS, itertools.repeat(DELAYS[-1])):
            try:
                await self._listen()
            except (OSError, websocket_exceptions.WebSocketException, msgspec.MsgspecError) as error:
                _logger.warning("no news from %s (%s): it is asked again in %s s", self._url, error, delay)
            await asyncio.sleep(delay)

    async def _listen(self) -> None:
        protocol: Any = "graphql-transport-ws"
        async with websocket_client.connect(self._url, subprotocols=[protocol], max_size=None) as connection:
            self._out = asyncio.Queue()
            self._say({"type": "connection_init", "payload": self._payload})
            async with asyncio.TaskGroup() as group:
                speaking = group.create_task(self._speak(connection))
                async for text in connection:
                    await self._hear(msgspec.json.decode(text))
                speaking.cancel()

    async def _speak(self, connection: websocket_client.ClientConnection) -> None:
        while True:
            await connection.send(await self._out.get(), text=True)

    async def _hear(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == "connection_ack":
            for name in (_ALL, *self._followed):
                self._say(_subscribe(name))
            await self._tell_missed()
        elif kind == "next" and (data := message["payload"].get("data")):
            change = msgspec.convert(data["state_changes"], _Change)
            if change.lagged:
                await self._tell_missed()
            self._bus.publish([change.event()])
        elif kind == "ping":
            self._say({"type": "pong"})
        elif kind == "error":
            _logger.warning("no news from %s: %s", self._url, message.get("payload"))

    async def _tell_missed(self) -> None:
        if self.missed is not None:
            await self.missed()

    def _say(self, message: dict[str, Any]) -> None:
        self._out.put_nowait(msgspec.json.encode(message))


def _subscribe(name: str) -> dict[str, Any]:
    variables = {} if name == _ALL else {"run": name}
    return {"type": "subscribe", "id": name, "payload": {"query": _CHANGES, "variables": variables}}
