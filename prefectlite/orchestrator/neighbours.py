"""Processes that share one SQLite file hear of each other's commits at once, over local sockets; nobody polls.

Each has a datagram socket in a directory that belongs to the file and the user.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import socket
import tempfile
from pathlib import Path

import msgspec

from prefectlite.live.bus import Bus
from prefectlite.live.hints import Hint, Message, merged
from prefectlite.orchestrator.hearsay import GATHER, MOST_HINTS, Hearsay
from prefectlite.orchestrator.lifelines import Lifelines
from prefectlite.repository.database import Database

_LARGEST = 128 * 1024
_decoder = msgspec.msgpack.Decoder(Message)


class SocketNeighbours(Hearsay):
    """The other processes that use the database file `path`. On machines without local sockets there are none."""

    def __init__(self, path: Path, owner_id: str, database: Database, bus: Bus) -> None:
        self._directory = _directory_for(path)
        self._name = owner_id.replace("-", "")[-12:]
        super().__init__(database, bus)
        self._socket: socket.socket | None = None
        self._lifelines = Lifelines(self._lifeline_of(self._name), self.departed.set)
        self._known: dict[str, list[Hint]] = {}  # neighbour -> what it has not been told yet
        self._sending: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Listen, and greet those who are there."""
        if not hasattr(socket, "AF_UNIX"):
            return
        with contextlib.suppress(OSError):  # without a place for sockets there is no news, and everything else works
            binding = asyncio.get_running_loop().run_in_executor(None, self._bind)
            try:
                names = await asyncio.shield(binding)
            except asyncio.CancelledError:  # the thread goes on, and who closes this must find what it has opened
                await asyncio.wait([binding])
                raise
            assert self._socket is not None
            asyncio.get_running_loop().add_reader(self._socket.fileno(), self._receive)
            self._lifelines.open()
            for name in names:
                self._known[name] = []
                self._lifelines.throw(self._lifeline_of(name))
                self._send_to(name, Message(self._name, greeting=True))

    async def aclose(self) -> None:
        """Tell what is left to be told, and say good-bye."""
        if self._socket is None:
            return
        if self._sending is not None:
            self._sending.cancel()
        self._send()
        for name in list(self._known):
            self._send_to(name, Message(self._name, leaving=True))
        if self._sending is not None:
            self._sending.cancel()
        self._lifelines.close()
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()
        self._socket = None
        with contextlib.suppress(OSError):
            (self._directory / self._name).unlink(missing_ok=True)
            self._directory.rmdir()  # if nobody else is there

    @property
    def names(self) -> list[str]:
        """Who is there, as far as is known."""
        return list(self._known)

    def tell(self, hint: Hint) -> None:
        """Let the others know of a commit of this process, within 20 ms."""
        if not self._known:
            return
        for name, waiting in self._known.items():
            self._known[name] = merged(waiting, hint)[-MOST_HINTS:]
        if self._sending is None:
            self._sending = asyncio.get_running_loop().call_later(GATHER, self._send)

    # -- sockets ----------------------------------------------------------------------------------------------------------

    def _bind(self) -> list[str]:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._directory.stat().st_uid != os.getuid():
            raise PermissionError(f"{self._directory} belongs to somebody else")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            listener.bind(str(self._directory / self._name))
        except OSError:
            listener.close()
            raise
        listener.setblocking(False)
        self._socket = listener
        self._lifelines.bind()
        # After binding: of two that begin together at least one sees the other.
        return [path.name for path in self._directory.iterdir() if not path.suffix and path.name != self._name]

    def _send(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None
        for name, hints in list(self._known.items()):
            if hints and self._send_to(name, Message(self._name, hints)) and name in self._known:
                self._known[name] = []
        if any(self._known.values()):  # somebody is slow
            self._sending = asyncio.get_running_loop().call_later(GATHER, self._send)

    def _send_to(self, name: str, message: Message) -> bool:
        assert self._socket is not None
        try:
            self._socket.sendto(msgspec.msgpack.encode(message), str(self._directory / name))
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                self._forget(name)
            elif len(message.hints) > 1:
                half = len(message.hints) // 2
                sent = [
                    self._send_to(name, Message(self._name, part)) for part in (message.hints[:half], message.hints[half:])
                ]
                return all(sent)
        return True

    def _forget(self, name: str) -> None:
        self._known.pop(name, None)
        self.departed.set()
        with contextlib.suppress(OSError):  # its process is gone: so are its sockets
            (self._directory / name).unlink()
            self._lifeline_of(name).unlink()

    def _lifeline_of(self, name: str) -> Path:
        return self._directory / f"{name}.life"

    def _receive(self) -> None:
        while self._socket is not None:
            try:
                message = _decoder.decode(self._socket.recv(_LARGEST))
            except BlockingIOError:
                return
            except (OSError, msgspec.DecodeError):
                continue
            if message.leaving:
                self._known.pop(message.sender, None)
                self.departed.set()
                continue
            self._known.setdefault(message.sender, [])
            self.hear(message.hints)


def _directory_for(path: Path) -> Path:
    # Short, because the path of a socket may have no more than about a hundred characters.
    user = os.getuid() if hasattr(os, "getuid") else 0
    file = hashlib.sha256(bytes(path.resolve())).hexdigest()[:16]
    return Path(tempfile.gettempdir(), f"prefectlite-{user}", file)
