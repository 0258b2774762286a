"""Watching code for changes: a look at the files' times and sizes, once a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from prefectlite.cli.places import Place
from prefectlite.errors import FlowSourceMissing

#: Seconds between two looks.
EVERY = 1.0

_Stamp = tuple[tuple[Path, int, int], ...]


class _Seen(NamedTuple):
    """A place's code as it was last read, and the times and sizes that its files and their directories had then."""

    digest: str
    files: tuple[Path, ...]
    stamp: _Stamp


def changes(places: Callable[[], list[Place]]) -> Iterator[list[Place]]:
    """All of `places()`; then, for ever, those that are new or whose code changed, when there are any.

    Raises FlowSourceMissing if a path is not there at first.
    """
    named = places()
    seen: dict[Place, _Seen] = {}
    while True:
        changed = [place for place in named if _has_changed(place, seen)]
        if changed:
            yield changed
        time.sleep(EVERY)
        try:
            named = places()
        except FlowSourceMissing:  # an editor puts a new file in its place this very moment
            continue


def _has_changed(place: Place, seen: dict[Place, _Seen]) -> bool:
    """Whether the code of `place` is other than `seen`, where it is noted."""
    before = seen.get(place)
    if before is not None and _stamp(before.files) == before.stamp:
        return False
    tree = place.tree()
    files = tuple(tree.files)
    # Directories, too: a module that was missing may have come.
    around = tuple({file.parent: None for file in files})
    seen[place] = _Seen(tree.digest, files + around, _stamp(files + around))
    return before is None or before.digest != tree.digest


def _stamp(files: tuple[Path, ...]) -> _Stamp:
    found = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            found.append((file, 0, 0))
        else:
            found.append((file, status.st_mtime_ns, status.st_size))
    return tuple(found)
