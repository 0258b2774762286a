"""How a mapped task becomes children, decided when what it maps over is known."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from prefectlite.engine.units import Unit, flat, has_elements
from prefectlite.language.graph import Edge
from prefectlite.states import Failed, Mapped, Skipped, State, Success

SKIP_MESSAGE = (
    "Upstream task was skipped; if this was not the intended behavior, consider changing"
    " `skip_on_upstream_skip=False` for this task."
)
_logger = logging.getLogger("prefectlite.TaskRunner")


def expand(parent: Unit, units: dict[Any, Unit], limit: int) -> State:
    """The state of a mapped task whose upstreams are ready: Mapped with the number of its children, or why it has none."""
    try:
        return _expand(parent, units, limit)
    except Exception as error:  # what is mapped over is the user's, and so is its length
        return Failed(f"Unexpected error while mapping: {error!r}", error)


def _expand(parent: Unit, units: dict[Any, Unit], limit: int) -> State:
    if parent.node.task.skip_on_upstream_skip and any(_is_skipped(units[e.upstream_task], e) for e in parent.node.edges):
        return Skipped(SKIP_MESSAGE)
    widths: list[int] = []
    for edge in parent.node.edges:
        upstream = units[edge.upstream_task]
        state = upstream.state
        assert state is not None
        if not edge.mapped:
            continue
        if edge.flattened and state.is_successful():
            elements = _elements(parent, upstream, upstream.result_state())
            if elements is None:
                return _unmappable(parent, state.result)
            parent.elements = {**(parent.elements or {}), edge: elements}
            widths.append(len(elements))
        elif upstream.children is not None:
            widths.append(len(upstream.children))
        elif state.is_successful():
            if not has_elements(state.result):
                return _unmappable(parent, state.result)
            widths.append(len(state.result))
    if not widths:
        return Failed("No upstream states can be mapped over.")
    width = min(widths)
    if width > limit:
        return Failed(f"Mapping over {width:,} elements exceeds the limit of {limit:,} (max_map_children)")
    return Mapped("Ready to proceed with mapping.", n_map_states=width)


def make_children(parent: Unit, units: dict[Any, Unit], width: int) -> list[Unit]:
    """`width` children, each counting the children of other tasks that it has to wait for.

    A state given for the parent is the one they begin in, or holds those they begin in.
    """
    # By task, so that a child that gets two arguments from one upstream child waits for it once.
    upstreams = {e.upstream_task: units[e.upstream_task].children for e in parent.node.edges if e.mapped and not e.flattened}
    sources = [children for children in upstreams.values() if children is not None]
    start = parent.start
    starts: Sequence[State | None] = start.map_states if isinstance(start, Mapped) else [start] * width
    children = []
    for index in range(width):
        child = Unit(parent.node, index, parent)
        if index < len(starts):
            child.start = starts[index]
        for source in sources:
            upstream = source[index]
            if not upstream.settled:
                child.waiting += 1
                if upstream.waiters is None:
                    upstream.waiters = []
                upstream.waiters.append(child)
        children.append(child)
    return children


def _is_skipped(upstream: Unit, edge: Edge) -> bool:
    """Whether all children would be skipped because of `upstream`; what is mapped over is skipped lane by lane."""
    states = [upstream.state] if edge.mapped or upstream.children is None else [child.state for child in upstream.children]
    return any(state is not None and state.is_skipped() for state in states)


def _elements(parent: Unit, upstream: Unit, state: State) -> Sequence[State] | None:
    """What a flattened edge gives the children, one state each; None for what cannot be mapped over."""
    if upstream.children is None:
        value = flat(state.result)
        return [Success(state.message, element) for element in value] if has_elements(value) else None
    elements: list[State] = []
    for child in upstream.children:
        assert child.state is not None
        elements.extend(_of_child(parent, child.state))
    return elements


def _of_child(parent: Unit, state: State) -> Sequence[State]:
    if not state.is_successful() or state.is_skipped():
        return [state]  # it fails, or is skipped, in its own lane
    if not has_elements(state.result):
        _logger.warning(
            "Task '%s': a mapped upstream task returned a %s, which cannot be flattened; it counts as one element",
            parent.label,
            type(state.result).__name__,
        )
        return [state]
    return [Success(state.message, element) for element in state.result]


def _unmappable(parent: Unit, value: Any) -> Failed:
    _logger.error("Task '%s': a %s cannot be mapped over", parent.label, type(value).__name__)
    return Failed("At least one upstream state has an unmappable result.")
