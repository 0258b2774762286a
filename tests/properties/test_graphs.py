"""Random graphs with failures, skips and mapped parts, against a slow evaluation that is plainly right."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from prefectlite import Flow, Runtime, signals, task
from prefectlite.states import State


class Spec:
    """One task of a random graph: what it waits for, how it behaves, whether it is mapped over its first upstream."""

    def __init__(self, number: int, upstream: list[int], behaviour: str, mapped: bool, is_async: bool) -> None:
        self.number, self.upstream, self.behaviour = number, upstream, behaviour
        self.mapped, self.is_async = mapped and bool(upstream), is_async


@st.composite
def graphs(draw: st.DrawFn) -> list[Spec]:
    count = draw(st.integers(1, 9))
    specs = []
    for number in range(count):
        candidates = st.sets(st.integers(0, number - 1), max_size=3) if number else st.just(set[int]())
        behaviour = draw(st.sampled_from(["list", "list", "list", "fail", "skip", "empty"]))
        specs.append(Spec(number, sorted(draw(candidates)), behaviour, draw(st.booleans()), draw(st.booleans())))
    return specs


def behave(number: int, behaviour: str, inputs: dict[str, Any]) -> list[Any]:
    if behaviour == "fail":
        raise ValueError(number)
    if behaviour == "skip":
        raise signals.SKIP(str(number))
    return [] if behaviour == "empty" else [number, sum(map(weight, inputs.values()))]


def weight(value: Any) -> int:
    if isinstance(value, list):
        return sum(map(weight, value)) + 1
    return value if isinstance(value, int) else 0


def build(specs: list[Spec]) -> tuple[Flow, list[Any]]:
    tasks: list[Any] = []
    with Flow("random") as flow:
        for spec in specs:
            tasks.append(_task(spec, tasks))
    return flow, tasks


def _task(spec: Spec, tasks: list[Any]) -> Any:
    async def on_the_loop(**inputs: Any) -> list[Any]:
        await asyncio.sleep(0)
        return behave(spec.number, spec.behaviour, inputs)

    def in_a_thread(**inputs: Any) -> list[Any]:
        return behave(spec.number, spec.behaviour, inputs)

    made = task(on_the_loop if spec.is_async else in_a_thread)()
    for place, upstream in enumerate(spec.upstream):
        made.set_upstream(tasks[upstream], key=f"u{upstream}", mapped=spec.mapped and place == 0)
    return made


def expected(specs: list[Spec]) -> list[Any]:
    """("Success", value), ("Failed"|"TriggerFailed"|"Skipped", None) or ("Mapped", [such pairs]) for every task."""
    ends: list[Any] = []
    for spec in specs:
        upstream = {number: ends[number] for number in spec.upstream}
        ends.append(_mapped(spec, upstream) if spec.mapped else _single(spec, upstream))
    return ends


def _single(spec: Spec, upstream: dict[int, Any]) -> tuple[str, Any]:
    each = [end for whole in upstream.values() for end in (whole[1] if whole[0] == "Mapped" else [whole])]
    if any(end[0] == "Skipped" for end in each):
        return "Skipped", None
    if any(end[0] in ("Failed", "TriggerFailed") for end in each):
        return "TriggerFailed", None
    inputs = {f"u{number}": _value(end) for number, end in upstream.items()}
    return _behaved(spec, inputs)


def _mapped(spec: Spec, upstream: dict[int, Any]) -> tuple[str, Any]:
    over = upstream[spec.upstream[0]]
    if any(end[0] == "Skipped" for end in upstream.values()):
        return "Skipped", None
    if over[0] in ("Failed", "TriggerFailed"):
        return "Failed", None
    lanes = over[1] if over[0] == "Mapped" else [("Success", item) for item in over[1]]
    children = []
    for lane in lanes:
        child_upstream = {**upstream, spec.upstream[0]: lane}
        children.append(_single(spec, child_upstream))
    return "Mapped", children


def _behaved(spec: Spec, inputs: dict[str, Any]) -> tuple[str, Any]:
    try:
        return "Success", behave(spec.number, spec.behaviour, inputs)
    except ValueError:
        return "Failed", None
    except signals.SKIP:
        return "Skipped", None


def _value(end: tuple[str, Any]) -> Any:
    return [_value(child) for child in end[1]] if end[0] == "Mapped" else end[1]


def seen(state: State | None) -> tuple[str, Any]:
    assert state is not None
    if state.is_mapped():
        return "Mapped", [seen(child) for child in state.map_states]  # type: ignore[attr-defined]
    return state.name, state.result if state.name == "Success" else None


@given(graphs())
@settings(max_examples=120, deadline=None)
def test_the_engine_does_what_the_reference_does(specs: list[Spec]) -> None:
    async def run() -> None:
        async with Runtime(database_url="sqlite://:memory:", agent=False):
            flow, tasks = build(specs)
            outcome = await flow.run()
            assert [seen(outcome.result[made]) for made in tasks] == expected(specs)

    asyncio.run(run())
