"""Units: what the engine executes one by one."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from prefectlite.engine.plan import Node
from prefectlite.ids import new_id
from prefectlite.language.graph import Edge
from prefectlite.pauses import ANSWERS
from prefectlite.rules.proposals import Refuse
from prefectlite.states import Mapped, State, Success


class Round(NamedTuple):
    """Where a task that loops is: which round this is, and what the last one gave."""

    number: int
    result: Any


class Unit:
    """One run of a task, or of one child of a mapped task (`index` ≥ 0), from waiting to its final state."""

    __slots__ = (
        "answers",
        "children",
        "elements",
        "index",
        "node",
        "parent",
        "restart",
        "round",
        "run_id",
        "settled",
        "start",
        "state",
        "unfinished",
        "version",
        "waiters",
        "waiting",
    )

    def __init__(self, node: Node, index: int = -1, parent: Unit | None = None) -> None:
        self.node, self.index, self.parent = node, index, parent
        self.run_id = new_id()
        self.version = 0
        self.start: State | None = None  # the state it begins in, where that is not simply Pending
        self.state: State | None = None
        self.settled = False
        self.restart = False  # the record holds a final state that this process does not go by
        self.round: Round | None = None
        self.answers: list[Any] | None = None  # what people gave to its pauses
        self.waiting = 0
        self.waiters: list[Unit] | None = None  # children of other tasks that wait for this very child
        self.children: list[Unit] | None = None
        self.elements: dict[Edge, Sequence[State]] | None = (
            None  # of a mapped unit: what its flattened edges give the children
        )
        self.unfinished = 0

    @property
    def label(self) -> str:
        """The task's name as people know it: `extract`, or `load[7]` for a child."""
        return self.node.task.name if self.index < 0 else f"{self.node.task.name}[{self.index}]"

    @property
    def answered(self) -> dict[str, Any]:
        """What the context of its states is to hold, so that nobody is asked the same again."""
        return {} if self.answers is None else {ANSWERS: self.answers}

    def take(self, taken: Refuse) -> None:
        """Go on as the run that somebody else has made of this task."""
        assert taken.run_id is not None
        assert taken.version is not None
        self.run_id, self.version = taken.run_id, taken.version

    def result_state(self) -> State:
        """The state it is in, children included."""
        state = self.state
        assert state is not None
        if self.children is not None and isinstance(state, Mapped) and len(state.map_states) != len(self.children):
            state.map_states = [child.state for child in self.children]
        return state


def upstream_states(unit: Unit, units: dict[Any, Unit]) -> dict[Edge, State]:
    """How everything `unit` waits for ended, by edge; for a child of a mapped task, its own share of it."""
    states: dict[Edge, State] = {}
    elements = (unit.parent.elements if unit.parent is not None else None) or {}
    for edge in unit.node.edges:
        upstream = units[edge.upstream_task]
        if unit.index < 0 or not edge.mapped:
            states[edge] = upstream.result_state()
        elif edge in elements:
            states[edge] = elements[edge][unit.index]
        elif upstream.children is not None:
            child = upstream.children[unit.index].state
            assert child is not None
            states[edge] = child
        else:
            whole = upstream.result_state()
            states[edge] = part_of(whole, whole.result[unit.index] if has_elements(whole.result) else None)
    return states


def part_of(whole: State, value: Any) -> State:
    """The state of an upstream task that is mapped over, as a child sees it whose element is `value`."""
    if type(whole) is Success:
        return Success(whole.message, value)
    state = copy.copy(whole)
    state.result = value
    return state


def inputs(unit: Unit, states: dict[Edge, State]) -> dict[str, Any]:
    """The arguments for the task's `run`."""
    arguments = dict(unit.node.constants)
    for edge, state in states.items():
        if edge.key is not None:
            as_it_is = not edge.flattened or edge.mapped
            arguments[edge.key] = state.result if as_it_is else _flattened(state)
    return arguments


def _flattened(state: State) -> Any:
    if not isinstance(state, Mapped):
        return flat(state.result)
    children = (child for child in state.map_states if child is not None)
    return [element for child in children for element in (child.result if _gives_elements(child) else [child.result])]


def _gives_elements(state: State) -> bool:
    """Whether the elements of a child's result take its place where it is flattened; otherwise it counts as one itself."""
    return state.is_successful() and not state.is_skipped() and has_elements(state.result)


def has_elements(value: Any) -> bool:
    """Whether `value` can be mapped over."""
    # A dict has elements by key, not by number; a generator or a set has none that can be addressed.
    return hasattr(value, "__getitem__") and hasattr(value, "__len__") and not isinstance(value, Mapping)


def flat(value: Any) -> Any:
    """The elements of the elements of `value`; `value` itself where these have none."""
    try:
        return [inner for element in value for inner in element]
    except TypeError:
        return value
