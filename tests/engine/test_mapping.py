"""Mapped tasks: when they become children, which elements these get, and how they are gathered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from prefectlite import Flow, case, context, flatten, signals, triggers, unmapped
from prefectlite.states import Cached, Failed, Mapped, Pending, Resume, Retrying, Skipped, State, Success, TriggerFailed
from tests.engine.conftest import Made, Seen

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("in_memory")]


def raising(error: BaseException) -> Callable[[], Any]:
    def body() -> Any:
        raise error

    return body


def shown(value: Any) -> Any:
    return type(value).__name__ if isinstance(value, BaseException) else value


class Pair:
    """Two elements, of no type that is known."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        return index * 10


@pytest.mark.parametrize(
    ("value", "elements"),
    [([1, 2], [1, 2]), ((1, 2), [1, 2]), ("ab", ["a", "b"]), (range(2), [0, 1]), ([], []), ("", []), (Pair(), [0, 10])],
)
async def test_what_can_be_mapped_over(made: Made, value: Any, elements: list[Any]) -> None:
    with Flow("maps") as flow:
        children = made(lambda x: x).map(made(lambda: value)())
        second = made(lambda x: [x]).map(children)
        gathered = made(lambda xs: xs)(second)
    states = (await flow.run()).result
    assert (type(states[children]), states[children].message) == (Mapped, "Ready to proceed with mapping.")
    assert states[children].result == elements
    assert states[gathered].result == [[element] for element in elements]


@pytest.mark.parametrize("value", [1, None, {1, 2}, iter([1]), {"a": 1}])
async def test_what_cannot_be_mapped_over(made: Made, value: Any) -> None:
    with Flow("unmappable") as flow:
        children = made(lambda x: x).map(made(lambda: value, name="source")())
    state = (await flow.run()).result[children]
    assert (type(state), state.message) == (Failed, "At least one upstream state has an unmappable result.")
    assert str(state.result).startswith(f"Task 'source' gave what cannot be mapped over: {type(value).__name__};")


async def test_an_argument_that_is_not_unmapped_must_have_elements(made: Made) -> None:
    with Flow("unmappable") as flow:
        children = made(lambda x, y: x).map(x=made(lambda: [1])(), y=5)
    assert "unmappable" in str((await flow.run()).result[children].message)


async def test_only_unmapped_arguments_make_it_an_ordinary_task(made: Made) -> None:
    with Flow("ordinary") as flow:
        only = made(lambda x, y: x + y).map(unmapped(1), unmapped(2))
    assert (await flow.run()).result[only] == Success(result=3)


async def test_the_shortest_decides(made: Made) -> None:
    with Flow("zip") as flow:
        children = made(lambda x, y, z: (x, y, z)).map([1, 2, 3], made(lambda: "ab")(), unmapped([7, 8]))
    assert (await flow.run())[children] == [(1, "a", [7, 8]), (2, "b", [7, 8])]


async def test_upstream_tasks_are_mapped_over_too(made: Made) -> None:
    with Flow("order") as flow:
        children = made(lambda x: x).map([1, 2, 3], upstream_tasks=[made(lambda: [7, 8])()])
    assert (await flow.run())[children] == [1, 2]


async def test_failures_and_skips_stay_in_their_lane(made: Made) -> None:
    def body(x: int) -> int:
        if x == 1:
            raise signals.SKIP("one")
        return 1 // x

    with Flow("lanes") as flow:
        children = made(body).map([0, 1, 2])
        after = made(lambda x: x).map(children)
        anyway = made(shown, trigger=triggers.all_finished, skip_on_upstream_skip=False).map(children)
    states = (await flow.run()).result
    assert [child.name for child in states[children].map_states] == ["Failed", "Skipped", "Success"]
    assert [child.name for child in states[after].map_states] == ["TriggerFailed", "Skipped", "Success"]
    assert states[anyway].result == ["ZeroDivisionError", "SKIP", 0]


