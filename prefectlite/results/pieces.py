"""Results that come and go in pieces: of executors on other machines, for which the record's own process keeps them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from prefectlite.errors import BadRequest

#: Bytes of a result that are in memory at a time.
PIECE = 256 * 1024
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def digest_of(encoding: str, data: bytes) -> bytes:
    """What the file of a result is named after."""
    content = hashlib.sha256(f"{encoding}\n".encode())
    content.update(data)
    return content.digest()


class Incoming:
    """A file that a result is written to as it comes. What is left unfinished is removed, by who calls `abandon`."""

    def __init__(self, path: Path, head: bytes, encoding: str, digest: bytes) -> None:
        self.path, self._digest = path, digest
        self._content = hashlib.sha256(f"{encoding}\n".encode())
        self._file = open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINKS, 0o600), "wb", 0)  # noqa: PTH123, SIM115
        self._using = threading.Lock()  # who awaits a thread that writes may be cancelled before it has
        self._write(head)

    async def fill(self, pieces: AsyncIterator[bytes]) -> None:
        """Write them all, to the disk. Raises BadRequest if they are not what the digest says, OSError, what they raise."""
        try:
            waiting = bytearray()
            async for piece in pieces:
                waiting += piece
                if len(waiting) >= PIECE:
                    await asyncio.to_thread(self._add, bytes(waiting))
                    waiting.clear()
            await asyncio.to_thread(self._finish, bytes(waiting))
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Remove it."""
        with self._using:
            self._file.close()
            self.path.unlink(missing_ok=True)

    def _add(self, piece: bytes) -> None:
        with self._using:
            self._content.update(piece)
            self._write(piece)

    def _finish(self, piece: bytes) -> None:
        self._add(piece)
        with self._using:
            if self._content.digest() != self._digest:
                raise BadRequest("This result is not what its digest says: it has been altered or cut short on its way")
            os.fsync(self._file.fileno())
            self._file.close()

    def _write(self, piece: bytes) -> None:
        rest = memoryview(piece)
        while rest:
            rest = rest[self._file.write(rest) :]


class Outgoing:
    """A result that is read as it goes: `size` bytes. Whoever receives it knows from its digest whether it is whole."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self.size = file, size

    async def pieces(self) -> AsyncIterator[bytes]:
        """All of it, once."""
        try:
            while piece := await asyncio.to_thread(self._file.read, PIECE):
                yield piece
        finally:
            self._file.close()
