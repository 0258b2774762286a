"""Mapping a function that writes several tasks, branches and all, as if it were one task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from prefectlite.contexts import active_case, active_graph, active_resource, inside_apply_map
from prefectlite.errors import FlowError
from prefectlite.language import building
from prefectlite.language.graph import Graph
from prefectlite.language.mapping import Annotation
from prefectlite.language.task import Task


class _Source(NamedTuple):
    """How what `func` makes takes an argument of `apply_map`."""

    mapped: bool
    flattened: bool


def apply_map(func: Callable[..., Any], *args: Any, flow: Graph | None = None, **kwargs: Any) -> Any:
    """What `func(*args, **kwargs)` returns; the tasks it adds to the flow run once per element of the arguments.

    An argument is a task, a sequence, or either in `unmapped` or `flatten`; the shortest says how many children there are.
    What the function makes on its own runs per element, too. It is called once, when the flow is written, with tasks in
    place of the arguments; with `flow` given it gets a `flow` to put its tasks into.

    Raises TypeError for an argument that is no sequence, FlowError without a flow and when `func` maps itself.
    """
    graph = flow if flow is not None else active_graph.get()
    if graph is None:
        raise FlowError("Couldn't infer a flow in the current context")
    if inside_apply_map.get():
        raise _maps_itself()
    sources: dict[Task, _Source] = {}
    positional = [_as_source(value, graph, sources) for value in args]
    named = {name: _as_source(value, graph, sources) for name, value in kwargs.items()}
    if flow is not None:
        named["flow"] = written = Graph(graph.name)
    else:
        written = Graph(graph.name)
    with _writing(written, sources):
        # They are there already: blocks inside of the function are not to take them for their own.
        for task in [*graph.slugs, *sources]:
            written.add_task(task)
        result = func(*positional, **named)
    _copy(written, graph, sources)
    return result


def _as_source(value: Any, graph: Graph, sources: dict[Task, _Source]) -> Any:
    annotations = value.annotations if isinstance(value, Annotation) else {}
    plain = value.value if isinstance(value, Annotation) else value
    how = _Source(annotations.get("mapped", True), annotations.get("flattened", False))
    if how.mapped and not building.is_task(plain) and not isinstance(plain, Sequence):
        raise TypeError(f"Cannot map over non-sequence object of type `{type(plain).__name__}`")
    task = building.as_task(plain, graph)
    if how.mapped or not task.is_constant:
        sources[task] = how
    return task


@contextmanager
def _writing(written: Graph, sources: dict[Task, _Source]) -> Iterator[None]:
    constants = [task for task in sources if task.is_constant]
    graph, inside = active_graph.set(written), inside_apply_map.set(True)
    case, resource = active_case.set(None), active_resource.set(None)
    for task in constants:  # bound as a task, not by its value, so that the edge is there to be mapped
        task.is_constant = False
    try:
        yield
    finally:
        for task in constants:
            del task.is_constant
        active_resource.reset(resource)
        active_case.reset(case)
        inside_apply_map.reset(inside)
        active_graph.reset(graph)


def _copy(written: Graph, graph: Graph, sources: dict[Task, _Source]) -> None:
    new = [task for task in written.slugs if task not in graph.slugs and task not in sources]
    edges = [edge for task in written.slugs for edge in written.incoming(task)]
    if any(edge.mapped for edge in edges):
        raise _maps_itself()
    own = set(new)
    for task in new:
        graph.add_task(task)
        if constants := written.constants.get(task):
            graph.constants[task].update(constants)
            graph.revision += 1
    for edge in edges:
        whole = edge.upstream_task.is_constant or edge.upstream_task.is_parameter
        how = sources.get(edge.upstream_task, _Source(mapped=not whole, flattened=False))
        graph.add_edge(edge.upstream_task, edge.downstream_task, edge.key, how.mapped, how.flattened)
    for task in new:
        upstream = written.upstream_tasks(task)
        if (
            own.isdisjoint(upstream) and not task.is_constant and not task.is_parameter
        ):  # it begins what is mapped, so it has to wait for, and run per element of, all of that
            for source, how in sources.items():
                if source not in upstream:
                    graph.add_edge(source, task, mapped=how.mapped, flattened=how.flattened)


def _maps_itself() -> FlowError:
    return FlowError("Cannot set `mapped=True` when running from inside a mapped context")
