"""Files with keys: readable by their owner only, made when they are first needed, by one of the processes that want them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from prefectlite.disk import sync
from prefectlite.repository.locks import FileLock


def read_key(path: Path, least: int) -> bytes | None:
    """What the file holds; None if there is none, or it is not whole: shorter than `least` bytes. Raises OSError."""
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        return None
    return key if len(key) >= least else None


def made_key(path: Path, least: int, make: Callable[[], bytes]) -> bytes:
    """What the file holds, which is what `make` gives if there was no key in it. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        with lock:
            if (key := read_key(path, least)) is not None:
                return key
            key = make()
            with path.open("r+b") as file:
                file.write(key)
                file.flush()
                os.fsync(file.fileno())
            return key
    finally:
        lock.close()


def replace_key(path: Path, key: bytes) -> None:
    """Let the file hold `key`, all of it or, where that fails, what it held before. Raises OSError."""
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync(path.parent)
