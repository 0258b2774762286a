"""State handlers of tasks: which changes they see, and what they may make of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from prefectlite import Flow, FlowRun, context, signals
from prefectlite.states import Cached, Failed, Looped, Retrying, Scheduled, Skipped, State, Success, TriggerFailed
from tests.engine.conftest import Made, Seen

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("in_memory")]

Act = Callable[[State], Any]


@pytest.fixture(params=["plain handler", "async handler"])
def on(request: pytest.FixtureRequest) -> Callable[[str, Act], Callable[..., Any]]:
    """Makes a handler that does something with states of one name."""

    def make(name: str, act: Act) -> Callable[..., Any]:
        def handler(task: Any, old: State, new: State) -> Any:
            return act(new) if new.name == name else None

        async def async_handler(task: Any, old: State, new: State) -> Any:
            return handler(task, old, new)

        return async_handler if request.param == "async handler" else handler

    return make


def raising(error: BaseException) -> Act:
    def act(new: State) -> None:
        raise error

    return act


def fail() -> None:
    raise ValueError("body")


async def run_one(made: Made, body: Callable[[], Any], **options: Any) -> tuple[State, State]:
    """The states of a task and of what depends on it."""
    with Flow("one") as flow:
        first = made(body, **options)()
        after = made(lambda x: x)(first)
    states = (await flow.run()).result
    return states[first], states[after]


async def test_they_are_called_in_order_each_with_what_the_one_before_made(made: Made, on: Any) -> None:
    got: list[Any] = []

    def second(task: Any, old: State, new: State) -> State | None:
        got.append((task.name, old.name, new.message))
        return Success("two", new.result + 1) if new.is_successful() else None

    first = on("Success", lambda new: Success("one", 1))
    state, after = await run_one(made, lambda: 0, state_handlers=[first, second])
    assert got == [("t", "Pending", "Starting task run."), ("t", "Running", "one")]
    assert (state.message, after.result) == ("two", 2)


async def test_those_of_the_run_come_last(made: Made) -> None:
    order: list[str] = []
    options: dict[str, Any] = {"state_handlers": [lambda *a: order.append("a"), lambda *a: order.append("b")]}
    with Flow("order") as flow:
        made(lambda: 1, **options)()
    await flow.run(task_runner_state_handlers=[lambda *a: order.append("run")])
    assert order == ["a", "b", "run"] * 2


@pytest.mark.parametrize("answer", [None, False, 0, ""])
async def test_what_is_no_answer_keeps_the_state(made: Made, on: Any, answer: Any) -> None:
    state, _ = await run_one(made, lambda: 1, state_handlers=[on("Success", lambda new: answer)])
    assert (type(state), state.result) == (Success, 1)


async def test_any_other_value_is_an_error_that_names_the_handler(made: Made) -> None:
    def odd(*args: Any) -> int:
        return 5

    state, _ = await run_one(made, lambda: 1, state_handlers=[odd])
    assert isinstance(state.result, TypeError)
    assert "'odd'" in str(state.message)
    assert str(state.message).startswith("Unexpected error while calling state handlers: ")


@pytest.mark.parametrize(
    ("name", "made_state", "runs"),
    [
        ("Running", Skipped("h"), 0),
        ("Running", Success("h", 5), 0),
        ("Running", Failed("h"), 0),
        ("Success", Failed("h"), 1),
        ("Success", Skipped("h"), 1),
        ("Success", TriggerFailed("h"), 1),
        ("Success", Cached("h", 5), 1),
    ],
)
async def test_another_state_is_taken(made: Made, on: Any, name: str, made_state: State, runs: int) -> None:
    ran: list[int] = []
    state, after = await run_one(made, lambda: ran.append(1), state_handlers=[on(name, lambda new: made_state)])
    assert state is made_state
    assert len(ran) == runs
    assert after.is_skipped() == state.is_skipped()
    assert after.is_failed() == state.is_failed()


async def test_a_failure_may_be_rescued(made: Made, on: Any, seen: Seen) -> None:
    handlers = [on("Failed", lambda new: Success("rescued", 7)), seen]
    state, after = await run_one(made, fail, state_handlers=handlers, max_retries=3, retry_delay=0)
    assert (state.message, after.result) == ("rescued", 7)
    assert seen == ["Pending>Running", "Running>Success"]


async def test_a_failure_that_a_handler_made_is_retried(made: Made, on: Any, seen: Seen) -> None:
    handlers = [on("Success", lambda new: Failed("no")), seen]
    state, _ = await run_one(made, lambda: 1, state_handlers=handlers, max_retries=1, retry_delay=0)
    assert state.message == "no"
    assert seen == [
        "Pending>Running",
        "Running>Failed",
        "Failed>Retrying",
        "Retrying>Running",
        "Running>Failed",
    ]


async def test_a_signal_takes_the_place_of_the_state_and_is_not_seen_again(made: Made, on: Any, seen: Seen) -> None:
    handlers = [on("Running", raising(signals.SKIP("not now"))), seen]
    state, after = await run_one(made, lambda: 1, state_handlers=handlers)
    assert (type(state), state.message) == (Skipped, "not now")
    assert seen == []
    assert after.is_skipped()


async def test_a_retry_signal_begins_the_task_anew(made: Made, on: Any) -> None:
    ran: list[int] = []

    def again(new: State) -> None:
        if len(ran) < 3:
            raise signals.RETRY("again")

    state, _ = await run_one(made, lambda: ran.append(context.task_run_count), state_handlers=[on("Success", again)])
    assert state.is_successful()
    assert ran == [1, 2, 3]


async def test_endrun_ends_in_its_state(made: Made, on: Any, seen: Seen) -> None:
    handlers = [on("Failed", raising(signals.ENDRUN(Success("ended", 4)))), seen]
    state, _ = await run_one(made, fail, state_handlers=handlers, max_retries=1, retry_delay=0)
    assert (state.message, state.result) == ("ended", 4)
    assert seen == ["Pending>Running"]


@pytest.mark.parametrize("name", ["Running", "Success"])
async def test_an_error_ends_the_task_without_retries_and_further_calls(made: Made, on: Any, seen: Seen, name: str) -> None:
    handlers = [on(name, raising(ValueError("in handler"))), seen]
    state, _ = await run_one(made, lambda: 1, state_handlers=handlers, max_retries=2, retry_delay=0)
    assert state.message == "Unexpected error while calling state handlers: ValueError('in handler')"
    assert seen == [] if name == "Running" else ["Pending>Running"]


async def test_a_state_may_be_scheduled_or_retried(made: Made, on: Any, seen: Seen) -> None:
    answers = [Scheduled("later"), Retrying("again", run_count=1)]
    handlers = [seen, on("Success", lambda new: answers.pop(0) if answers else None)]
    state, _ = await run_one(made, lambda: context.task_run_count, state_handlers=handlers)
    assert state.result == 2
    assert seen == [
        "Pending>Running",
        "Running>Success",
        "Scheduled>Running",
        "Running>Success",
        "Retrying>Running",
        "Running>Success",
    ]


async def test_a_handler_may_begin_a_loop_and_end_one(made: Made, on: Any) -> None:
    def more(new: State) -> State | None:
        return Looped(result=new.result) if new.result < 3 else None

    state, _ = await run_one(made, lambda: context.get("task_loop_count", 1), state_handlers=[on("Success", more)])
    assert state.result == 3

    def again() -> None:
        raise signals.LOOP(result=context.get("task_loop_count", 1))

    def enough(new: State) -> State | None:
        return Success("enough", new.result) if isinstance(new, Looped) and new.loop_count == 2 else None

    state, _ = await run_one(made, again, state_handlers=[on("Looped", enough)])
    assert (state.message, state.result) == ("enough", 2)


async def test_on_failure_is_called_for_every_failure(made: Made) -> None:
    told: list[Any] = []

    def tell(task: Any, state: State) -> None:
        told.append((task.name, state.name))

    with Flow("failures") as flow:
        first = made(fail, name="first", on_failure=tell, max_retries=1, retry_delay=0)()
        made(lambda x: x, name="after", on_failure=tell)(first)
    await flow.run()
    assert told == [("first", "Failed"), ("first", "Failed"), ("after", "TriggerFailed")]


async def test_a_mapped_task_is_seen_itself_and_then_child_by_child(made: Made) -> None:
    got: list[Any] = []

    def handler(task: Any, old: State, new: State) -> None:
        got.append((old.name, new.name, context.task_name, context.task_full_name, context.task_slug, context.map_index))

    with Flow("mapped") as flow:
        made(lambda x: x, name="child", state_handlers=[handler]).map(made(lambda: [4])())
    await flow.run()
    assert got == [
        ("Pending", "Mapped", "child", "child", "child-1", None),
        ("Pending", "Running", "child", "child[0]", "child-1", 0),
        ("Running", "Success", "child", "child[0]", "child-1", 0),
    ]


@pytest.mark.parametrize("body", [lambda: (_ for _ in ()).throw(signals.SKIP("s")), fail])
async def test_a_mapped_task_that_does_not_come_to_map(made: Made, seen: Seen, body: Callable[[], Any]) -> None:
    with Flow("mapped") as flow:
        children = made(lambda x: x, state_handlers=[seen]).map(made(body)())
    run: FlowRun = await flow.run()
    assert seen == [f"Pending>{run.result[children].name}"]


async def test_a_handler_may_change_how_a_mapped_task_ends(made: Made, on: Any) -> None:
    with Flow("mapped") as flow:
        children = made(lambda x: x, state_handlers=[on("Mapped", raising(signals.SKIP("no")))]).map([1, 2])
        after = made(lambda xs: xs)(children)
    states = (await flow.run()).result
    assert (states[children].message, states[after].is_skipped()) == ("no", True)
