"""How a mapped task becomes children, decided when what it maps over is known."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from prefectlite.contexts import enter_values
from prefectlite.engine.handlers import EndRun
from prefectlite.engine.pass_around import PassAround, raise_if_wanted
from prefectlite.engine.run_logs import task_begun, task_ended
from prefectlite.engine.run_values import task_values
from prefectlite.engine.units import Unit, flat, has_elements, part_of
from prefectlite.language.graph import Edge
from prefectlite.shown import told
from prefectlite.states import Failed, Mapped, Pending, Retrying, Skipped, State, Success

SKIP_MESSAGE = (
    "Upstream task was skipped; if this was not the intended behavior, consider changing"
    " `skip_on_upstream_skip=False` for this task."
)
_logger = logging.getLogger("prefectlite.TaskRunner")


async def expanded(around: PassAround, parent: Unit, units: dict[Any, Unit], limit: int) -> State:
    """The state of a mapped task whose upstreams are ready: Mapped with the number of its children, or why it has none.

    As the state handlers have it.
    """
    start = parent.start if parent.start is not None else Pending()
    enter_values(task_values(around.values, parent, 1))
    task_begun(parent)
    try:
        state = _expansion(parent, units, limit)
    except BaseException as error:  # what is mapped over is the user's, and so is its length
        state = Failed(f"Unexpected error while mapping: {told(error)}", error)
    if isinstance(start, Mapped) and isinstance(state, Mapped):
        return state  # nothing changes, so there is nothing for handlers to see
    try:
        state = await around.handlers_of(parent).see(start, state)
    except EndRun as end:
        if end.error is not None:
            raise_if_wanted(around, end.error)
        state = end.state
    task_ended(parent, state)
    return state


def _expansion(parent: Unit, units: dict[Any, Unit], limit: int) -> State:
    if parent.node.task.skip_on_upstream_skip and any(_skips_all(edge, units) for edge in parent.node.edges):
        return Skipped(SKIP_MESSAGE)
    upstreams = [(units[edge.upstream_task], _count(parent, edge, units)) for edge in parent.node.edges if edge.mapped]
    given = parent.start if isinstance(parent.start, Mapped) and not parent.version else None  # not found in the record
    most: int | None
    if given is not None:
        most = given.n_map_states
    else:
        successful = [(upstream, count) for upstream, count in upstreams if _state(upstream).is_successful()]
        for upstream, count in successful:
            if count is None:
                return _unmappable(upstream, _state(upstream).result)
        most = min((count for _, count in successful if count is not None), default=None)
    width = None if most is None else _width(upstreams, most)
    if width is None:
        return Failed("No upstream states can be mapped over.")
    if width > limit:
        return Failed(f"Mapping over {width:,} elements exceeds the limit of {limit:,} (max_map_children)")
    return Mapped("Ready to proceed with mapping." if given is None else given.message, n_map_states=width)


def _count(parent: Unit, edge: Edge, units: dict[Any, Unit]) -> int | None:
    """How many elements come along an edge; None for what cannot be mapped over."""
    upstream = units[edge.upstream_task]
    if edge.flattened:
        elements = _elements(parent, upstream)
        if elements is None:
            return None
        parent.elements = {**(parent.elements or {}), edge: elements}
        return len(elements)
    if upstream.children is not None:
        return len(upstream.children)
    value = _state(upstream).result
    return len(value) if has_elements(value) else None


def _width(upstreams: Iterable[tuple[Unit, int | None]], most: int) -> int | None:
    """How many children find an element of everything; what has none, as what failed, gives `most` of them nothing.

    Where `most` is 0, nothing but the elements counts; None if there are none of anything.
    """
    widths = []
    for upstream, count in upstreams:
        if upstream.children is None and most:
            widths.append(most if count is None else min(count, most))
        elif count is not None:
            widths.append(count)
    return min(widths, default=None)


def _state(upstream: Unit) -> State:
    assert upstream.state is not None
    return upstream.state


def _skips_all(edge: Edge, units: dict[Any, Unit]) -> bool:
    """Whether what comes along this edge skips the mapped task as a whole: of what it maps over, each child sees its own."""
    upstream = units[edge.upstream_task]
    return not (edge.mapped and upstream.children is not None) and is_skipped(upstream.result_state())


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
        elif isinstance(parent.start, Retrying):
            child.start = Pending(context={"task_run_count": parent.start.run_count + 1})
        for source in sources:
            upstream = source[index] if index < len(source) else None
            if upstream is not None and not upstream.settled:
                child.waiting += 1
                if upstream.waiters is None:
                    upstream.waiters = []
                upstream.waiters.append(child)
        children.append(child)
    return children


def _elements(parent: Unit, upstream: Unit) -> Sequence[State] | None:
    """What a flattened edge gives the children, one state each; None for what cannot be mapped over."""
    if upstream.children is None:
        value = flat(_state(upstream).result)
        return [part_of(_state(upstream), element) for element in value] if has_elements(value) else None
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


def any_skipped(states: Iterable[State]) -> bool:
    """Whether one of them was skipped, or one of its children."""
    return any(map(is_skipped, states))


def is_skipped(state: State) -> bool:
    """Whether it was skipped, or one of its children."""
    if isinstance(state, Mapped):
        return any(child is not None and child.is_skipped() for child in state.map_states)
    return state.is_skipped()


def _unmappable(upstream: Unit, value: Any) -> Failed:
    kind = type(value).__name__
    reason = TypeError(f"Task '{upstream.label}' gave what cannot be mapped over: {kind}; give a list, or use unmapped(…)")
    _logger.error("%s", reason)
    return Failed("At least one upstream state has an unmappable result.", reason)
