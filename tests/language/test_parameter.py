from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from prefectlite import Flow, Parameter, context, task
from prefectlite.errors import DuplicateSlugError, FlowError, ParameterError
from prefectlite.language.parameter import DateTimeParameter, check_parameters
from prefectlite.signals import FAIL


@task
def show(x: Any) -> Any:
    return x


TAKES = "Flow 'greeting' takes: mood=None, name, pitch=None, times=1, tone"


@pytest.fixture
def flow() -> Flow:
    with Flow("greeting") as flow:
        Parameter("name")()
        Parameter("times", default=1)()
        Parameter("mood", default=None)()
        Parameter("tone", default="kind", required=True)()
        Parameter("pitch", required=False)()
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


def test_it_joins_the_flow_where_it_is_used() -> None:
    outside = Parameter("outside", tags=["t"])
    with Flow("f") as flow:
        inside, used, unused = Parameter("inside"), Parameter("used"), Parameter("unused")
        assert flow.parameters() == set()
        assert outside() is outside
        assert inside(flow=flow) is inside
        show(used)
    assert flow.parameters() == {inside, outside, used}
    assert flow.unused_tasks() == [unused]
    other = Flow("g")
    assert outside(flow=other) is outside
    assert other.parameters() == {outside}
    with pytest.raises(FlowError, match="Could not infer an active Flow context"):
        Parameter("p")()


def test_its_call_takes_nothing_but_a_flow() -> None:
    with Flow("f"), pytest.raises(TypeError, match="upstream_tasks"):
        Parameter("p")(upstream_tasks=[])  # type: ignore[call-arg]


def test_a_copy_is_another_parameter() -> None:
    original = Parameter("p", default=3, tags=["a"])
    copied = original.copy("q", tags=["b"])
    assert (copied.name, copied.slug, copied.default, copied.required, copied.tags) == ("q", "q", 3, False, {"a", "b"})
    assert original.copy("q", default=5).default == 5
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'name'"):
        original.copy()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="multiple values for keyword argument 'slug'"):
        original.copy("q", slug="s")
    with Flow("f"), pytest.raises(TypeError, match="missing 1 required positional argument: 'name'"):
        original.map([1])


def test_its_result_is_kept() -> None:
    assert Parameter("p").checkpoint is True


def test_a_name_is_taken_once() -> None:
    with Flow("f"):
        Parameter("p")
        Parameter("p")()
        with pytest.raises(DuplicateSlugError, match=r'^A task with the slug "p" already exists in this flow\.'):
            Parameter("p")()


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
        ({}, f"Flow.run did not receive the following required parameters: name, tone. {TAKES}"),
        ({"tone": 1}, f"Flow.run did not receive the following required parameters: name. {TAKES}"),
        (
            {"name": 1, "tone": 1, "zoo": 1, "nam": 1},
            f"Flow.run received the following unexpected parameters: nam, zoo. Did you mean 'name'? {TAKES}",
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


UTC_DAY = datetime(2020, 1, 1, tzinfo=UTC)
EAST = timezone(timedelta(hours=2))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("value", "result"),
    [
        ("2020-01-01", UTC_DAY),
        ("2020-01-01T00:00:00Z", UTC_DAY),
        ("2020-01-01T10:30:00.5+02:00", datetime(2020, 1, 1, 10, 30, 0, 500_000, tzinfo=EAST)),
        (datetime(2020, 1, 1), UTC_DAY),
        (datetime(2020, 1, 1, tzinfo=EAST), datetime(2020, 1, 1, tzinfo=EAST)),
        (None, None),
    ],
)
async def test_a_datetime_is_made_of_text(value: Any, result: datetime | None) -> None:
    with context(parameters={"d": value}):
        made = await DateTimeParameter("d").run()
    assert made == result
    assert made is None or made.tzinfo is not None


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("value", "error", "words"),
    [("junk", ValueError, "not 'junk'"), (5, TypeError, "not 5"), (date(2020, 1, 1), TypeError, "not datetime.date")],
)
async def test_what_is_no_datetime_is_named(value: Any, error: type[Exception], words: str) -> None:
    with context(parameters={"d": value}), pytest.raises(error, match=f"Parameter 'd' takes a datetime .*{words}"):
        await DateTimeParameter("d").run()


@pytest.mark.asyncio
async def test_a_datetime_with_a_default_is_optional() -> None:
    assert DateTimeParameter("d").required
    with_default = DateTimeParameter("d", default="2020-01-01")
    assert not with_default.required
    assert await with_default.run() == UTC_DAY
    assert await DateTimeParameter("d", required=False).run() is None
    with pytest.raises(FAIL, match='Parameter "d" was required but not provided'):
        await DateTimeParameter("d", default="2020-01-01", required=True).run()
    assert repr(with_default) == "<Parameter: d>"
