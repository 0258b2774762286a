"""What a call in a flow is made of: the flow that is being written, and the tasks that stand for plain values."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from prefectlite import registry
from prefectlite.contexts import active_graph
from prefectlite.errors import FlowError
from prefectlite.language.mapping import Annotation

if TYPE_CHECKING:
    from prefectlite.language.graph import Graph
    from prefectlite.language.task import Task


_COLLECTIONS = (list, tuple, set, dict)


def graph_for(task: Task | None, flow: Graph | None) -> Graph:
    """`flow`, else the flow inside whose `with` block this code runs.

    Raises FlowError when there is neither; it tells how to run the code of `task`, if that is what was called.
    """
    graph = flow if flow is not None else active_graph.get()
    if graph is None:
        if task is None:
            raise FlowError("No Flow was passed, and could not infer an active Flow context.")
        raise FlowError(
            f"Could not infer an active Flow context while creating edge to {task}. This often means you called a task"
            " outside a `with Flow(...)` block. If you're trying to run this task outside of a Flow context, you need to"
            f" call `{task.call_hint}(...)`"
        )
    if not hasattr(graph, "add_edge"):
        raise TypeError(f"`flow` must be a Flow, not {graph!r}")
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
    if not isinstance(value, _COLLECTIONS):
        return not is_task(value) and not isinstance(value, Annotation)
    # Not a function that calls itself: lists may lie in each other deeper than Python's stack, or in a circle.
    met, waiting = {id(value)}, [value]
    while waiting:
        collection = waiting.pop()
        for item in collection.values() if isinstance(collection, dict) else collection:
            if isinstance(item, _COLLECTIONS):
                if id(item) not in met:
                    met.add(id(item))
                    waiting.append(item)
            elif is_task(item) or isinstance(item, Annotation):
                return False
    return True


def note_made(task: Task, instead_of: Task | None = None) -> None:
    """Tell the flow being written that `task` was made, so that it can tell of those that did not become part of it."""
    graph = active_graph.get()
    if graph is None or task.is_constant:
        return
    graph.made[task] = None
    if instead_of is not None:
        graph.made.pop(instead_of, None)


def warn_of_lost_edges(task: Task) -> None:
    """Warn if `task`, which is about to be copied, has edges in the flow being written."""
    graph = active_graph.get()
    if graph is not None and task in graph.slugs and (graph.edges_to(task) or graph.edges_from(task)):
        warnings.warn(
            "You are making a copy of a task that has dependencies on or to other tasks in the active flow context. The copy"
            f" will not retain those dependencies. The task is {task}",
            UserWarning,
            stacklevel=3,
        )
