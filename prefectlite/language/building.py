"""Putting tasks into the flow that is being written: which flow that is, what becomes a task, which edges a call makes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from prefectlite import registry
from prefectlite.contexts import active_graph
from prefectlite.errors import FlowError
from prefectlite.language.graph import Graph
from prefectlite.language.mapping import Annotation

if TYPE_CHECKING:
    from prefectlite.language.task import Task


def graph_for(task: Task, flow: Graph | None) -> Graph:
    """`flow`, else the flow inside whose `with` block this code runs. Raises FlowError when there is neither."""
    graph = flow if flow is not None else active_graph.get()
    if graph is None:
        raise FlowError(
            f"Could not infer an active Flow context while creating edge to {task}. This often means you called a task"
            f" outside a `with Flow(...)` block. To run this task's code now, call `{task.call_hint}(...)`"
        )
    assert isinstance(graph, Graph)
    return graph


def as_task(value: Any, flow: Graph | None = None) -> Task:
    """`value` itself if it is a task, else a task that results in it: a collection of its members, or a constant.

    A collection joins `flow`, else the flow being written. A named tuple or an ordered dict counts as what it derives from.
    """
    if isinstance(value, Annotation):
        value = value.value
    if is_task(value):
        return value  # type: ignore[no-any-return]
    kind = next((kind for kind in registry.collection_tasks if isinstance(value, kind)), None)
    if kind is not None and not is_constant(value):
        return registry.collection_tasks[kind](value, flow)  # type: ignore[no-any-return]
    return registry.constant_task[0](value)  # type: ignore[no-any-return]


def is_task(value: Any) -> bool:
    """Whether `value` is a task; a class of tasks is none."""
    return getattr(value, "is_task", False) is True and not isinstance(value, type)


def is_constant(value: Any) -> bool:
    """Whether no task and no annotation hides in `value`: looked for in lists, tuples, sets and the values of dicts."""
    if isinstance(value, list | tuple | set):
        return all(is_constant(item) for item in value)
    if isinstance(value, dict):
        return all(is_constant(item) for item in value.values())
    return not is_task(value) and not isinstance(value, Annotation)


def bind(task: Task, graph: Graph, arguments: Mapping[str, Any], upstream_tasks: Iterable[Any] | None, mapped: bool) -> None:
    """Add `task` to `graph`, with an edge for every argument that is a task and a constant for every other one."""
    graph.add_task(task)
    for key, argument in arguments.items():
        _connect(task, graph, argument, key, mapped)
    if is_task(upstream_tasks):
        raise TypeError(
            f"upstream_tasks of {task} must be a list of tasks, not a task: write upstream_tasks=[{upstream_tasks}]"
        )
    for upstream in upstream_tasks or ():
        _connect(task, graph, upstream, None, mapped)


def _connect(task: Task, graph: Graph, argument: Any, key: str | None, mapped: bool) -> None:
    options = {"mapped": mapped}
    if isinstance(argument, Annotation):
        options.update(argument.annotations)
    upstream = as_task(argument, graph)
    if upstream.is_constant and key is not None and not options["mapped"]:
        for edge in graph.incoming(task):
            if edge.key == key:
                raise FlowError(f"Argument {key!r} of task {task} is bound to {edge.upstream_task} already")
        graph.constants[task][key] = upstream.value
        graph.revision += 1
        return
    graph.add_edge(upstream, task, key=key, **options)
