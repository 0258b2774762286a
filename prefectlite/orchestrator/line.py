"""A line to another process of this machine: questions that are answered, and things that are told, over a stream."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from prefectlite.error_codes import error_named
from prefectlite.errors import PrefectliteError, StoreUnavailable
from prefectlite.orchestrator.answers import Answers
from prefectlite.orchestrator.calls import Call

Q = TypeVar("Q")
A = TypeVar("A")
_ANSWER, _ERROR = "=", "!"
_SIZE = 8  # bytes that say how long a message is


class _Message(msgspec.Struct, frozen=True, array_like=True):
    """`number` is that of the question, 0 for what is told; `kind` is the name of the call or of what is told."""

    number: int
    kind: str
    body: bytes


class Line:
    """One end. `told(kind, body)` takes what the other side tells; questions are answered by `answers`."""

    def __init__(self, answers: Answers | None, told: Callable[[str, bytes], None]) -> None:
        self._answers, self._told = answers, told
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[_Message]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self.opened = asyncio.Event()  # from then on something can be said
        self._answering: set[asyncio.Task[None]] = set()

    async def run(self, connection: socket.socket) -> None:
        """Serve the line until the other side ends it, or this is cancelled."""
        reader, self._writer = await asyncio.open_connection(sock=connection)
        self.opened.set()
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    size = int.from_bytes(await reader.readexactly(_SIZE))
                    self._take(msgspec.msgpack.decode(await reader.readexactly(size), type=_Message))
        finally:
            self._writer.close()
            for answering in self._answering:
                answering.cancel()
            for future in self._asked.values():
                if not future.done():
                    future.set_exception(StoreUnavailable("the process that has the record is gone"))

    async def ask(self, call: Call[Q, A], question: Q) -> A:
        """The answer of the other side. Raises the error it raised, StoreUnavailable if it is gone."""
        number = next(self._numbers)
        future = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            self._send(_Message(number, call.name, msgspec.msgpack.encode(question)))
            message = await future
        finally:
            del self._asked[number]
        if message.kind == _ERROR:
            raise error_named(*msgspec.msgpack.decode(message.body, type=tuple[str, str]))
        answer: A = msgspec.msgpack.decode(message.body, type=call.answer)
        return answer

    def tell(self, kind: str, value: Any) -> None:
        """Say something that needs no answer."""
        self._send(_Message(0, kind, msgspec.msgpack.encode(value)))

    def _take(self, message: _Message) -> None:
        if message.kind in (_ANSWER, _ERROR):
            future = self._asked.get(message.number)
            if future is not None and not future.done():
                future.set_result(message)
        elif message.number:
            task = asyncio.create_task(self._answer(message))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        else:
            self._told(message.kind, message.body)

    async def _answer(self, message: _Message) -> None:
        assert self._answers is not None
        try:
            call = self._answers.call_named(message.kind)
            answer = await self._answers.answer(call, msgspec.msgpack.decode(message.body, type=call.question))
        except PrefectliteError as error:
            self._send(_Message(message.number, _ERROR, msgspec.msgpack.encode((error.code, str(error)))))
        else:
            self._send(_Message(message.number, _ANSWER, msgspec.msgpack.encode(answer)))

    def _send(self, message: _Message) -> None:
        if self._writer is None or self._writer.is_closing():
            raise StoreUnavailable("the process that has the record is gone")
        content = msgspec.msgpack.encode(message)
        self._writer.write(len(content).to_bytes(_SIZE) + content)
