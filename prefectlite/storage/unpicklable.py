"""Finding what in a flow cannot be pickled, to tell its author which attribute it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prefectlite.language.graph import Graph

_DEEPEST = 12


def culprit(graph: Graph, pickled: Callable[[Any], bytes]) -> str | None:
    """The way to what cannot be pickled: `task 'load'.conn → _thread.lock`; None where no single thing is at fault."""
    for task in graph.slugs:
        if not _is_fine(task, pickled):
            return f"task {task.name!r}{_way(task, pickled)}"
    parts = {name: value for name, value in vars(graph).items() if not _is_fine(value, pickled)}
    for name, value in parts.items():
        return f"flow {graph.name!r}.{name}{_way(value, pickled)}"
    return None


def _is_fine(value: Any, pickled: Callable[[Any], bytes]) -> bool:
    try:
        pickled(value)
    except Exception:
        return False
    return True


def _way(value: Any, pickled: Callable[[Any], bytes]) -> str:
    """The attributes and items from `value` to the innermost thing that cannot be pickled, and that thing's type."""
    way, met = "", {id(value)}
    for _ in range(_DEEPEST):
        for step, part in _parts(value):
            if id(part) not in met and not _is_fine(part, pickled):
                way, value = way + step, part
                met.add(id(part))
                break
        else:
            break
    kind = type(value)
    return f"{way} → {kind.__module__}.{kind.__qualname__}".replace("→ builtins.", "→ ")


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What `value` is made of, and how each part is reached from it."""
    if isinstance(value, dict):
        yield from ((f"[{key!r:.40}]", item) for key, item in list(value.items()))
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((f"[{place}]", item) for place, item in enumerate(value))
    elif code := getattr(value, "__code__", None):  # a function: its defaults, what it encloses and the globals it uses
        yield from ((f"(default {item!r:.40})", item) for item in getattr(value, "__defaults__", None) or ())
        for name, cell in zip(code.co_freevars, getattr(value, "__closure__", None) or (), strict=False):
            yield f".{name}", cell.cell_contents
        known = getattr(value, "__globals__", {})
        yield from ((f".{name}", known[name]) for name in code.co_names if name in known)
    else:
        if (inner := getattr(value, "__func__", None)) is not None:  # a method
            yield "", inner
        yield from ((f".{name}", item) for name, item in list(getattr(value, "__dict__", {}).items()))
