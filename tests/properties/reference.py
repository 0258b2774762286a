"""A slow evaluation of a sketch, after what Prefect says that tasks do: task by task, child by child, in plain Python.

It knows nothing of the engine: no concurrency, no record, no waiting.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.properties.reference_steps import (
    FAILED,
    FINISHED,
    SUCCESSFUL,
    WAITING,
    End,
    Wire,
    argument,
    fitting,
    lanes_of,
    trigger,
    width,
)
from tests.properties.sketches import MOST_CALLS, Node, Raised, Sketch, Source, Step, number_of, step_of, value_of

OF_SIGNAL = {
    "FAIL": "Failed", "TRIGGERFAIL": "TriggerFailed", "VALIDATIONFAIL": "ValidationFailed", "SUCCESS": "Success",
    "SKIP": "Skipped", "RETRY": "Retrying", "LOOP": "Looped", "PAUSE": "Paused",
}  # fmt: skip
UPSTREAM_SKIPPED = (
    "Upstream task was skipped; if this was not the intended behavior, consider changing"
    " `skip_on_upstream_skip=False` for this task."
)


class Ended(Exception):
    """The pass of a task ends in this state."""

    def __init__(self, state: End) -> None:
        super().__init__(state)
        self.state = state


@dataclass
class Ledger:
    """What happened to one unit: the calls of its code, and which changes its handlers saw."""

    calls: list[tuple[int, int]] = field(default_factory=list)  # in which rounds, at which attempts
    seen: list[tuple[str, str]] = field(default_factory=list)
    reacted: dict[int, int] = field(default_factory=dict)


class Evaluation:
    """Evaluates a sketch. `constants_vote`: keyed constants are upstream successes to triggers, as in Prefect."""

    def __init__(self, sketch: Sketch, constants_vote: bool = False) -> None:
        self.sketch, self.constants_vote = sketch, constants_vote
        self.ledgers: dict[tuple[int, int], Ledger] = {}
        self.ends: list[End] = []
        self.strange: str | None = None  # why nobody can say what is right
        for number, node in enumerate(sketch.nodes):
            self.ends.append(self.task(number, node))
        self.final = self.flow()

    def flow(self) -> End:
        waited_for = {number for node in self.sketch.nodes for source in node.sources for number in _numbers(source)}
        default = [number for number in range(len(self.ends)) if number not in waited_for]
        names = {end.name for number in self.sketch.reference or default for end in self.ends[number].each()}
        if names & FAILED:
            return End("Failed", "Some reference tasks failed.")
        if names <= SUCCESSFUL:
            return End("Success", "All reference tasks succeeded.")
        return End("Success", "No reference tasks failed.")

    # -- one task -----------------------------------------------------------------------------------------------------

    def task(self, number: int, node: Node) -> End:
        start = given(node.given)
        if start.name in FINISHED and start.name != "Mapped":
            return start
        wires = [wire for source in node.sources if (wire := self.wire(source)) is not None]
        constants = {str(source.key): source.value for source in node.sources if is_inline(source)}
        if not node.is_mapped:
            return self.unit(number, node, -1, wires, constants, start)
        state = self.expansion(number, node, wires, start)
        if state.name != "Mapped":
            return state
        starts, count = start.children or [], int(state.value)
        lanes = [lanes_of(wire, count) for wire in wires]
        children = []
        for index in range(count):
            begin = End("Pending") if start.name == "Mapped" else start  # what the parent was given holds for each child
            begin = starts[index] if index < len(starts) else begin
            children.append(self.unit(number, node, index, [lane[index] for lane in lanes], constants, begin))
        return End("Mapped", state.message, children=children)

    def wire(self, source: Source) -> Wire | None:
        if is_inline(source):
            return None
        return Wire(source.key, source.mapped, source.flattened, self.source(source))

    def source(self, source: Source) -> End:
        if source.kind == "node":
            return self.ends[int(source.value)]
        if source.kind == "constant":
            return End("Success", "Auto-generated constant value", source.value)
        items = [self.source(item) for item in source.value]
        each = [end for item, end in zip(source.value, items, strict=True) for end in end.each() if not is_inline(item)]
        if any(end.name == "Skipped" for end in each):
            return End("Skipped", UPSTREAM_SKIPPED)
        if (wrong := trigger(["all_successful"], each, False)) is not None:
            return wrong
        values = [end.result for end in items]
        kinds = {"list": list, "tuple": tuple, "dict": lambda them: {f"k{i}": one for i, one in enumerate(them)}}
        return End("Success", "Task run succeeded.", kinds[source.kind](values))

    def expansion(self, number: int, node: Node, wires: list[Wire], start: End) -> End:
        """Mapped with the number of children as its value, or why there are none."""
        whole = [end for wire in wires for end in ([wire.state] if wire.mapped else wire.state.each())]
        self.attempt, self.loop = 1, None
        if node.skips and any(end.name == "Skipped" for end in whole):
            state = End("Skipped", UPSTREAM_SKIPPED)
        elif start.name == "Mapped":
            state = fitting(wires, start, len(start.children or []))
            if state.name == "Mapped":
                return state  # nothing changes, so there is nothing for handlers to see
        else:
            state = width(wires)
        try:
            state = self.see(number, -1, node, start, state)
        except Ended as end:
            state = end.state
        if state.name not in FINISHED - {"Looped"}:
            self.strange = f"a handler leaves {number}, which is mapped, in a state in which it does not end"
        return state

    # -- one unit, pass by pass -----------------------------------------------------------------------------------------

    def unit(self, number: int, node: Node, index: int, wires: list[Wire], constants: dict[str, Any], state: End) -> End:
        if state.name in FINISHED:
            return state
        while True:
            try:
                state = self.once(number, node, index, wires, constants, state)
                if state.name == "Looped":
                    assert state.loop is not None
                    state = End("Pending", state.message, loop=(state.loop[0] + 1, state.value))
            except Ended as end:
                state = end.state
            if state.name in FINISHED:
                return state

    def once(self, number: int, node: Node, index: int, wires: list[Wire], constants: dict[str, Any], state: End) -> End:
        self.attempt = state.attempt or 1
        if state.name == "Retrying":
            self.attempt += 1
        self.loop = state.loop
        self.resume = self.sketch.resume or state.name in ("Resume", "Paused")
        each = [end for wire in wires for end in wire.state.each()]
        if node.skips and any(end.name == "Skipped" for end in each):
            raise Ended(self.see(number, index, node, state, End("Skipped", UPSTREAM_SKIPPED)))
        inputs = {**constants, **{wire.key: argument(wire) for wire in wires if wire.key is not None}}
        if self.constants_vote:
            each = each + [End("Success") for _ in constants]
        has_upstream = bool(wires) or (self.constants_vote and bool(constants))
        if (wrong := trigger(node.trigger, each, has_upstream)) is not None:
            raise Ended(self.see(number, index, node, state, wrong))
        running = self.see(number, index, node, state, End("Running", "Starting task run."))
        if running.name != "Running":
            raise Ended(running)
        outcome, ends = self.call(number, node, index, inputs)
        state = self.see(number, index, node, running, outcome)
        if ends:
            raise Ended(state)
        if state.name in FAILED and self.attempt <= node.max_retries and self.is_retried(node, state):
            message = f"Retrying Task (after attempt {self.attempt} of {node.max_retries + 1})"
            state = self.see(number, index, node, state, End("Retrying", message, attempt=self.attempt, loop=self.loop))
        return state

    def is_retried(self, node: Node, state: End) -> bool:
        kinds = {"ValueError": ("ValueError", "Exception"), "KeyError": ("KeyError", "Exception")}
        name = state.value.name if isinstance(state.value, Raised) else ""
        return not node.retry_on or any(kind in node.retry_on for kind in kinds.get(name, ()))

    def call(self, number: int, node: Node, index: int, inputs: dict[str, Any]) -> tuple[End, bool]:
        """How the code ends, and whether that is the end of the pass."""
        ledger = self.ledgers.setdefault((number, index), Ledger())
        round_number, last = self.loop or (1, None)
        ledger.calls.append((round_number, self.attempt))
        told = number_of(number, index, round_number, self.attempt, last, inputs)
        step = step_of(node, index, round_number, self.attempt) if len(ledger.calls) <= MOST_CALLS else ["number"]
        if step[0] == "signal" and step[1] == "PAUSE" and self.resume:
            step = ["number"]
        if step[0] == "error":
            message = f"Error during execution of task: {step[1]}({told!r})"
            return End("Failed", message, Raised(step[1], told)), False
        if step[0] == "signal":
            return self.signalled(step[1], f"signal {told}", told if step[2] else Raised), False
        if step[0] == "endrun":
            return self.made(step[1], "the end", told), True
        return End("Success", "Task run succeeded.", value_of(step, told, inputs)), False

    def signalled(self, name: str, message: str, result: Any) -> End:
        return self.made(OF_SIGNAL[name], message, Raised(name, message) if result is Raised else result)

    def made(self, name: str, message: str, result: Any) -> End:
        """A state made while a task runs: it knows of the attempt, and of the round."""
        state = End(name, message, result)
        if name in WAITING:
            state.attempt = self.attempt
        if name == "Looped":
            state.loop = (self.loop[0] if self.loop else 1, None)
        return state

    # -- handlers -----------------------------------------------------------------------------------------------------

    def see(self, number: int, index: int, node: Node, old: End, new: End) -> End:
        ledger = self.ledgers.setdefault((number, index), Ledger())
        ledger.seen.append((old.name, new.name))
        for place, reaction in enumerate(node.reactions):
            if reaction.on != new.name or ledger.reacted.get(place, 0) >= reaction.times:
                continue
            ledger.reacted[place] = ledger.reacted.get(place, 0) + 1
            kind, *rest = reaction.action
            if kind == "error":
                message = "Unexpected error while calling state handlers: RuntimeError('handler')"
                raise Ended(End("Failed", message, Raised("RuntimeError", "handler")))
            if kind == "endrun":
                raise Ended(self.made(rest[0], "handled", 7))
            if kind == "signal":
                state = self.signalled(rest[0], "handled", 7 if rest[1] else Raised)
                if rest[0] == "PAUSE":
                    raise Ended(state)
                return state
            if kind == "return":
                new = self.made(rest[0], "handled", 7)
        return new


def given(data: Step | None) -> End:
    """The state a task is given."""
    if data is None:
        return End("Pending")
    name, message, detail = data
    if name == "Mapped":
        return End(name, message, value=len(detail), children=[given(child) for child in detail])
    if name == "Retrying":
        return End(name, message, attempt=detail)
    return End(name, message, detail)


def is_inline(source: Source) -> bool:
    """Whether it is an argument that is no task: a constant that is not mapped over."""
    return source.kind == "constant" and source.key is not None and not source.mapped


def _numbers(source: Source) -> list[int]:
    if source.kind == "node":
        return [source.value]
    return [] if source.kind == "constant" else [number for item in source.value for number in _numbers(item)]
