"""Files of code, found in directories, and written anew as a whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from prefectlite.disk import sync
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


def replace(path: Path, content: bytes) -> None:
    """Give a file another content: whoever reads it sees the old one or the new one. Raises OSError."""
    path = path.resolve()  # a link stays a link
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        shutil.copymode(path, name)
        sync(Path(name))
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync(path.parent)


def _below(directory: Path) -> Iterator[Path]:
    for place, directories, files in os.walk(directory):
        directories[:] = sorted(name for name in directories if name not in _OF_OTHERS and not name.startswith("."))
        yield from (Path(place) / name for name in sorted(files) if name.endswith(".py"))
