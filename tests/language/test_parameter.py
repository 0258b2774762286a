from __future__ import annotations

from typing import Any

import pytest

from prefectlite import Flow, Parameter, context, task
from prefectlite.errors import DuplicateSlugError, FlowError, ParameterError
from prefectlite.language.parameter import check_parameters
from prefectlite.signals import FAIL


@task
def show(x: Any) -> Any:
    return x


@pytest.fixture
def flow() -> Flow:
    with Flow("greeting") as flow:
        Parameter("name")
        Parameter("times", default=1)
        Parameter("mood", default=None)
        Parameter("tone", default="kind", required=True)
        Parameter("pitch", required=False)
    return flow


@pytest.mark.parametrize(
    ("made", "required", "default"),
    [
        (Parameter("p"), True, None),
        (Parameter("p", default=5), False, 5),
        (Parameter("p", default=None), False, None),
        (Parameter("p", default=5, required=True), True, 5),
        (Parameter("p", required=False), False, None),
        (Parameter("p", 5), False, 5),
    ],
)
def test_what_is_required(made: Parameter, required: bool, default: Any) -> None:
    assert (made.required, made.default) == (required, default)
    assert (made.name, made.slug, made.is_parameter) == ("p", "p", True)
    assert repr(made) == "<Parameter: p>"


def test_it_joins_the_flow_being_written() -> None:
    outside = Parameter("outside", tags=["t"])
    with Flow("f") as flow:
        inside = Parameter("inside")
        assert outside() is outside
    assert flow.parameters() == {inside, outside}
    other = Flow("g")
    assert outside(flow=other) is outside
    assert other.parameters() == {outside}
    with pytest.raises(FlowError, match="Could not infer an active Flow context"):
        Parameter("p")()


def test_a_name_is_taken_once() -> None:
    with Flow("f"):
        Parameter("p")
        with pytest.raises(DuplicateSlugError, match='slug "p" already exists'):
            Parameter("p")


def test_it_waits_for_nothing() -> None:
    with Flow("f"):
        parameter = Parameter("p")
        with pytest.raises(FlowError, match="Parameters must be root tasks"):
            parameter.set_upstream(show(1))


def test_it_is_an_argument_like_any_task() -> None:
    with Flow("f") as flow:
        parameter = Parameter("p")
        shown = show([parameter, 1])
    assert parameter in {up for task in flow.upstream_tasks(shown) for up in flow.upstream_tasks(task)}
    assert flow.parameters() == {parameter}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("values", "result"), [({"p": 1}, 1), ({"p": None}, None), ({}, "default"), ({"other": 1}, "default")]
)
async def test_its_result_is_the_value_given_else_the_default(values: dict[str, Any], result: Any) -> None:
    with context(parameters=values):
        assert await Parameter("p", default="default").run() == result


@pytest.mark.asyncio
async def test_a_required_one_that_is_missing_fails() -> None:
    for parameter in (Parameter("p"), Parameter("p", default=1, required=True)):
        with pytest.raises(FAIL, match='Parameter "p" was required but not provided'):
            await parameter.run()


@pytest.mark.parametrize(
    "values", [{"name": "x", "tone": "y"}, {"name": None, "tone": None, "times": 3, "mood": [], "pitch": 0}]
)
def test_values_that_are_enough(flow: Flow, values: dict[str, Any]) -> None:
    check_parameters(flow, values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "Flow.run did not receive the following required parameters: name, tone"),
        ({"tone": 1}, "Flow.run did not receive the following required parameters: name"),
        (
            {"name": 1, "tone": 1, "zoo": 1, "nam": 1},
            "Flow.run received the following unexpected parameters: nam, zoo."
            " Flow 'greeting' takes: mood, name, pitch, times, tone",
        ),
    ],
)
def test_all_that_is_wrong_is_named(flow: Flow, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        check_parameters(flow, values)
    assert str(caught.value) == message
    assert isinstance(caught.value, ValueError)


def test_a_flow_without_parameters_takes_none() -> None:
    with pytest.raises(ParameterError, match="Flow 'f' takes: none"):
        check_parameters(Flow("f"), {"x": 1})
