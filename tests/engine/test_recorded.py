"""What an earlier execution left in the record, and the attempt a task goes on with."""

from __future__ import annotations

import pytest

from prefectlite import Flow, context, task
from prefectlite.engine.plan import Plan
from prefectlite.engine.recorded import Recorded
from prefectlite.engine.units import Unit
from prefectlite.records import TaskRunRow, record_state
from prefectlite.states import Pending, Retrying, Running, State


@task
def work() -> None: ...


def made_in_a_task(attempt: int) -> list[tuple[State, int]]:
    """States of a task in its `attempt`, and the attempt a later execution is to make."""
    with context(task_run_count=attempt):
        return [
            (Retrying(run_count=attempt), attempt + 1),
            (Retrying(), attempt + 1),
            (Running(context={"task_run_count": attempt}), attempt),
            (Pending(), 1),
        ]


def attempt_of(start: State | None) -> int:
    """The attempt that a task run which starts in this state makes, as `TaskPass` counts."""
    assert start is not None
    return start.run_count + 1 if isinstance(start, Retrying) else start.context.get("task_run_count") or 1


@pytest.mark.parametrize("attempt", [1, 2, 5])
def test_the_attempt_goes_on_where_it_was(attempt: int) -> None:
    with Flow("f") as flow:
        work()
    [node] = Plan(flow, {"work-1": "task id"}, {}, None).nodes.values()
    for state, expected in made_in_a_task(attempt):
        unit = Unit(node)
        rows = [TaskRunRow("run id", "task id", -1, 3, record_state(state, "state id", 0), None)]
        assert not Recorded(rows).restore(unit)
        assert (attempt_of(unit.start), unit.run_id, unit.version) == (expected, "run id", 3), state
