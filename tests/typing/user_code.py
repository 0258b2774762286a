"""Flows as users write them. It is type-checked strictly and imported; see test_user_code.py.

What must be a type error carries an ignore: one that is not needed is an error itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, assert_type

import prefectlite
from prefectlite import (
    Edge,
    Flow,
    FlowRun,
    Parameter,
    PrefectliteError,
    Runtime,
    Task,
    context,
    mapped,
    signals,
    states,
    task,
    triggers,
    unmapped,
)
from prefectlite.language.task import FunctionTask
from prefectlite.states import State


@task
def numbers(count: int) -> list[int]:
    return list(range(count))


@task(name="double it", max_retries=3, retry_delay=timedelta(seconds=1), retry_on=(OSError, ValueError), tags=["math"])
def double(number: int, factor: int = 2) -> int:
    if number < 0:
        raise signals.SKIP("no negative numbers")
    context.logger.info("doubling %s", number)
    return number * factor


@task(timeout=1.5, trigger=triggers.all_finished, checkpoint=False, log_stdout=True)
async def total(numbers: list[int]) -> int:
    await asyncio.sleep(0)
    return sum(numbers)


class Multiply(Task):
    def __init__(self, by: int, **options: Any) -> None:
        self.by = by
        super().__init__(**options)

    def run(self, number: int) -> int:
        return number * self.by


class Wait(Task):
    async def run(self, *, seconds: float = 0) -> float:
        await asyncio.sleep(seconds)
        return seconds


@task(max_retries=3, retry_delay=[1, timedelta(seconds=5)], state_handlers=[lambda task, old, new: None], nout=2)
def both(left: int, right: str) -> tuple[int, str]:
    return left, right


@task(max_retries=3, retry_delay=lambda attempt: 2**attempt, on_failure=lambda task, state: None, thread="flow")
def patient() -> None: ...


def at_least_one(upstream_states: dict[Edge, State]) -> bool:
    return any(state.is_successful() for state in upstream_states.values())


with Flow("typed") as flow:
    count = Parameter("count", default=3)
    doubled = double.map(numbers(count), factor=unmapped(count))
    result = total(doubled, upstream_tasks=[count])
    scaled = Multiply(by=3, name="triple", trigger=at_least_one)(result)
    again = double(mapped(doubled), factor=3)
    collected = total([scaled, result, 1], upstream_tasks=[again], task_args={"name": "total of all", "timeout": 5})
    left, right = both(result, "a")
    chosen = (left + 1 > 5) & doubled[0].is_equal(right).not_()
    waited = Wait()(seconds=left).set_upstream(chosen)
    patient(upstream_tasks=[waited]).set_dependencies(downstream_tasks=[collected])
    flow.set_reference_tasks([collected])

# `run` has the types of the function, and so has what a call in a flow returns.
assert_type(double.run(3, factor=4), int)
assert_type(again.run(3), int)
assert_type(doubled.run(3), int)
assert_type(double.copy(name="other").run(1), int)
assert_type(both.run(1, "a"), tuple[int, str])
assert_type(scaled, Multiply)
assert_type(scaled.run(1), int)
assert_type(waited, Wait)
assert_type(left, Task)
assert_type(chosen, Task)
assert_type(patient, FunctionTask[[], None])
assert_type(count(flow), Parameter)

assert_type(flow, Flow)
assert_type(count, Parameter)
assert_type(numbers.name, str)
assert_type(numbers.tags, set[str])
assert_type(double.delay_after(1), timedelta)
assert_type(double.timeout, float | None)
assert_type(flow.copy(), Flow)
assert_type(list(flow), list[Task])
assert_type(flow.get_tasks(task_type=Multiply), list[Task])
assert_type(flow.tasks, set[Task])
assert_type(flow.edges, set[Edge])
assert_type(flow.sorted_tasks(), tuple[Task, ...])
assert_type(prefectlite.__version__, str)


def script() -> State:
    run = flow.run(count=3)
    assert_type(run, FlowRun)
    assert_type(run.id, str)
    assert_type(run.is_successful(), bool)
    assert_type(run.result, dict[Task, State])
    run.raise_for_state()
    failed = [task.name for task, state in run.result.items() if isinstance(state, states.Failed)]
    assert_type(failed, list[str])
    return run.state


async def application() -> State:
    assert_type(await total.run([1]), int)
    run = await flow.run({"count": 4}, flow_run_name="by hand", context={"customer": 7})
    assert_type(run, FlowRun)
    async with Runtime([flow]) as runtime:
        assert_type(runtime, Runtime)
    waiting: Coroutine[Any, Any, FlowRun] = flow.run()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(waiting)
        second = group.create_task(flow.run())
    assert_type(first.result().state, State)
    gathered = await asyncio.gather(flow.run(), flow.run())
    assert_type(gathered, tuple[FlowRun, FlowRun])
    return second.result().state


def careful() -> str | None:
    try:
        return script().message
    except PrefectliteError as error:
        assert_type(error.exit_code, int)
        return error.code


def mistakes() -> None:
    """Each line is one that the type checker must find; none is executed."""
    Flow()  # type: ignore[call-arg]
    Flow(5)  # type: ignore[arg-type]
    Parameter(name=5)  # type: ignore[arg-type]
    Task(timeout="soon")  # type: ignore[arg-type]
    Task(retry_on=KeyboardInterrupt)  # type: ignore[arg-type]
    task(5)  # type: ignore[call-overload]
    task(timeout="soon")(numbers.run)  # type: ignore[call-overload]
    task(retries=3)(numbers.run)  # type: ignore[call-overload]
    double.run("3")  # type: ignore[arg-type]
    double(1).rum()  # type: ignore[attr-defined]
    -numbers(1)  # type: ignore[operator]
    flow.run([1])  # type: ignore[arg-type]
    flow.run().stat  # type: ignore[attr-defined]  # noqa: B018
    flow.set_reference_tasks(["total"])  # type: ignore[list-item]
    states.Retrying(run_count="1")  # type: ignore[arg-type]
