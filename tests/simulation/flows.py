"""Small random flows of async tasks, and how each of their tasks ends if nobody interferes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from prefectlite import Flow, context, get_logger, mapped, task
from prefectlite.signals import PAUSE
from prefectlite.triggers import all_finished, all_successful

#: (task, map index; -1 for one that is not mapped)
Place = tuple[int, int]


@dataclass
class Node:
    """A task: its upstream tasks, and what its code does."""

    kind: str  # "number", "list", "mapped" over its first upstream, which is a list or mapped itself
    upstream: list[int]
    failures: int = 0  # so many first attempts raise
    retries: int = 0
    retry_delay: float = 0.0
    pauses: str = ""  # "" | "until told" | "for a while"
    sleeps: tuple[float, ...] = (0.0,)
    width: int = 0
    any_end: bool = False  # begins however its upstreams ended
    logs: bool = False


@dataclass
class Plan:
    """A flow, and how all of it ends."""

    nodes: list[Node]
    ends: dict[Place, str] = field(default_factory=dict)
    values: dict[Place, Any] = field(default_factory=dict)
    flow_end: str = "Success"


def plan(dice: random.Random) -> Plan:
    """A random small flow."""
    nodes: list[Node] = []
    for number in range(dice.choice((1, 2, 3, 3, 4))):
        upstream = [other for other in range(number) if dice.random() < 0.6]
        over = next((other for other in upstream if nodes[other].kind in ("list", "mapped")), None)
        kind = "mapped" if over is not None and dice.random() < 0.7 else dice.choice(("number", "number", "list"))
        if kind == "mapped":
            upstream = [over, *(other for other in upstream if other != over and nodes[other].kind == "number")]  # type: ignore[list-item]
        failures = dice.choice((0, 0, 0, 1, 1, 2))
        nodes.append(
            Node(
                kind,
                upstream,
                failures,
                retries=dice.choice((0, 1, 2)) if failures else 0,
                retry_delay=dice.choice((0.0, 0.05, 2.0, 40.0)),
                pauses=dice.choice(("", "", "", "", "until told", "for a while")) if kind != "mapped" else "",
                sleeps=tuple(dice.choice((0.0, 0.0, 0.01, 0.3, 5.0, 20.0)) for _ in range(dice.choice((0, 1, 1, 2)))),
                width=dice.choice((0, 1, 2, 3)),
                any_end=kind != "mapped" and dice.random() < 0.2,
                logs=dice.random() < 0.2,
            )
        )
    return _ended(Plan(nodes))


def build(number: int, made: Plan, on_start: Callable[[int], None]) -> Flow:
    """The flow of a plan; `on_start` is called with the task's number whenever its code begins."""
    tasks: list[Any] = []
    with Flow(f"flow {number}") as flow:
        for place, node in enumerate(made.nodes):
            inputs: list[Any] = [tasks[other] for other in node.upstream]
            if node.kind == "mapped":
                inputs = [mapped(inputs[0]), *inputs[1:]]
            one = _task(place, node, on_start)
            if node.any_end:
                one.bind(upstream_tasks=inputs)
            else:
                one.bind(**{f"x{other}": value for other, value in zip(node.upstream, inputs, strict=True)})
            tasks.append(one)
    return flow


def _task(number: int, node: Node, on_start: Callable[[int], None]) -> Any:
    async def code(**inputs: Any) -> Any:
        on_start(number)
        attempt = context.get("task_run_count")
        if node.logs:
            get_logger("of-the-user").info("attempt %s", attempt)
        for seconds in node.sleeps:
            await asyncio.sleep(seconds)
        if node.pauses and not context.get("resume"):
            raise PAUSE("wait", start_time=_later() if node.pauses == "for a while" else None)
        if attempt <= node.failures:
            raise ValueError(f"attempt {attempt}")
        return value_of(number, node, inputs)

    retrying = {"max_retries": node.retries, "retry_delay": timedelta(seconds=node.retry_delay)} if node.retries else {}
    trigger = all_finished if node.any_end else all_successful
    return task(code, name=f"t{number}", trigger=trigger, **retrying)


def value_of(number: int, node: Node, inputs: dict[str, Any]) -> Any:
    """What the code of a task returns."""
    total = number + sum(_told(value) for value in inputs.values())
    return [total + i for i in range(node.width)] if node.kind == "list" else total


def _told(value: Any) -> int:
    return sum(map(_told, value)) if isinstance(value, list) else int(value)


def _later() -> Any:
    from prefectlite.clock import current_time

    return current_time() + timedelta(seconds=3)


def _ended(made: Plan) -> Plan:
    """Fill in how everything ends."""
    for number, node in enumerate(made.nodes):
        if node.kind != "mapped":
            _end(made, number, -1, {})
            continue
        _expand(made, number, node)
    used = {other for node in made.nodes for other in node.upstream}
    ends = [made.ends[number, -1] for number in range(len(made.nodes)) if number not in used]
    children = {
        number: [made.ends[place] for place in made.ends if place[0] == number and place[1] >= 0]
        for number in range(len(made.nodes))
    }
    finals = [
        end
        for number in range(len(made.nodes))
        if number not in used
        for end in (children[number] or [made.ends[number, -1]])
    ]
    made.flow_end = "Failed" if any(end.endswith("Failed") for end in [*finals, *ends]) else "Success"
    return made


def _expand(made: Plan, number: int, node: Node) -> None:
    over = node.upstream[0]
    if made.nodes[over].kind == "mapped" and made.ends[over, -1] == "Mapped":
        elements: list[Any] = [made.ends[over, index] for index in range(_width(made, over))]
        width = len(elements)
    elif made.ends[over, -1] == "Success":
        width = len(made.values[over, -1])
    else:
        made.ends[number, -1] = "Failed"
        return
    made.ends[number, -1] = "Mapped"
    for index in range(width):
        _end(made, number, index, {over: index})


def _width(made: Plan, number: int) -> int:
    return sum(place[0] == number and place[1] >= 0 for place in made.ends)


def _end(made: Plan, number: int, index: int, elements: dict[int, int]) -> None:
    node = made.nodes[number]
    inputs: dict[str, Any] = {}
    for other in node.upstream:
        ends, value = _seen(made, other, elements.get(other))
        if not node.any_end and any(end.endswith("Failed") for end in ends):
            made.ends[number, index] = "TriggerFailed"
            return
        inputs[f"x{other}"] = value
    if node.failures > node.retries:
        made.ends[number, index] = "Failed"
        return
    made.ends[number, index] = "Success"
    made.values[number, index] = value_of(number, node, {} if node.any_end else inputs)


def _seen(made: Plan, other: int, element: int | None) -> tuple[list[str], Any]:
    """How an upstream ended, and what it gives."""
    if made.nodes[other].kind == "mapped" and made.ends[other, -1] == "Mapped":
        places = [(other, element)] if element is not None else [(other, index) for index in range(_width(made, other))]
        values = [made.values.get(place) for place in places]
        return [made.ends[place] for place in places], values[0] if element is not None else values
    value = made.values.get((other, -1))
    return [made.ends[other, -1]], value[element] if element is not None and value is not None else value
