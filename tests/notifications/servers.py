"""Servers that messages are delivered to: HTTP and SMTP, on real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

Streams = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Streams) -> AsyncIterator[int]:
    """The port at which `serve` talks to whoever connects."""
    tasks: set[asyncio.Task[Any]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


class Receiver:
    """Takes what is posted to it, and answers as the test wants it to."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.bodies: list[Any] = []
        self.status = 200
        self.headers = ""
        self.answer = b"ok"
        self.hangs = False
        self.at_once = self.most_at_once = 0
        self.port = 0
        self._arrived = asyncio.Condition()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/services/secret-path"

    @property
    def events(self) -> list[dict[str, Any]]:
        return [body["event"] for body in self.bodies]

    @property
    def states(self) -> list[str]:
        return [event["state"]["state"] for event in self.events]

    async def has(self, count: int) -> None:
        """Return when so many messages have come."""
        async with asyncio.timeout(20), self._arrived:
            await self._arrived.wait_for(lambda: len(self.bodies) >= count)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-length"))
        body = json.loads(await reader.readexactly(length))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        async with self._arrived:
            self.heads.append(head)
            self.bodies.append(body)
            self._arrived.notify_all()
        try:
            await self.may_answer.wait()
            if self.hangs:
                await reader.read()
            said = f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(self.answer)}\r\n{self.headers}\r\n"
            writer.write(said.encode() + self.answer)
            await writer.drain()
        finally:
            self.at_once -= 1

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Receiver]:
        async with listening(self) as self.port:
            yield self


class MailServer:
    """Speaks as much SMTP as it takes to be handed a letter."""

    def __init__(self) -> None:
        self.letters: list[str] = []
        self.recipients: list[str] = []
        self.refuses = False
        self.port = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := (await reader.readline()).decode().strip():
            word = line.split()[0].upper()
            if word == "DATA":
                writer.write(b"354 go on\r\n")
                self.letters.append((await reader.readuntil(b"\r\n.\r\n")).decode())
                writer.write(b"250 taken\r\n")
            elif word == "QUIT":
                writer.write(b"221 bye\r\n")
                await writer.drain()
                return
            elif word == "RCPT" and self.refuses:
                writer.write(b"550 unknown\r\n")
            else:
                if word == "RCPT":
                    self.recipients.append(line.partition(":")[2])
                writer.write(b"250 fine\r\n")

    @asynccontextmanager
    async def open(self) -> AsyncIterator[MailServer]:
        async with listening(self) as self.port:
            yield self
