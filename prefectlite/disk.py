"""Files: their companions, and what it takes that they survive a power cut."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from prefectlite.lazily import lazily

if TYPE_CHECKING:
    import shutil
    import tempfile
else:
    shutil, tempfile = lazily("shutil"), lazily("tempfile")


def beside(path: Path, ending: str) -> Path:
    """The file that belongs to `path` and has its name with `ending` after it."""
    return path.with_name(path.name + ending)


def sync(path: Path) -> None:
    """Return when what a file holds, or which files a directory holds, survives a power cut. Raises OSError."""
    if os.name == "nt" and path.is_dir():
        return  # there directories cannot be opened
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(path: Path, content: bytes) -> None:
    """Give a file this content: whoever reads it sees the old one or the new one. One that is new is its owner's alone.

    Raises OSError.
    """
    path = path.resolve()  # a link stays a link
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        if path.exists():
            shutil.copymode(path, name)
        sync(Path(name))
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync(path.parent)
