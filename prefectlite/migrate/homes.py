"""What a dotted name of Prefect is called in prefectlite: asked of prefectlite's modules themselves, never of Prefect."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from prefectlite.migrate.names import BY_HAND, HOMES, MENDS, PACKAGES, RENAMED, SAME, SETTINGS

_TOP = "prefectlite"
_CONFIG = "prefect.config"


@functools.cache
def home(name: str) -> str | None:
    """The name in prefectlite of a class, function or module of Prefect; None if none can simply be put in."""
    if name in BY_HAND:
        return None
    if name in RENAMED:
        return RENAMED[name]
    if name == "prefect":
        return _TOP
    if name.startswith(f"{_CONFIG}."):
        setting = SETTINGS.get(name.removeprefix(f"{_CONFIG}."))
        return setting and f"{_TOP}.config.{setting}"
    if name in HOMES:
        return HOMES[name]
    module, _, last = name.rpartition(".")
    found = (f"{room}.{last}" for room in _rooms(module) if is_there(f"{room}.{last}"))
    return next(found, None)


@functools.cache
def is_module(name: str) -> bool:
    """Whether this is a module of Prefect, as far as it is known here."""
    if name in PACKAGES or name in HOMES or name in SAME or name == _CONFIG:
        return True
    if name.startswith(f"{_CONFIG}."):
        return any(setting.startswith(name.removeprefix(f"{_CONFIG}.") + ".") for setting in SETTINGS)
    target = home(name)
    return target is not None and isinstance(named(target), ModuleType)


def mend(name: str) -> str:
    """What to do about a name of Prefect that has no home."""
    if name in BY_HAND:
        return BY_HAND[name]
    return next(MENDS[part] for part in _shortened(_usual(name)) if part in MENDS)


@functools.cache
def is_there(name: str) -> bool:
    """Whether prefectlite has this name, for users: what it keeps to itself does not count."""
    try:
        named(name)
    except (ImportError, AttributeError):
        return False
    module, _, last = name.rpartition(".")
    return module != _TOP or last in (*importlib.import_module(_TOP).__all__, "config", "__version__")


def named(name: str) -> Any:
    """What prefectlite has under this dotted name. Raises ImportError or AttributeError if there is none."""
    module, _, last = name.rpartition(".")
    if not module:
        return importlib.import_module(name)
    holder = importlib.import_module(module) if importlib.util.find_spec(module) else named(module)
    try:
        return getattr(holder, last)
    except AttributeError:
        if isinstance(holder, ModuleType):
            return importlib.import_module(name)
        raise


def _rooms(module: str) -> Iterator[str]:
    """The modules of prefectlite in which the names of a module of Prefect may be."""
    if module == "prefect":
        yield _TOP
        return
    for part in _shortened(module):
        if part in HOMES:
            yield HOMES[part]
            return
        if any(part == room or part.startswith(f"{room}.") for room in SAME):
            yield _TOP + part.removeprefix("prefect")


def _shortened(name: str) -> Iterator[str]:
    """`a.b.c`, `a.b`, `a`."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _usual(name: str) -> str:
    """The name by which the tables know it: of `prefect.storage.docker.Docker` and the like."""
    for old, new in (("prefect.engine.executors", "prefect.executors"),):
        if name.startswith(f"{old}."):
            name = new + name.removeprefix(old)
    parts = name.split(".")
    short = ".".join([*parts[:-2], parts[-1]])
    return short if len(parts) > 3 and name not in MENDS and short in MENDS else name
