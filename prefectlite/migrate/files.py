"""The files of code that paths name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from prefectlite.errors import FlowSourceMissing

#: Directories that hold the code of others.
_OF_OTHERS = {"__pycache__", "node_modules", "site-packages", "venv", "env", "build", "dist"}


def files_in(paths: Iterable[Path]) -> list[Path]:
    """The files that are named, and the Python files below the directories that are. Raises FlowSourceMissing."""
    found: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise FlowSourceMissing(f"{path}: there is no such file")
        found.update(dict.fromkeys(_below(path) if path.is_dir() else [path]))
    return list(found)


def _below(directory: Path) -> Iterator[Path]:
    for place, directories, files in os.walk(directory):
        directories[:] = sorted(name for name in directories if name not in _OF_OTHERS and not name.startswith("."))
        yield from (Path(place) / name for name in sorted(files) if name.endswith(".py"))
