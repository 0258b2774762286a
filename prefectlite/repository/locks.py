"""Locks of the operating system on files: held until released or until the process is gone, however it went."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType
from weakref import WeakSet

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int, wait: bool) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)

    def _unlock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int, wait: bool) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _forget_in_child() -> None:
    """In a forked child: its copies of the descriptors would hold the locks of a parent that is gone."""
    for lock in list(_held_open):
        lock.close()


_held_open: WeakSet[FileLock] = WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)


class FileLock:
    """An exclusive lock on the file at `path`, which is made if need be. A context manager; blocks its thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        _held_open.add(self)

    def try_acquire(self) -> bool:
        """Whether the lock is ours now; returns at once."""
        try:
            _lock(self._descriptor, wait=False)
        except OSError:
            return False
        return True

    def __enter__(self) -> FileLock:
        _lock(self._descriptor, wait=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _unlock(self._descriptor)

    def write(self, content: bytes) -> None:
        """Have `content` in the file, for those who find it locked."""
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, content)

    def close(self) -> None:
        """Let go of the lock and the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