async def test_gathering_looks_at_every_child(made: Made) -> None:
    def body(x: int) -> int:
        if x == 9:
            raise signals.SKIP("nine")
        return 1 // x

    def gather(xs: list[Any]) -> list[Any]:
        return [shown(x) for x in xs]

    with Flow("gather") as flow:
        failing, skipping = made(body).map([1, 0]), made(body).map([1, 9])
        ends = [made(gather)(failing), made(gather, trigger=triggers.all_finished)(failing), made(gather)(skipping)]
        ends.append(made(gather, skip_on_upstream_skip=False)(skipping))
        ends.append(made(lambda x, ys: x).map([1, 2], unmapped(skipping)))
    states = (await flow.run()).result
    assert [states[end].name for end in ends] == ["TriggerFailed", "Success", "Skipped", "Success", "Skipped"]
    assert states[ends[1]].result == [1, "ZeroDivisionError"]
    assert states[ends[3]].result == [1, "SKIP"]
    assert states[failing].result[0] == 1
    assert isinstance(states[failing].result[1], ZeroDivisionError)


async def test_what_is_mapped_over_failed_or_was_skipped(made: Made) -> None:
    with Flow("upstream") as flow:
        failed, skipped = made(raising(ValueError("u")))(), made(raising(signals.SKIP("s")))()
        ends = [made(lambda x: x).map(upstream) for upstream in (failed, skipped)]
        beside = made(lambda x: x).map([1], upstream_tasks=[unmapped(failed)])
        beside_skipped = made(lambda x: x).map([1], upstream_tasks=[unmapped(skipped)])
    states = (await flow.run()).result
    assert states[ends[0]] == Failed()
    assert states[ends[0]].message == "No upstream states can be mapped over."
    assert [states[ends[1]].name, states[beside].name, states[beside_skipped].name] == ["Skipped", "Mapped", "Skipped"]
    assert isinstance(states[beside].map_states[0], TriggerFailed)


@pytest.mark.parametrize(
    ("end", "given"),
    [
        (ValueError("u"), [None, None]),
        (signals.FAIL("f", result=[7, 8]), [7, 8]),
        (signals.SKIP("s", result="ab"), ["a", "b"]),
    ],
)
async def test_children_see_the_state_of_the_whole_with_their_element(made: Made, end: BaseException, given: Any) -> None:
    kinds: list[str] = []

    def trigger(states: dict[Any, State]) -> bool:
        kinds.extend(state.name for edge, state in states.items() if edge.key == "y")
        return True

    with Flow("elements") as flow:
        task = made(lambda x, y: y, trigger=trigger, skip_on_upstream_skip=False)
        children = task.map([1, 2], made(raising(end))())
    assert (await flow.run()).result[children].result == given
    assert kinds == ["Skipped" if isinstance(end, signals.SKIP) else "Failed"] * 2


async def test_a_mapped_task_does_not_ask_its_trigger(made: Made) -> None:
    with Flow("trigger") as flow:
        children = made(lambda x: x, trigger=triggers.all_failed).map(made(lambda: [1])())
    state = (await flow.run()).result[children]
    assert [child.name for child in state.map_states] == ["TriggerFailed"]
    assert isinstance(state, Mapped)


async def test_what_a_child_knows_of_itself(made: Made) -> None:
    def body(x: int) -> list[Any]:
        return [context.map_index, context.task_name, context.task_full_name, context.logger.name.split(".")[-1]]

    with Flow("context") as flow:
        children = made(body).map([5, 6])
    assert (await flow.run())[children] == [[0, "t", "t[0]", "t[0]"], [1, "t", "t[1]", "t[1]"]]


async def test_in_a_case_that_does_not_match(made: Made) -> None:
    with Flow("case") as flow, case(made(lambda: 1)(), 2):
        children = made(lambda x: x).map(made(lambda: [1])())
    assert (await flow.run()).result[children].is_skipped()


