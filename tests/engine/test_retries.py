"""Retries: how often, for what, and when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from prefectlite import Flow, context, executors, signals, triggers
from prefectlite.states import Failed, Retrying, State, Success, TriggerFailed
from tests.engine.conftest import Made, Seen

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("in_memory")]


@pytest.mark.parametrize("retries", [0, 1, 2])
@pytest.mark.parametrize("succeeds_at", [1, 2, 3, 9])
async def test_attempts_are_counted_from_one(made: Made, seen: Seen, retries: int, succeeds_at: int) -> None:
    attempts: list[int] = []

    def body() -> int:
        attempts.append(context.task_run_count)
        if len(attempts) < succeeds_at:
            raise ValueError(len(attempts))
        return len(attempts)

    options: dict[str, Any] = {"max_retries": retries, "retry_delay": timedelta(0)} if retries else {}
    with Flow("attempts") as flow:
        only = made(body, state_handlers=[seen], **options)()
    state = (await flow.run()).result[only]
    made_of = min(succeeds_at, retries + 1)
    assert attempts == list(range(1, made_of + 1))
    assert state.is_successful() == (succeeds_at <= retries + 1)
    again = ["Running>Failed", "Failed>Retrying", "Retrying>Running"] * (made_of - 1)
    assert seen == ["Pending>Running", *again, "Running>" + ("Success" if state.is_successful() else "Failed")]


async def test_what_a_retrying_state_says(made: Made) -> None:
    states: list[Any] = []

    def handler(task: Any, old: State, new: State) -> None:
        if isinstance(new, Retrying):
            states.append((new.message, new.run_count, new.result))

    with Flow("states") as flow:
        made(lambda: 1 // 0, max_retries=2, retry_delay=0, state_handlers=[handler])()
    await flow.run()
    assert states == [("Retrying Task (after attempt 1 of 3)", 1, None), ("Retrying Task (after attempt 2 of 3)", 2, None)]


@pytest.mark.parametrize(
    ("retry_on", "error", "again"),
    [
        (ValueError, ValueError("v"), True),
        (LookupError, KeyError("k"), True),
        ((KeyError, ValueError), ValueError("v"), True),
        (KeyError, ValueError("v"), False),
        (Exception, signals.FAIL("f"), False),
        (ValueError, signals.FAIL("f", result=ValueError("v")), True),
    ],
)
async def test_retry_on(made: Made, retry_on: Any, error: BaseException, again: bool) -> None:
    attempts: list[int] = []

    def body() -> None:
        attempts.append(1)
        raise error

    with Flow("on") as flow:
        made(body, max_retries=1, retry_delay=0, retry_on=retry_on)()
    await flow.run()
    assert len(attempts) == 1 + again


async def test_a_retry_signal_needs_no_retries_left(made: Made) -> None:
    attempts: list[int] = []

    def body() -> int:
        attempts.append(context.task_run_count)
        if len(attempts) < 4:
            raise signals.RETRY("again")
        return 1

    with Flow("signal") as flow:
        only = made(body)()
    assert (await flow.run())[only] == 1
    assert attempts == [1, 2, 3, 4]


async def test_a_retry_signal_may_say_which_attempt_it_was(made: Made) -> None:
    attempts: list[int] = []

    def body() -> None:
        attempts.append(context.task_run_count)
        if len(attempts) < 3:
            raise signals.RETRY("again", run_count=10)

    with Flow("signal") as flow:
        made(body)()
    await flow.run()
    assert attempts == [1, 11, 11]


async def test_a_trigger_that_failed_is_not_retried(made: Made, seen: Seen) -> None:
    with Flow("trigger") as flow:
        after = made(lambda x: x, max_retries=2, retry_delay=0, state_handlers=[seen])(made(lambda: 1 // 0)())
    assert isinstance((await flow.run()).result[after], TriggerFailed)
    assert seen == ["Pending>TriggerFailed"]


async def test_what_depends_on_it_waits(made: Made) -> None:
    attempts: list[int] = []

    def body() -> int:
        attempts.append(1)
        return 1 // (len(attempts) - 1)

    with Flow("waits") as flow:
        first = made(body, max_retries=1, retry_delay=0)()
        after = made(lambda x: len(attempts))(first)
        failed = made(lambda: 1, trigger=triggers.all_failed)(upstream_tasks=[first])
    states = (await flow.run()).result
    assert states[after].result == 2
    assert isinstance(states[failed], TriggerFailed)


async def test_children_are_retried_each_for_itself(made: Made) -> None:
    attempts: list[Any] = []

    def body(x: int) -> int:
        attempts.append((x, context.task_run_count))
        if x == 2 and context.task_run_count < 3:
            raise ValueError(x)
        return x

    with Flow("children") as flow:
        children = made(body, max_retries=2, retry_delay=0).map([1, 2, 3])
        total = made(lambda xs: sum(xs))(children)
    assert (await flow.run())[total] == 6
    assert sorted(attempts) == [(1, 1), (2, 1), (2, 2), (2, 3), (3, 1)]


async def test_a_task_that_was_handed_over_as_retrying_goes_on_from_there(made: Made) -> None:
    attempts: list[int] = []

    def body() -> None:
        attempts.append(context.task_run_count)
        raise ValueError

    with Flow("given") as flow:
        only = made(body, max_retries=5, retry_delay=0)()
    state = (await flow.run(task_states={only: Retrying("given", run_count=4)})).result[only]
    assert attempts == [5, 6]
    assert state.is_failed()
    state = (await flow.run(task_states={only: Failed("given", 3)})).result[only]
    assert (state.message, len(attempts)) == ("given", 2)


async def test_who_comes_back_from_a_retry_waits_for_a_place(made: Made) -> None:
    running, most, attempts = [0], [0], []

    def busy() -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        for _ in range(200_000):
            pass
        running[0] -= 1

    def body() -> None:
        busy()
        attempts.append(1)
        if len(attempts) < 4:
            raise ValueError

    with Flow("one by one", executor=executors.LocalExecutor(workers=1)) as flow:
        made(body, max_retries=3, retry_delay=timedelta(milliseconds=1))()
        for _ in range(10):
            made(busy)()
    assert (await flow.run()).is_successful()
    assert most == [1]


async def test_a_loop_keeps_its_round_over_a_retry(made: Made) -> None:
    rounds: list[Any] = []

    def body() -> int:
        number = context.get("task_loop_count", 1)
        rounds.append((number, context.get("task_loop_result"), context.task_run_count))
        if number in (2, 3) and context.task_run_count == 1:
            raise ValueError(number)
        if number < 4:
            raise signals.LOOP(result=number * 10)
        return number

    with Flow("loop") as flow:
        only = made(body, max_retries=1, retry_delay=0)()
    assert (await flow.run()).result[only] == Success(result=4)
    assert rounds == [(1, None, 1), (2, 10, 1), (2, 10, 2), (3, 20, 1), (3, 20, 2), (4, 30, 1)]
