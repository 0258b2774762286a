"""The single steps of the reference evaluation: what triggers decide, how a mapped task becomes children, what they get."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from tests.properties.sketches import Raised, Step

SUCCESSFUL = {"Success", "Mapped", "Skipped", "Cached"}
FAILED = {"Failed", "TriggerFailed", "TimedOut", "ValidationFailed"}
FINISHED = SUCCESSFUL | FAILED | {"Cancelled", "Looped"}
WAITING = {"Retrying", "Paused", "Resume"}


@dataclass(eq=False)
class End:
    """A state: of a task, a child or a flow."""

    name: str
    message: Any = None
    value: Any = None
    children: list[End] | None = None  # of Mapped
    attempt: int | None = None  # what a later pass is to know of the attempts so far; of Retrying: the one that failed
    loop: tuple[int, Any] | None = None  # the round it is in, and what the last one gave

    @property
    def result(self) -> Any:
        return self.value if self.children is None else [child.result for child in self.children]

    def each(self) -> list[End]:
        return [self] if self.children is None else self.children


class Wire(NamedTuple):
    """An edge, with what came along it."""

    key: str | None
    mapped: bool
    flattened: bool
    state: End


def trigger(kind: Step, each: list[End], has_upstream: bool) -> End | None:
    """None where the task may run, else the state it ends in."""
    name = kind[0]
    succeeded = sum(end.name in SUCCESSFUL for end in each)
    failed = sum(end.name in FAILED for end in each)
    wrong = {
        "all_successful": (succeeded < len(each), "some of the upstream tasks failed."),
        "all_failed": (failed < len(each), "some of the upstream tasks succeeded."),
        "any_successful": (has_upstream and not succeeded, "none of the upstream tasks succeeded."),
        "any_failed": (has_upstream and not failed, "none of the upstream tasks failed."),
        "not_all_skipped": (succeeded < len(each), "some of the upstream tasks failed."),
    }
    if name == "not_all_skipped" and has_upstream and all(end.name == "Skipped" for end in each):
        return End("Skipped", "All upstreams were skipped")
    if name in wrong and wrong[name][0]:
        message = f'Trigger was "{name}" but {wrong[name][1]}'
        return End("TriggerFailed", message, Raised("TRIGGERFAIL", message))
    if name in ("some_failed", "some_successful") and has_upstream:
        distinct = {id(end): end.name for end in each}.values()
        count = sum(name_ in (FAILED if name == "some_failed" else SUCCESSFUL) for name_ in distinct)
        low, high = (limit * len(distinct) if limit is not None and limit < 1 else limit for limit in kind[1:])
        if (low is not None and count < low) or (high is not None and count > high):
            message = f'Trigger was "{name}" but thresholds were not met.'
            return End("TriggerFailed", message, Raised("TRIGGERFAIL", message))
    return None


def width(wires: list[Wire]) -> End:
    """Mapped with the number of children that these make as its value, or Failed."""
    successful = [wire for wire in wires if wire.mapped and wire.state.name in SUCCESSFUL]
    if any(_count(wire) is None for wire in successful):
        return End("Failed", "At least one upstream state has an unmappable result.")
    if not successful:
        return End("Failed", "No upstream states can be mapped over.")
    return fitting(wires, End("Mapped", "Ready to proceed with mapping."), min(_count(wire) or 0 for wire in successful))


def fitting(wires: list[Wire], mapped: End, most: int) -> End:
    """`mapped` with so many children that each finds an element of all that has elements: `most` of what is no children."""
    counts = []
    for wire in wires:
        if wire.mapped:
            limits = [_count(wire), most if wire.state.children is None and most else None]
            counts += [count for count in limits if count is not None]
    if not counts:
        return End("Failed", "No upstream states can be mapped over.")
    return replace(mapped, value=min(counts))


def lanes_of(wire: Wire, width: int) -> list[Wire]:
    """What comes along an edge for each of so many children."""
    if not wire.mapped:
        return [wire] * width
    # What failed and has no elements gives each of them nothing.
    states = _elements(wire) if _count(wire) is not None else [replace(wire.state, value=None) for _ in range(width)]
    return [wire._replace(mapped=False, flattened=False, state=states[index]) for index in range(width)]


def _count(wire: Wire) -> int | None:
    """How many elements come along a mapped edge; None where what comes has none."""
    if wire.state.children is None and not _can_be_mapped(_flat(wire.state.result) if wire.flattened else wire.state.result):
        return None
    return len(_elements(wire))


def _elements(wire: Wire) -> list[End]:
    """What a mapped edge gives the children, one state each."""
    whole = wire.state
    if whole.children is None:
        value = _flat(whole.result) if wire.flattened else whole.result
        return [replace(whole, value=item) for item in value]
    if not wire.flattened:
        return whole.children
    elements: list[End] = []
    for child in whole.children:
        if child.name not in SUCCESSFUL or child.name == "Skipped" or not _can_be_mapped(child.result):
            elements.append(child)
        else:
            elements.extend(replace(child, value=item) for item in child.result)
    return elements


def argument(wire: Wire) -> Any:
    """What a task is given along an edge."""
    if wire.flattened and wire.state.children is not None:
        return [end.result for end in _elements(wire)]
    return _flat(wire.state.result) if wire.flattened else wire.state.result


def _flat(value: Any) -> Any:
    try:
        return [inner for item in value for inner in item]
    except TypeError:
        return value


def _can_be_mapped(value: Any) -> bool:
    return isinstance(value, list | tuple | str)
