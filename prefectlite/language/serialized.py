"""A graph as plain data: what the record, the API and the UI know of a flow without its code."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from typing import Any

import msgspec

from prefectlite.language.graph import Graph
from prefectlite.language.parameter import Parameter
from prefectlite.language.task import Task


def serialize(graph: Graph) -> dict[str, Any]:
    """Name, parameters, tasks and edges of `graph`, as JSON values; the same for the same flow, whenever it is built."""
    roots, terminals, references = graph.root_tasks(), graph.terminal_tasks(), graph.reference_tasks()
    tasks = [
        {
            "slug": slug,
            "name": task.name,
            "type": f"{type(task).__module__}.{type(task).__qualname__}",
            "mapped": any(edge.mapped for edge in graph.incoming(task)),
            "max_retries": task.max_retries,
            "retry_delay": _micros(task.retry_delay),
            "timeout": _micros(task.timeout),
            "trigger": getattr(task.trigger, "__name__", None) or _shown(task.trigger),
            "is_root_task": task in roots,
            "is_terminal_task": task in terminals,
            "is_reference_task": task in references,
            "tags": sorted(task.tags),
        }
        for task, slug in sorted(graph.slugs.items(), key=lambda item: item[1])
    ]
    edges = [
        {
            "upstream": graph.slugs[e.upstream_task],
            "downstream": graph.slugs[e.downstream_task],
            "key": e.key,
            "mapped": e.mapped,
        }
        for e in graph.edges
    ]
    return {
        "name": graph.name,
        "parameters": [_parameter(task) for task in sorted(graph.parameters(), key=lambda task: task.name)],
        "tasks": tasks,
        "edges": sorted(edges, key=lambda e: (e["upstream"], e["downstream"], e["key"] or "", e["mapped"])),
    }


def digest_of(serialized: dict[str, Any], code: str = "") -> str:
    """SHA-256 over a serialized flow and the hash of the code it came from."""
    return hashlib.sha256(msgspec.json.encode(serialized, order="sorted") + code.encode()).hexdigest()


def _parameter(task: Task) -> dict[str, Any]:
    assert isinstance(task, Parameter)
    try:
        plain = msgspec.to_builtins(task.default, order="deterministic", str_keys=True)
        default = msgspec.json.decode(msgspec.json.encode(plain))
    except (TypeError, ValueError, RecursionError):
        default = _shown(task.default)
    return {"name": task.name, "slug": task.name, "required": task.required, "default": default}


def _shown(value: Any) -> str:
    """The repr of `value` without addresses, which differ from process to process."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _micros(duration: timedelta | None) -> int | None:
    return None if duration is None else duration // timedelta(microseconds=1)
