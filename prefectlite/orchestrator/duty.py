"""Who keeps the services of a database that several processes share: one of them, and the next when that is gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path

import msgspec

from prefectlite.disk import beside
from prefectlite.orchestrator.protocols import Neighbours
from prefectlite.repository.locks import FileLock

#: Seconds after which it is tried again, should nobody have said that the one who had it is gone.
LOOK_AGAIN = 10.0
#: Seconds between the end of a process, as its neighbours hear of it, and that of its locks.
LETTING_GO = 0.1


class Keeper(msgspec.Struct, frozen=True):
    """The process that keeps them, and the address at which it serves, if it is a server."""

    pid: int
    address: str | None = None


class Duty:
    """The services of the database in the file `path`. None where nobody, or machines, share it: all keep their own then."""

    def __init__(self, path: Path | None, neighbours: Neighbours | None) -> None:
        self._path = None if path is None else beside(path, ".services")
        self._neighbours = neighbours
        self._lock: FileLock | None = None

    @property
    def is_exclusive(self) -> bool:
        """Whether one process at a time can have them."""
        return self._path is not None

    def take(self, address: str | None = None) -> Keeper | None:
        """Keep them from now on, unless somebody else does, who is returned. Blocks for a moment."""
        if self._path is None or self._lock is not None:
            return None
        lock = FileLock(self._path)
        if not lock.try_acquire():
            lock.close()
            return _read(self._path)
        self._lock = lock
        lock.write(msgspec.json.encode(Keeper(os.getpid(), address)))
        return None

    async def taken(self, address: str | None = None) -> None:
        """Return when this process keeps them."""
        while await asyncio.to_thread(self.take, address) is not None:
            gone = self._neighbours.departed if self._neighbours is not None else asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN):
                    await gone.wait()
                await asyncio.sleep(LETTING_GO)
            gone.clear()

    def close(self) -> None:
        """Leave them to the next."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _read(path: Path) -> Keeper:
    for _ in range(20):
        with contextlib.suppress(OSError, msgspec.DecodeError):  # it has taken it this very moment
            return msgspec.json.decode(path.read_bytes(), type=Keeper)
        time.sleep(0.01)
    return Keeper(0)
