"""Sketches: random flows as plain data, from which a real flow is built and a slow reference evaluates what it must do."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

#: A step of a script, or what a handler does: its kind, then what belongs to it. See `STEPS` and `ACTIONS`.
Step = list[Any]

#: Calls of one unit after which every further step simply returns: scripts may go round in circles.
MOST_CALLS = 10
STEPS = (
    "number",  # return a number that tells of all the call could see
    "list",  # return so many numbers
    "nested",  # return so many lists of numbers
    "echo",  # return the first argument as it came
    "error",  # raise the named exception
    "signal",  # raise the named signal, with a result or without
    "endrun",  # raise ENDRUN with the named state
)
ACTIONS = ("nothing", "same", "return", "signal", "endrun", "error")


@dataclass
class Source:
    """Where an argument, or an order of tasks, comes from: an earlier node, a constant, or a collection of such."""

    kind: str  # "node", "constant", "list", "tuple" or "dict"
    value: Any  # the number of the node, the constant, or the sources that are collected
    key: str | None = None  # the argument; None: it only comes before
    mapped: bool = False
    flattened: bool = False


@dataclass
class Reaction:
    """A state handler that acts on changes to a state of this name, so many times per unit."""

    on: str
    action: Step
    times: int = 1


@dataclass
class Node:
    """One task: what it waits for and how its code behaves, by child, round and attempt; the last ones repeat."""

    sources: list[Source] = field(default_factory=list)
    script: list[list[list[Step]]] = field(default_factory=lambda: [[[["number"]]]])
    trigger: Step = field(default_factory=lambda: ["all_successful"])
    skips: bool = True  # skip_on_upstream_skip
    max_retries: int = 0
    retry_on: list[str] = field(default_factory=list)
    reactions: list[Reaction] = field(default_factory=list)
    given: Step | None = None  # the state it begins in: name, message, result or run_count or, for Mapped, such states
    is_async: bool = False
    workers: int | None = None

    @property
    def is_mapped(self) -> bool:
        return any(source.mapped for source in self.sources)


@dataclass
class Sketch:
    """A flow: its nodes, each after those it waits for, and how it is run."""

    nodes: list[Node]
    reference: list[int] = field(default_factory=list)  # its reference tasks; empty: the default
    resume: bool = False  # whether `resume` is in the context: what would pause goes on
    workers: int | None = None
    coroutines: int | None = None


def of_json(data: dict[str, Any]) -> Sketch:
    """The sketch whose `dataclasses.asdict` this is."""
    nodes = []
    for node in data["nodes"]:
        sources = [_source(source) for source in node["sources"]]
        reactions = [Reaction(**reaction) for reaction in node["reactions"]]
        nodes.append(Node(**{**node, "sources": sources, "reactions": reactions}))
    return Sketch(**{**data, "nodes": nodes})


def _source(data: dict[str, Any]) -> Source:
    if data["kind"] in ("list", "tuple", "dict"):
        return Source(**{**data, "value": [_source(item) for item in data["value"]]})
    return Source(**data)


def step_of(node: Node, index: int, round_number: int, attempt: int) -> Step:
    """What the code of this child (-1: the task itself) does in this round at this attempt."""
    rounds = node.script[max(index, 0) % len(node.script)]
    attempts = rounds[min(round_number, len(rounds)) - 1]
    return attempts[min(attempt, len(attempts)) - 1]


def number_of(*seen: Any) -> int:
    """A small number that tells what was seen apart."""
    return zlib.crc32(repr(shown(seen)).encode()) % 997


def value_of(step: Step, number: int, inputs: dict[str, Any]) -> Any:
    """What a step returns, given the number that tells of its call."""
    if step[0] == "list":
        return [number + i for i in range(step[1])]
    if step[0] == "nested":
        return [[number + i] * i for i in range(step[1])]
    if step[0] == "echo":
        return inputs[min(inputs)] if inputs else None
    return number


def shown(value: Any) -> Any:
    """`value` with all that is raised told by its class and message: so that they can be compared, and printed."""
    if isinstance(value, list):
        return [shown(item) for item in value]
    if isinstance(value, tuple):
        return ["tuple", *map(shown, value)]
    if isinstance(value, dict):
        return {key: shown(item) for key, item in sorted(value.items())}
    if isinstance(value, Raised):
        return f"{value.name}: {value.message}"
    if isinstance(value, TypeError):  # why a task could not be mapped: the reference says no more than that
        return None
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value.args[0] if value.args else None}"
    return value


@dataclass(frozen=True)
class Raised:
    """Stands for an exception or a signal in the reference evaluation, which knows neither."""

    name: str
    message: Any
