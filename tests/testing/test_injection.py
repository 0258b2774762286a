from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from prefectlite import Flow, Task, signals, states, task, testing
from prefectlite.errors import FlowError
from prefectlite.testing import PerChild, injecting

pytestmark = pytest.mark.usefixtures("prefectlite_database")


@task
def download() -> list[int]:
    raise AssertionError("the real code")


@task
async def double(number: int) -> int:
    return number * 2


@task
def total(numbers: list[int]) -> int:
    return sum(numbers)


class Sum(Task):
    def run(self, numbers: list[int]) -> int:
        raise AssertionError("the real code")


def made() -> tuple[Flow, dict[str, Task]]:
    with Flow("report") as flow:
        rows = download()
        doubled = double.map(rows)
        whole = total(doubled)
    return flow, {"rows": rows, "doubled": doubled, "whole": whole}


def test_a_value_by_name_and_by_task() -> None:
    flow, tasks = made()
    with injecting(flow, {"download": [1, 2, 3]}):
        assert flow.run()[tasks["whole"]] == 12
    with injecting(flow, {tasks["rows"]: [5]}):
        assert flow.run()[tasks["doubled"]] == [10]
    assert flow.run().is_failed()


@pytest.mark.parametrize("failure", [ValueError("broken"), ValueError])
def test_an_exception_is_raised(failure: Any) -> None:
    flow, tasks = made()
    with injecting(flow, {"download": failure}):
        run = flow.run()
    assert isinstance(run.result[tasks["rows"]].result, ValueError)
    assert isinstance(run.result[tasks["whole"]], states.TriggerFailed)


def test_a_signal_and_a_state() -> None:
    flow, tasks = made()
    with injecting(flow, {"download": signals.SKIP("nothing today")}):
        assert flow.run().result[tasks["whole"]].is_skipped()
    given = states.Cancelled("by hand")
    with injecting(flow, {"download": given}):
        assert flow.run().result[tasks["rows"]].message == "by hand"


async def triple(number: int) -> int:
    return number * 3


@pytest.mark.parametrize("function", [lambda number: number * 3, triple])
def test_a_function_gets_the_arguments(function: Callable[[int], Any]) -> None:
    flow, tasks = made()
    with injecting(flow, {"download": [1, 2], "double": function}):
        assert flow.run()[tasks["doubled"]] == [3, 6]


def test_each_child_has_its_own() -> None:
    flow, tasks = made()
    stand_ins = PerChild([10, ValueError("second"), lambda number: -number, triple])
    with injecting(flow, {"download": [1, 2, 3, 4], "double": stand_ins}):
        children = flow.run().result[tasks["doubled"]].map_states
    assert [children[0].result, children[2].result, children[3].result] == [10, -3, 12]
    assert isinstance(children[1].result, ValueError)


def test_too_few_for_the_children_is_a_failure_that_says_so() -> None:
    flow, tasks = made()
    with injecting(flow, {"download": [1, 2], "double": PerChild([1])}):
        child = flow.run().result[tasks["doubled"]].map_states[1]
    assert "'double' has a child 1, and there are stand-ins for 1 children" in str(child.message)


def test_one_for_all_children() -> None:
    flow, tasks = made()
    with injecting(flow, {"download": [1, 2], tasks["doubled"]: 7}):
        assert flow.run()[tasks["whole"]] == 14


def test_retries_call_the_stand_in_again() -> None:
    attempts: list[int] = []

    @task(max_retries=2, retry_delay=0)
    def fetch() -> int:
        raise AssertionError("the real code")

    def fails_once() -> int:
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError
        return 5

    with Flow("retrying") as flow:
        fetched = fetch()
    with injecting(flow, {fetched: fails_once}):
        assert flow.run()[fetched] == 5
    assert len(attempts) == 2


def test_a_task_written_as_a_class_and_blocks_in_blocks() -> None:
    with Flow("class") as flow:
        whole = Sum()([1, 2])
    with injecting(flow, {whole: 1}):
        with injecting(flow, {whole: 2}):
            assert flow.run()[whole] == 2
        assert flow.run()[whole] == 1
    assert "run" not in vars(whole)
    assert flow.run().is_failed()


def test_an_unknown_task_is_told() -> None:
    flow, _ = made()
    with pytest.raises(FlowError, match=r"no task 'downlod'.*did you mean 'download'"), injecting(flow, {"downlod": 1}):
        pass
    with pytest.raises(FlowError, match="'report' has no task <Task: total>"), injecting(flow, {total: 1}):
        pass


def test_the_fixture(prefectlite_injecting: Callable[[Flow, dict[Any, Any]], None]) -> None:
    flow, tasks = made()
    prefectlite_injecting(flow, {"download": [1]})
    prefectlite_injecting(flow, {"total": "all"})
    assert flow.run()[tasks["whole"]] == "all"


@pytest.mark.asyncio
async def test_in_async_code() -> None:
    flow, tasks = made()
    with testing.injecting(flow, {"download": [4]}):
        assert (await flow.run())[tasks["whole"]] == 8
