"""The code of a flow: its file and what that imports from its own tree."""

from __future__ import annotations

import ast
import hashlib
import importlib
import sys
import threading
from pathlib import Path

import msgspec

# Python 3.11 counts how deep a syntax tree is for all threads together, and raises SystemError when two make one at a time.
_parsing = threading.Lock()
# What the files of flows were like when they were last imported here.
_imported: dict[Path, str] = {}


class CodeTree(msgspec.Struct, frozen=True):
    """The files of a flow's code, with the hash of each, in the order in which they are met."""

    files: dict[Path, str]

    @property
    def digest(self) -> str:
        """SHA-256 over all of them."""
        return hashlib.sha256("".join(self.files.values()).encode()).hexdigest()

    def renew(self) -> None:
        """Let the next import read the files as they are now, if any of them has changed since it was imported here."""
        if any(_imported.get(file, digest) != digest for file, digest in self.files.items()):
            self.forget()
        _imported.update(self.files)

    def forget(self) -> None:
        """Let the next import read the files anew; but for our own, which a tree has where a flow lies beside them."""
        names = {str(file) for file in self.files}
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] not in ("__main__", "prefectlite") and getattr(module, "__file__", None) in names:
                del sys.modules[name]
        importlib.invalidate_caches()


def code_tree(path: Path, root: Path, package: str | None = None) -> CodeTree:
    """`path` and the files it imports, directly or not, from below `root` (and from `package`, if given)."""
    files: dict[Path, str] = {}
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file in files or not file.is_file():
            continue
        content = file.read_bytes()
        files[file] = hashlib.sha256(content).hexdigest()
        names = _imported_names(content, file.relative_to(root).parent.parts if file.is_relative_to(root) else ())
        wanted = {name for name in names if package is None or name[:1] == (package,)}
        waiting.extend(sorted(_files_of(wanted, root), reverse=True))
    return CodeTree(files)


def _imported_names(content: bytes, inside: tuple[str, ...]) -> set[tuple[str, ...]]:
    """What the code of a module in the package `inside` imports, with the packages on the way, split at the dots."""
    try:
        with _parsing:
            tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return set()
    names: set[tuple[str, ...]] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = inside[: len(inside) - node.level + 1] if node.level else ()
            base = (*above, *(node.module or "").split(".")) if node.module else above
            names.update((*base, alias.name) for alias in node.names)
    return {name[:length] for name in names for length in range(1, len(name) + 1)}


def _files_of(names: set[tuple[str, ...]], root: Path) -> set[Path]:
    places = [root.joinpath(*name) for name in names]
    return {file for place in places for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()}
