"""Connections between processes over which nothing is said: they break at once when one of the two is gone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path


class Lifelines:
    """Lifelines of this process, which others find at `path`. `broken` is called whenever one breaks. POSIX only."""

    def __init__(self, path: Path, broken: Callable[[], None]) -> None:
        self._path, self._broken = path, broken
        self._listener: socket.socket | None = None
        self._lines: set[socket.socket] = set()

    def bind(self) -> None:
        """Be found. Raises OSError; blocks."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(self._path))
            listener.listen(128)
        except OSError:
            listener.close()
            raise
        listener.setblocking(False)
        self._listener = listener

    def open(self) -> None:
        """Take up what others throw."""
        assert self._listener is not None
        asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    def throw(self, path: Path) -> None:
        """One to the process that is found at `path`; if nobody is, that is soon known by other means."""
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line.setblocking(False)
        try:
            line.connect(str(path))
        except OSError:
            line.close()
            return
        self._hold(line)

    def close(self) -> None:
        """Let go of all of them."""
        loop = asyncio.get_running_loop()
        for line in (*self._lines, *([self._listener] if self._listener is not None else [])):
            loop.remove_reader(line.fileno())
            line.close()
        self._lines.clear()
        self._listener = None
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        assert self._listener is not None
        with contextlib.suppress(OSError):
            line, _ = self._listener.accept()
            line.setblocking(False)
            self._hold(line)

    def _hold(self, line: socket.socket) -> None:
        self._lines.add(line)
        asyncio.get_running_loop().add_reader(line.fileno(), self._feel, line)

    def _feel(self, line: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            with contextlib.suppress(ConnectionError):
                if line.recv(1):
                    return
            asyncio.get_running_loop().remove_reader(line.fileno())
            self._lines.discard(line)
            line.close()
            self._broken()
