"""A graph as plain data: what the record, the API and the UI know of a flow without its code."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from typing import Any

import msgspec

from prefectlite.errors import BadRequest, FlowError
from prefectlite.language.delays import KeptDelay
from prefectlite.language.graph import Graph
from prefectlite.language.parameter import Parameter
from prefectlite.language.task import Task
from prefectlite.run_configs import run_config_document
from prefectlite.shown import told
from prefectlite.version import __version__


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
            "retry_delay": _micros(_first(task.retry_delay)),
            "timeout": None if task.timeout is None else round(task.timeout * 1_000_000),
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
            "flattened": e.flattened,
        }
        for e in graph.edges
    ]
    return {
        "name": graph.name,
        "parameters": [_parameter(task) for task in sorted(graph.parameters(), key=lambda task: task.name)],
        "tasks": tasks,
        "edges": sorted(edges, key=lambda e: (e["upstream"], e["downstream"], e["key"] or "", e["mapped"])),
    }


def serialized_flow(flow: Any) -> dict[str, Any]:
    """All of a flow, its reference tasks and what it is run with included."""
    return {
        **serialize(flow),
        "type": f"{type(flow).__module__}.{type(flow).__qualname__}",
        "reference_tasks": sorted(flow.slugs[task] for task in flow.reference_tasks()),
        "schedule": serialized_schedule(flow),
        "run_config": serialized_run_config(flow),
        "storage": _serialized_storage(flow),
        "__version__": __version__,
    }


def serialized_schedule(flow: Any) -> dict[str, Any] | None:
    """The flow's schedule as JSON values, if it has one. Raises FlowError for one that JSON cannot hold."""
    schedule = getattr(flow, "schedule", None)
    if schedule is None:
        return None
    if not callable(getattr(schedule, "serialize", None)):
        raise FlowError(f"Flow {flow.name!r}: its schedule cannot be written down: {schedule!r} is no Schedule")
    written: dict[str, Any] = schedule.serialize()
    return written


def serialized_run_config(flow: Any) -> dict[str, Any] | None:
    """The flow's run config as JSON values, if it has one. Raises FlowError for what is none."""
    return run_config_document(getattr(flow, "run_config", None), f"Flow {flow.name!r}")


def _serialized_storage(flow: Any) -> dict[str, Any] | None:
    if flow.storage is None:
        return None
    if not callable(getattr(flow.storage, "serialize", None)):
        raise FlowError(
            f"Flow {flow.name!r}: storage takes a storage, such as Git('flow.py', repo='me/flows'), not {flow.storage!r}"
        )
    written: dict[str, Any] = flow.storage.serialize()
    return written


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
    return re.sub(r" at 0x[0-9a-fA-F]+", "", told(value))


def _first(delay: KeptDelay) -> timedelta | None:
    """The one delay that the record has room for; none where a function decides."""
    if isinstance(delay, tuple):
        return delay[0]
    return delay if isinstance(delay, timedelta) else None


def _micros(duration: timedelta | None) -> int | None:
    return None if duration is None else duration // timedelta(microseconds=1)


class _SerializedTask(msgspec.Struct):
    slug: str
    name: str


class _SerializedEdge(msgspec.Struct):
    upstream: str
    downstream: str


class _SerializedFlow(msgspec.Struct):
    name: str
    parameters: list[dict[str, Any]]
    tasks: list[_SerializedTask]
    edges: list[_SerializedEdge]


_TASK_DEFAULTS: dict[str, Any] = {
    "type": "",
    "mapped": False,
    "max_retries": 0,
    "retry_delay": None,
    "timeout": None,
    "trigger": "all_successful",
    "is_root_task": False,
    "is_terminal_task": False,
    "is_reference_task": False,
    "tags": [],
}


def complete(content: dict[str, Any]) -> None:
    """Fill in what a serialized flow from elsewhere may leave out. Raises BadRequest if it does not describe a flow."""
    content.setdefault("parameters", [])
    content.setdefault("tasks", [])
    content.setdefault("edges", [])
    try:
        flow = msgspec.convert(content, _SerializedFlow)
    except msgspec.ValidationError as error:
        raise BadRequest(f"serialized_flow does not describe a flow: {error}") from None
    if not isinstance(content.get("run_config"), dict | None):
        raise BadRequest("serialized_flow does not describe a flow: `run_config` should be an object")
    slugs = {task.slug for task in flow.tasks}
    for edge in flow.edges:
        if not {edge.upstream, edge.downstream} <= slugs:
            raise BadRequest(
                "Edges could not be registered - some edges reference tasks that do not exist within this flow."
            )
    content["tasks"] = [{**_TASK_DEFAULTS, **task} for task in content["tasks"]]
    content["edges"] = [{"key": None, "mapped": False, "flattened": False, **edge} for edge in content["edges"]]