# -- flatten --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "elements"),
    [
        ([[1, 2], [3]], [1, 2, 3]),
        ([1, 2], [1, 2]),
        (["ab", "c"], ["a", "b", "c"]),
        ([[1], 2], [[1], 2]),
        ([{"a": 1, "b": 2}], ["a", "b"]),
        ([[], [1], []], [1]),
        ({"ab": 1}, ["a", "b"]),
        (((1,), (2,)), [1, 2]),
    ],
)
async def test_flatten(made: Made, value: Any, elements: list[Any]) -> None:
    with Flow("flat") as flow:
        source = made(lambda: value)()
        children = made(lambda x: x).map(flatten(source))
        whole = made(lambda x: x)(flatten(source))
    states = (await flow.run()).result
    assert (states[children].result, states[whole].result) == (elements, elements)


async def test_flatten_of_children(made: Made, caplog: pytest.LogCaptureFixture) -> None:
    def body(x: int) -> Any:
        return {1: [1, 1], 2: 2, 3: "ab"}[x]

    with Flow("flat") as flow:
        inner = made(body, name="inner").map([1, 2, 3, 4])
        children = made(lambda x: x).map(flatten(inner))
    states = (await flow.run()).result
    ends = [(child.name, None if child.is_failed() else child.result) for child in states[children].map_states]
    values = [("Success", value) for value in (1, 1, 2, "a", "b")]
    assert ends == [*values, ("TriggerFailed", None)]
    assert "cannot be flattened" in caplog.text


# -- states that are given --------------------------------------------------------------------------------------------------


async def test_given_children_are_not_run_again(made: Made) -> None:
    ran: list[int] = []
    with Flow("given") as flow:
        source = made(lambda: [1, 2, 3])()
        children = made(lambda x: ran.append(x) or x).map(source)
    given = Mapped(map_states=[Success(result=10), None, Failed("x")])
    state = (await flow.run(task_states={source: Success(result=[1, 2, 3]), children: given})).result[children]
    assert [child.name for child in state.map_states] == ["Success", "Success", "Failed"]
    assert (ran, state.result[:2]) == ([2], [10, 2])


@pytest.mark.parametrize(
    ("value", "number", "expected"),
    [([1, 2, 3], 3, [1, 2, 3]), ([1, 2, 3], 2, [1, 2]), ([1], 3, [1]), (None, 2, [None, None])],
)
async def test_as_many_children_as_given(made: Made, value: Any, number: int, expected: list[Any]) -> None:
    with Flow("given") as flow:
        source = made(lambda: [])()
        children = made(lambda x: x).map(source)
    given = {source: Success(result=value), children: Mapped(n_map_states=number)}
    assert (await flow.run(task_states=given)).result[children].result == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (Pending("p"), [[4, 1, None]]),
        (Retrying("r", run_count=2), [[4, 3, None]]),
        (Resume("r"), [[4, 1, True]]),
        (Skipped("s"), None),
        (Failed("f"), None),
    ],
)
async def test_a_mapped_task_that_is_given_a_state(made: Made, given: State, expected: Any) -> None:
    with Flow("given") as flow:
        children = made(lambda x: [x, context.task_run_count, context.get("resume")]).map([4])
    state = (await flow.run(task_states={children: given})).result[children]
    assert state.result == expected
    assert expected is not None or state is given


async def test_a_mapped_task_whose_whole_result_is_given(made: Made) -> None:
    with Flow("given") as flow:
        children = made(lambda x: x).map([4])
        after, whole = made(lambda x: x * 2).map(children), made(lambda xs: xs)(children)
    run = await flow.run(task_states={children: Success(result=[7, 8])})
    assert (run[after], run[whole]) == ([14, 16], [7, 8])


async def test_caches_of_siblings_are_none(made: Made, seen: Seen) -> None:
    with Flow("siblings") as flow:
        children = made(lambda x: x, cache_for=3600).map([1, 2])
    assert (await flow.run())[children] == [1, 2]
    run = await flow.run()
    assert run[children] == [1, 2]
    assert all(isinstance(child, Cached) for child in run.result[children].map_states)
