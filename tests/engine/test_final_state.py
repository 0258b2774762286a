"""How flow runs end, what their handlers see and make of it, and what every run knows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from prefectlite import Flow, Parameter, context, raise_on_exception, signals, triggers
from prefectlite.states import Cancelled, Failed, Skipped, State, Success
from tests.engine.conftest import Made

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("in_memory")]


def ok() -> int:
    return 1


def fail() -> None:
    raise ValueError("u")


def skip() -> None:
    raise signals.SKIP("s")


def cancel() -> None:
    raise signals.ENDRUN(Cancelled("c"))


NO_STATE = "Unexpected error: TypeError(\"the terminal state handler of flow 'ends' must return a State or None, not 'x'\")"
SUCCEEDED, NONE_FAILED, FAILED = (
    "All reference tasks succeeded.",
    "No reference tasks failed.",
    "Some reference tasks failed.",
)


@pytest.mark.parametrize(
    ("bodies", "message"),
    [
        ([], SUCCEEDED),
        ([ok], SUCCEEDED),
        ([skip], SUCCEEDED),
        ([ok, skip], SUCCEEDED),
        ([cancel], NONE_FAILED),
        ([ok, cancel], NONE_FAILED),
        ([fail], FAILED),
        ([ok, fail], FAILED),
        ([fail, cancel], FAILED),
    ],
)
async def test_reference_tasks_decide(made: Made, bodies: list[Callable[[], Any]], message: str) -> None:
    with Flow("ends") as flow:
        for body in bodies:
            made(body)()
    state = (await flow.run()).state
    assert (type(state), state.message) == (Failed if message == FAILED else Success, message)
    assert set(state.result) == flow.tasks


async def test_chosen_reference_tasks_and_children(made: Made) -> None:
    with Flow("ends") as flow:
        first = made(ok)()
        last = made(lambda x: x // 0)(first)
        children = made(lambda x: 1 // x).map([1, 0], upstream_tasks=[first])
    assert (await flow.run()).message == FAILED
    flow.set_reference_tasks([first])
    assert (await flow.run()).message == SUCCEEDED
    flow.set_reference_tasks([children])
    assert (await flow.run()).message == FAILED
    assert last in flow.tasks


async def test_a_failure_that_is_dealt_with(made: Made) -> None:
    with Flow("ends") as flow:
        made(ok, trigger=triggers.any_failed)(upstream_tasks=[made(fail)()])
    assert (await flow.run()).message == SUCCEEDED


# -- the terminal state handler -------------------------------------------


def raising(error: BaseException) -> Callable[..., Any]:
    def handler(*args: Any) -> Any:
        raise error

    return handler


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (lambda flow, state, reference: None, (Failed, FAILED)),
        (lambda flow, state, reference: Success("other"), (Success, "other")),
        (lambda flow, state, reference: Skipped("other", {"a": 1}), (Skipped, "other")),
        (lambda flow, state, reference: setattr(state, "message", "changed"), (Failed, "changed")),
        (raising(signals.FAIL("f")), (Failed, "f")),
        (raising(signals.SKIP("s")), (Skipped, "s")),
        (raising(signals.ENDRUN(Success("e"))), (Success, "e")),
        (raising(ValueError("v")), (Failed, "Unexpected error: ValueError('v')")),
        (raising(SystemExit(3)), (Failed, "Unexpected error: SystemExit(3)")),
        (lambda flow, state, reference: False, (Failed, FAILED)),
        (lambda flow, state, reference: "x", (Failed, NO_STATE)),
    ],
)
async def test_the_terminal_state_handler_has_the_last_word(made: Made, handler: Any, expected: Any) -> None:
    changes: list[Any] = []
    with Flow("ends", terminal_state_handler=handler, state_handlers=[lambda f, old, new: changes.append(new)]) as flow:
        only = made(fail)()
    run = await flow.run()
    assert (type(run.state), run.message) == expected
    assert run.result[only].is_failed()
    assert changes[-1] is run.state


async def test_what_the_terminal_state_handler_is_told(made: Made) -> None:
    told: list[Any] = []
    with Flow("ends", terminal_state_handler=lambda *args: told.extend(args)) as flow:
        one, two = made(ok)(), made(fail)()
    run = await flow.run()
    assert told[0] is flow
    assert told[1] is run.state
    assert told[2] == {run.result[one], run.result[two]}


# -- state handlers of flows ----------------------------------------------


async def test_handlers_of_a_flow_see_two_changes_however_often_tasks_are_retried(made: Made) -> None:
    changes: list[Any] = []

    def handler(flow: Flow, old: State, new: State) -> None:
        changes.append((flow.name, old.name, new.name, new.message, context.flow_name))

    attempts: list[int] = []

    def body() -> int:
        attempts.append(1)
        return 1 // (len(attempts) - 1)

    with Flow("ends", state_handlers=[handler]) as flow:
        made(body, max_retries=2, retry_delay=0)()
    await flow.run()
    assert changes == [
        ("ends", "Scheduled", "Running", "Running flow.", "ends"),
        ("ends", "Running", "Success", SUCCEEDED, "ends"),
    ]


async def test_on_failure_comes_after_the_handlers_and_only_then(made: Made) -> None:
    order: list[str] = []
    for body in (ok, fail):
        with Flow("ends", state_handlers=[], on_failure=lambda f, s: order.append(f"{f.name} {s.name}")) as flow:
            made(body)()
        await flow.run()
    assert order == ["ends Failed"]


@pytest.mark.parametrize(
    ("name", "error", "expected", "runs"),
    [
        ("Running", ValueError("v"), (Failed, "Unexpected error while calling state handlers: ValueError('v')"), 0),
        ("Running", SystemExit(3), (Failed, "Unexpected error while calling state handlers: SystemExit(3)"), 0),
        ("Running", signals.FAIL("f"), (Failed, "f"), 0),
        ("Success", signals.SKIP("s"), (Skipped, "s"), 1),
        ("Success", signals.ENDRUN(Failed("e")), (Failed, "e"), 1),
    ],
)
async def test_what_a_handler_of_a_flow_raises(
    made: Made, name: str, error: BaseException, expected: Any, runs: int
) -> None:
    def handler(flow: Flow, old: State, new: State) -> None:
        if new.name == name:
            raise error

    ran: list[int] = []
    with Flow("ends", state_handlers=[handler]) as flow:
        only = made(lambda: ran.append(1))()
    run = await flow.run()
    assert (type(run.state), run.message) == expected
    assert len(ran) == runs
    assert run.result[only].message == ("Task run succeeded." if runs else "Task not run.")


@pytest.mark.parametrize(
    "options", [{"state_handlers": [raising(ValueError("w"))]}, {"terminal_state_handler": raising(ValueError("w"))}]
)
async def test_raise_on_exception_holds_for_handlers_of_flows(made: Made, options: Any) -> None:
    with Flow("ends", **options) as flow:
        made(ok)()
    with raise_on_exception(), pytest.raises(ValueError, match="w"):
        await flow.run()


async def test_a_handler_may_rescue_the_run(made: Made) -> None:
    with Flow("ends", state_handlers=[lambda f, old, new: Success("rescued") if new.is_failed() else None]) as flow:
        only = made(fail)()
    run = await flow.run()
    assert (run.message, run.result[only].is_failed()) == ("rescued", True)


# -- what a run knows -----------------------------------------------------


async def test_the_context_of_a_run(made: Made) -> None:
    def body() -> list[Any]:
        return [context.flow_name, context.parameters, context.get("outer"), context.get("given")]

    with Flow("context") as flow:
        flow.add_task(Parameter("a", default=1))
        flow.add_task(Parameter("b", default=None))
        flow.add_task(Parameter("c"))
        only = made(body)()
    with context(outer=1, given=1):
        run = await flow.run(c=5, context={"given": 2, "flow_name": "nobody", "parameters": {"a": 9, "c": 9}})
    assert run[only] == ["context", {"a": 9, "b": None, "c": 5}, 1, 2]


@pytest.mark.parametrize("date", ["2020-02-29", datetime(2020, 2, 29, 5, tzinfo=UTC), "2020-02-29T10:00:00+02:00"])
async def test_the_days_follow_from_the_date(made: Made, date: Any) -> None:
    def body() -> list[Any]:
        names = ("today", "yesterday", "tomorrow", "today_nodash", "yesterday_nodash", "tomorrow_nodash")
        return [context[name] for name in names]

    with Flow("days") as flow:
        only = made(body)()
    days = ["2020-02-29", "2020-02-28", "2020-03-01"]
    assert (await flow.run(context={"date": date}))[only] == [*days, *(day.replace("-", "") for day in days)]
    assert (await flow.run(context={"date": date, "today": "mine"}))[only][0] == "mine"


async def test_a_date_that_cannot_be_read(made: Made) -> None:
    with Flow("days") as flow:
        only = made(lambda: context.date)()
    with pytest.warns(UserWarning, match="nonsense"):
        run = await flow.run(context={"date": "nonsense"})
    assert abs((run[only] - datetime.now(UTC)).total_seconds()) < 60
