"""Files: their companions, and what it takes that they survive a power cut."""

from __future__ import annotations

import os
from pathlib import Path


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
