"""Flows as clients of Prefect 1.x describe them, brought into the shape that the record keeps.

Their documents differ from ours in few places: ends of edges and slugs may be objects, functions are named by objects,
durations are seconds, and where a task stands in the graph has to be found out from the edges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from prefectlite.errors import BadRequest

_SECOND = 1_000_000


def task_from(document: Any) -> dict[str, Any]:
    """A task as the record keeps it. Raises BadRequest where it has no slug."""
    if not isinstance(document, Mapping):
        raise BadRequest(f"serialized_tasks: a task is an object, not {document!r}")
    slug = _slug(document.get("slug"), "a task")
    return {
        **document,
        "slug": slug,
        "name": str(document.get("name") or slug),
        "type": _name(document.get("type")) or "",
        "trigger": (_name(document.get("trigger")) or "all_successful").rpartition(".")[2],
        "max_retries": int(document.get("max_retries") or 0),
        "retry_delay": _micros(document.get("retry_delay")),
        "timeout": _micros(document.get("timeout")),
        "tags": sorted(str(tag) for tag in document.get("tags") or ()),
        "cache_key": document.get("cache_key"),
        "auto_generated": bool(document.get("auto_generated")),
    }


def edge_from(document: Any) -> dict[str, Any]:
    """An edge as the record keeps it. Raises BadRequest where an end is missing."""
    if not isinstance(document, Mapping):
        raise BadRequest(f"serialized_edges: an edge is an object, not {document!r}")
    return {
        "upstream": _slug(document.get("upstream_task"), "the upstream end of an edge"),
        "downstream": _slug(document.get("downstream_task"), "the downstream end of an edge"),
        "key": document.get("key"),
        "mapped": bool(document.get("mapped")),
        "flattened": bool(document.get("flattened")),
    }


def flow_from(document: Mapping[str, Any]) -> dict[str, Any]:
    """Name, parameters, tasks and edges of a flow as the record keeps them. Raises BadRequest, naming what is amiss."""
    if not isinstance(document.get("name"), str) or not document["name"]:
        raise BadRequest("serialized_flow: the flow has no name")
    tasks = [task_from(task) for task in document.get("tasks") or ()]
    edges = [edge_from(edge) for edge in document.get("edges") or ()]
    references = {_slug(slug, "a reference task") for slug in document.get("reference_tasks") or ()}
    place(tasks, edges, references)
    parameters = [dict(parameter) for parameter in document.get("parameters") or () if isinstance(parameter, Mapping)]
    return {"name": document["name"], "parameters": parameters, "tasks": tasks, "edges": edges}


def place(tasks: Iterable[dict[str, Any]], edges: Iterable[Mapping[str, Any]], references: Iterable[str] = ()) -> None:
    """Say of each task whether it is mapped, a root, terminal, or a reference task (the terminal ones, if none is named)."""
    edges, named = list(edges), set(references)
    upstream, downstream = {edge["upstream"] for edge in edges}, {edge["downstream"] for edge in edges}
    mapped = {edge["downstream"] for edge in edges if edge["mapped"]}
    for task in tasks:
        slug = task["slug"]
        task["mapped"] = slug in mapped
        task["is_root_task"], task["is_terminal_task"] = slug not in downstream, slug not in upstream
        task["is_reference_task"] = slug in named if named else task["is_terminal_task"]


def _slug(value: Any, what: str) -> str:
    slug = value.get("slug") if isinstance(value, Mapping) else value
    if isinstance(slug, str) and slug:
        return slug
    raise BadRequest(f"serialized_flow: {what} has no slug")


def _name(value: Any) -> str | None:
    name = value.get("fn") if isinstance(value, Mapping) else value
    return None if name is None else str(name)


def _micros(seconds: Any) -> int | None:
    if seconds is None:
        return None
    if isinstance(seconds, int | float) and not isinstance(seconds, bool):
        return round(seconds * _SECOND)
    raise BadRequest(f"serialized_flow: {seconds!r} is no number of seconds")
