"""`task_states`: tasks that begin in a given state, or are not run at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from prefectlite import Flow, Parameter, context, resource_manager
from prefectlite.states import (
    Cancelled,
    Failed,
    Finished,
    Pending,
    Queued,
    Retrying,
    Scheduled,
    Skipped,
    State,
    Submitted,
    Success,
    TimedOut,
    TriggerFailed,
)
from tests.engine.conftest import Made, Seen

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("in_memory")]


@pytest.mark.parametrize(
    ("given", "after"),
    [
        (Success("s", 4), "Success"),
        (Skipped("s"), "Skipped"),
        (Failed("f", 4), "TriggerFailed"),
        (TimedOut("f"), "TriggerFailed"),
        (TriggerFailed("f"), "TriggerFailed"),
        (Cancelled("c"), "TriggerFailed"),
        (Finished("f", 4), "TriggerFailed"),
    ],
)
async def test_a_finished_one_is_taken_as_it_is(made: Made, seen: Seen, given: State, after: str) -> None:
    ran: list[int] = []
    with Flow("given") as flow:
        first = made(lambda: ran.append(1), state_handlers=[seen], max_retries=1, retry_delay=0)()
        last = made(lambda x: x)(first)
    states = (await flow.run(task_states={first: given})).result
    assert states[first] is given
    assert states[last].name == after
    assert (ran, seen) == ([], [])


@pytest.mark.parametrize(
    ("given", "begins", "count"),
    [
        (Pending("p"), "Pending", 1),
        (Pending("p", context={"task_run_count": 4}), "Pending", 4),
        (Scheduled("s", start_time=datetime.now(UTC) - timedelta(days=1)), "Scheduled", 1),
        (Scheduled("s", context={"task_run_count": 3}), "Scheduled", 3),
        (Submitted(state=Pending("p")), "Pending", 1),
        (Queued(state=Scheduled("s")), "Scheduled", 1),
        (Submitted(state=Queued(state=Retrying(run_count=2))), "Retrying", 3),
    ],
)
async def test_any_other_one_is_where_it_begins(made: Made, seen: Seen, given: State, begins: str, count: int) -> None:
    with Flow("given") as flow:
        only = made(lambda: context.task_run_count, state_handlers=[seen])()
    run = await flow.run(task_states={only: given})
    assert run[only] == count
    assert seen == [f"{begins}>Running", "Running>Success"]


async def test_it_waits_for_its_time(made: Made) -> None:
    began = datetime.now(UTC)
    with Flow("time") as flow:
        only = made(lambda: datetime.now(UTC))()
    run = await flow.run(task_states={only: Scheduled(start_time=began + timedelta(milliseconds=50))})
    assert run[only] - began >= timedelta(milliseconds=50)


async def test_a_round_of_a_loop(made: Made) -> None:
    with Flow("loop") as flow:
        only = made(lambda: [context.task_loop_count, context.task_loop_result])()
    given = Retrying(run_count=1, result=7, context={"_loop_count": 4})
    assert (await flow.run(task_states={only: given}))[only] == [4, 7]


async def test_a_parameter_may_be_given(made: Made) -> None:
    with Flow("parameter") as flow:
        parameter = Parameter("a", default=4)
        only = made(lambda x: x)(parameter)
    assert (await flow.run(task_states={parameter: Success(result=77)}))[only] == 77


async def test_what_failed_is_run_again_with_the_rest_given(made: Made) -> None:
    ran: list[str] = []

    def second(x: int) -> int:
        ran.append("second")
        return x // (len(ran) - 2)

    with Flow("again") as flow:
        first = made(lambda: ran.append("first") or 6)()
        last = made(second)(first)
    run = await flow.run()
    given = {task: state for task, state in run.result.items() if not state.is_failed()}
    assert (await flow.run(task_states=given))[last] == 6
    assert ran == ["first", "second", "second"]


async def test_resources_are_set_up_again(made: Made) -> None:
    log: list[str] = []

    @resource_manager
    class Resource:
        def __init__(self, name: str) -> None:
            self.name = name
            log.append("init")

        def setup(self) -> str:
            log.append("setup")
            return self.name

        def cleanup(self, resource: Any) -> None:
            log.append(f"cleanup {resource}")

    with Flow("resource") as flow, Resource("r") as resource:
        made(lambda r: log.append("body"))(resource)
    first = await flow.run()
    assert log == ["init", "setup", "body", "cleanup r"]
    log.clear()
    assert (await flow.run(task_states=first.result)).is_successful()
    assert log == ["setup", "cleanup r"]
