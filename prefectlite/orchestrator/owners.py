"""Who executes runs: a process holds a lock on its owner file for its life; whoever can take that lock knows it is gone.

Process ids would lie: they are used again, and differ between containers that share a file.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from prefectlite.ids import new_id
from prefectlite.repository.locks import FileLock


class FileOwner:
    """This process as an executor of the runs in one database; `directory` is None for a database that nobody shares."""

    def __init__(self, directory: Path | None) -> None:
        self.id = new_id()
        self._directory = directory
        self._lock: FileLock | None = None
        if directory is not None:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = FileLock(directory / self.id)
            self._lock.try_acquire()

    async def is_gone(self, owner: str) -> bool:
        """Whether the process with the owner id `owner` has ended. Its file is removed then."""
        if owner == self.id or self._directory is None:
            return False
        return await asyncio.to_thread(_is_free, self._directory / owner)

    def close(self) -> None:
        """Be gone, as others see it."""
        if self._lock is not None:
            self._lock.path.unlink(missing_ok=True)
            self._lock.close()
            self._lock = None


def _is_free(path: Path) -> bool:
    if not path.exists():
        return True
    lock = FileLock(path)
    try:
        if not lock.try_acquire():
            return False
        path.unlink(missing_ok=True)
        return True
    finally:
        lock.close()
