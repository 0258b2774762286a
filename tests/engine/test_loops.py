"""LOOP: a task that runs round after round."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from prefectlite import Flow, context, results, signals
from prefectlite.states import State
from tests.engine.conftest import Made

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("in_memory")]


def looping(times: int, loop: Callable[[int], BaseException], rounds: list[Any]) -> Callable[[], int]:
    def body() -> int:
        number = context.get("task_loop_count", 1)
        rounds.append((number, context.get("task_loop_result", "none")))
        if len(rounds) < times:
            raise loop(number)
        return number

    return body


async def test_every_round_knows_its_number_and_the_last_result(made: Made) -> None:
    rounds: list[Any] = []
    with Flow("rounds") as flow:
        only = made(looping(4, lambda number: signals.LOOP(result=number * 10), rounds))()
    assert (await flow.run())[only] == 4
    assert rounds == [(1, "none"), (2, 10), (3, 20), (4, 30)]


@pytest.mark.parametrize(
    ("loop", "message"),
    [(lambda n: signals.LOOP(result=n), "Task is looping (1)"), (lambda n: signals.LOOP("round", result=n), "round")],
)
async def test_what_handlers_see(made: Made, loop: Any, message: str) -> None:
    changes: list[Any] = []

    def handler(task: Any, old: State, new: State) -> None:
        changes.append((old.name, new.name, new.message))

    with Flow("handlers") as flow:
        made(looping(2, loop, []), state_handlers=[handler])()
    await flow.run()
    assert changes == [
        ("Pending", "Running", "Starting task run."),
        ("Running", "Looped", message),
        ("Pending", "Running", "Starting task run."),
        ("Running", "Success", "Task run succeeded."),
    ]


async def test_a_result_that_is_not_given_is_the_signals_text(made: Made) -> None:
    rounds: list[Any] = []
    with Flow("text") as flow:
        made(looping(2, lambda number: signals.LOOP(), rounds))()
    await flow.run()
    assert rounds == [(1, "none"), (2, "LOOP()")]


async def test_it_may_say_which_round_it_was(made: Made) -> None:
    rounds: list[Any] = []
    with Flow("count") as flow:
        made(looping(3, lambda number: signals.LOOP(result=1, loop_count=number + 5), rounds))()
    await flow.run()
    assert [number for number, _ in rounds] == [1, 7, 13]


async def test_it_may_begin_in_the_middle(made: Made) -> None:
    rounds: list[Any] = []
    with Flow("middle") as flow:
        made(looping(3, lambda number: signals.LOOP(result=number), rounds))()
    await flow.run(context={"task_loop_count": 20})
    assert rounds == [(20, "none"), (21, 20), (22, 21)]


async def test_any_number_of_rounds(made: Made) -> None:
    with Flow("deep") as flow:
        only = made(looping(1200, lambda number: signals.LOOP(result=number), []))()
    assert (await flow.run())[only] == 1200


async def test_every_round_is_written(made: Made, tmp_path: Path) -> None:
    kept = results.LocalResult(dir=tmp_path, location=lambda **values: f"round {values.get('task_loop_count', 1)}")
    with Flow("written") as flow:
        made(looping(3, lambda number: signals.LOOP(result=number), []), result=kept)()
    await flow.run()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["round 1", "round 2", "round 3"]


async def test_a_retry_that_a_round_asks_for_begins_with_the_first_one(made: Made) -> None:
    """As in Prefect 1.x; the retries that a task has by itself go on in their round."""
    rounds: list[Any] = []

    def body(number: int) -> BaseException:
        return signals.LOOP(result=5) if number == 1 else signals.RETRY(start_time=datetime(2020, 1, 1, tzinfo=UTC))

    with Flow("a retry in a loop") as flow:
        only = made(looping(4, body, rounds))()
    assert (await flow.run())[only] == 2
    assert rounds == [(1, "none"), (2, 5), (1, "none"), (2, 5)]


async def test_children_loop_each_for_itself(made: Made) -> None:
    def body(x: int) -> tuple[int, Any]:
        number = context.get("task_loop_count", 1)
        if number < x:
            raise signals.LOOP(result=number)
        return number, context.get("task_loop_result")

    with Flow("children") as flow:
        children = made(body).map([1, 2, 3])
    assert (await flow.run())[children] == [(1, None), (2, 1), (3, 2)]


async def test_the_trigger_is_asked_every_round(made: Made) -> None:
    asked: list[Any] = []

    def trigger(states: Any) -> bool:
        asked.append(context.get("task_loop_count"))
        return True

    with Flow("trigger") as flow:
        made(looping(3, lambda number: signals.LOOP(result=1), []), trigger=trigger)()
    await flow.run()
    assert asked == [None, 2, 3]
