"""What to paste into a bug report: versions, what is configured and what a flow is made of, without any value."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from prefectlite.language.graph import Graph
from prefectlite.settings import PREFIX, settings_and_sources
from prefectlite.version import __version__

#: Attributes of flows that say how they are run and kept: each is shown by its type, and which of its attributes are set.
_OF_A_FLOW = ("result", "run_config", "schedule", "storage", "executor")


def diagnostics(flow: Graph | None = None, include_secret_names: bool = False) -> str:
    """That, as JSON: values are shown as true, empty ones of a flow as false, and secrets are named only if asked for."""
    content: dict[str, Any] = {
        "config_overrides": _overrides(include_secret_names),
        "env_vars": sorted(name for name in os.environ if name.startswith(PREFIX)),
        "system_information": {
            "platform": platform.platform(),
            "prefectlite_version": __version__,
            "python_version": platform.python_version(),
            "sqlite_version": sqlite3.sqlite_version,
        },
    }
    if flow is not None:
        content["flow_information"] = _flow_information(flow)
    return msgspec.json.format(msgspec.json.encode(content, order="sorted"), indent=2).decode()


def _overrides(include_secret_names: bool) -> dict[str, Any]:
    settings, sources = settings_and_sources()
    found = {name: getattr(settings, name) for name, source in sources.items() if not source.startswith(PREFIX)}
    overrides: dict[str, Any] = {name: _masked(value, lambda _: True) for name, value in found.items()}
    context = overrides.get("context")
    if isinstance(context, dict) and "secrets" in context and not include_secret_names:
        context["secrets"] = False
    return overrides


def _flow_information(flow: Graph) -> dict[str, Any]:
    information: dict[str, Any] = {"task_count": len(flow.slugs)}
    for name in _OF_A_FLOW:
        value = getattr(flow, name, None)
        parts = {key: _masked(part, _is_something) for key, part in _attributes(value).items()}
        information[name] = False if value is None else {**parts, "type": type(value).__qualname__}
    return information


def _attributes(value: Any) -> dict[str, Any]:
    names: Iterable[str] = getattr(value, "__struct_fields__", ()) or getattr(value, "__dict__", ())
    return {name: getattr(value, name, None) for name in names if not name.startswith("_")}


def _masked(value: Any, mask: Callable[[Any], bool]) -> Any:
    if isinstance(value, Mapping) and value:
        return {str(key): _masked(item, mask) for key, item in value.items()}
    return mask(value)


def _is_something(value: Any) -> bool:
    try:
        return bool(value)
    except Exception:  # arrays and the like do not say
        return True
