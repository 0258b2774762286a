"""uvicorn, stopped by an event and not by signals: those are for the command that serves."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn


class WebServer(uvicorn.Server):
    """uvicorn without its signal handling, which would raise the signal again after shutting down."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening, self.stopping = asyncio.Event(), asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals as they are."""
        yield

    async def main_loop(self) -> None:
        """Serve until `stopping` is set."""
        await self.stopping.wait()  # uvicorn's own looks ten times a second whether it should stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; `listening` is set then."""
        await super().startup(sockets)
        self.listening.set()
