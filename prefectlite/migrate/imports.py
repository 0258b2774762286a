"""Import statements: which names they bind, and how they read with prefectlite."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from typing import NamedTuple

from prefectlite.migrate.homes import home, is_there, mend
from prefectlite.migrate.names import PACKAGES

_FROM = re.compile(rb"(from\s+)(prefect[\w.]*)(?=\s+import\b)")


class Bound(NamedTuple):
    """What a name of the file stands for: `prefect.…`. Where it is `prefect` itself, all of Prefect hangs on it."""

    prefect: str
    lite: str | None


class Changed(NamedTuple):
    """How an import statement is to read: `module` alone, where only that differs; else `lines`."""

    lines: list[str]
    module: str | None = None


def is_prefect(name: str | None) -> bool:
    """Whether a module is Prefect's."""
    return name is not None and (name == "prefect" or name.startswith("prefect."))


def bindings(statement: ast.Import | ast.ImportFrom) -> dict[str, Bound]:
    """The names that a statement binds to something of Prefect."""
    bound = {}
    if isinstance(statement, ast.ImportFrom):
        if not statement.level and is_prefect(statement.module):
            for alias in statement.names:
                name = f"{statement.module}.{alias.name}"
                bound[alias.asname or alias.name] = Bound(name, home(name))
        return bound
    for alias in filter(lambda alias: is_prefect(alias.name), statement.names):
        if alias.asname:
            bound[alias.asname] = Bound(alias.name, home(alias.name))
        else:
            bound["prefect"] = Bound("prefect", "prefectlite")
    return bound


def lacking(statement: ast.Import | ast.ImportFrom) -> list[tuple[str, str]]:
    """The names of Prefect that a statement imports and prefectlite lacks, each with what to do about it."""
    return [(name, mend(name)) for name in _imported(statement) if not _is_kept(name)]


def changed(statement: ast.Import | ast.ImportFrom, needed: Iterable[str], *, stays: bool) -> Changed | None:
    """How a statement reads with prefectlite, or None if nothing in it can be changed.

    `needed`: modules of prefectlite that are to be imported as well. `stays`: `prefect` itself is still needed.
    """
    made = _from(statement) if isinstance(statement, ast.ImportFrom) else _plain(statement, list(needed), stays)
    return None if made.lines == [ast.unparse(statement)] else made


def module_at(text: bytes) -> re.Match[bytes] | None:
    """Where the module stands in the text of a `from` statement: group 2."""
    return _FROM.match(text)


def _imported(statement: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(statement, ast.Import):
        names = [(alias.name, alias.asname) for alias in statement.names if is_prefect(alias.name)]
        return [name for name, bound in names if bound or name not in PACKAGES]
    if statement.level or not is_prefect(statement.module):
        return []
    return [f"{statement.module}.{alias.name}" for alias in statement.names]


def _is_kept(name: str) -> bool:
    return home(name.removesuffix(".*")) is not None


def _from(statement: ast.ImportFrom) -> Changed:
    module = str(statement.module)
    groups: dict[str, list[str]] = {}
    renamed = False
    for alias in statement.names:
        new = home(module) if alias.name == "*" else home(f"{module}.{alias.name}")
        if new is None:
            place, name = module, alias.name
        elif alias.name == "*":
            place, name = new, "*"
        else:
            place, _, name = new.rpartition(".")
        bound = alias.asname or alias.name
        renamed |= name != alias.name
        groups.setdefault(place, []).append(name if name == bound else f"{name} as {bound}")
    left = groups.pop(module, None)
    if not groups:
        return Changed([ast.unparse(statement)])
    lines = [_line(place, names) for place, names in groups.items()]
    if left:
        lines.append(_line(module, left))
    only = next(iter(groups)) if len(lines) == 1 and not renamed and "" not in groups else None
    return Changed(lines, only)


def _line(place: str, names: list[str]) -> str:
    if not place:  # a module that is prefectlite itself
        return f"import {', '.join(names)}"
    return f"from {place} import {', '.join(names)}"


def _plain(statement: ast.Import, needed: list[str], stays: bool) -> Changed:
    names: list[str] = []
    for alias in statement.names:
        new = home(alias.name) if is_prefect(alias.name) else alias.name
        if is_prefect(alias.name) and alias.asname is None:
            new = new or ("prefectlite" if alias.name in PACKAGES else None)
            names += [alias.name] if stays or new is None else []
            names += [new or "prefectlite"]
        else:
            new = new or alias.name
            names.append(f"{new} as {alias.asname}" if alias.asname else new)
    known = dict.fromkeys([*names, *needed])
    return Changed([f"import {', '.join(known)}"])


def reachable(module: str) -> bool:
    """Whether `import prefectlite` is enough to use a module of prefectlite."""
    return module == "prefectlite" or (module.count(".") == 1 and is_there(module))
