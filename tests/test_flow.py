"""Flows: how they are made, what `run` takes, and their schedules."""

from __future__ import annotations

import json
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from prefectlite import (
    Edge,
    Flow,
    FlowRun,
    Parameter,
    Task,
    case,
    context,
    raise_on_exception,
    signals,
    states,
    task,
    triggers,
)
from prefectlite.contexts import loading_flow
from prefectlite.errors import FlowError, ParameterError
from prefectlite.states import State

START = datetime(2024, 3, 1, tzinfo=UTC)


@task
async def one() -> int:
    return 1


@task
async def values(names: list[str]) -> list[Any]:
    return [context.get(name) for name in names]


# -- making one ------------------------------------------------------------------------------------------------------------


def test_of_tasks_and_edges() -> None:
    a, b = Task("a"), Task("b")
    flow = Flow("f", tasks=[a], edges=[Edge(a, b)], reference_tasks=[a])
    assert flow.tasks == {a, b}
    assert flow.upstream_tasks(b) == {a}
    assert flow.reference_tasks() == {a}
    assert repr(flow) == '<Flow: name="f">'


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": ""}, ValueError, "A name must be provided for the flow."),
        ({"name": "a\nb"}, FlowError, "printable"),
        ({"name": "f", "state_handlers": 1}, TypeError, "state_handlers should be iterable."),
        ({"name": "f", "state_handlers": "abc"}, TypeError, "state_handlers should be iterable."),
        ({"name": "f", "on_failure": 1}, TypeError, "on_failure"),
        ({"name": "f", "executor": "threads"}, FlowError, "executor takes"),
        ({"name": "f", "reference_tasks": [Task("x")]}, ValueError, "reference tasks must be part of the flow"),
    ],
)
def test_what_it_cannot_be_made_of(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Flow(**arguments)


def test_tasks_that_are_made_and_not_used_are_warned_of() -> None:
    def written() -> Flow:
        with Flow("f") as flow:
            Task("Lost")
            one()
        return flow

    with pytest.warns(UserWarning, match="Tasks were created but not added to the flow: {<Task: Lost>}"):
        flow = written()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with flow:
            one()


def test_a_flow_within_a_block_of_another_one() -> None:
    with Flow("outer") as outer:
        condition = one()
        with case(condition, 1):
            with Flow("inner") as inner:
                alone = one()
            within = one()
    assert inner.tasks == {alone}
    assert within in outer.tasks
    assert [t.name for t in outer.upstream_tasks(within)] == ["case(1)"]


def test_a_copy_is_changed_on_its_own() -> None:
    with Flow("f") as flow:
        one()
    copied = flow.copy()
    assert copied == flow
    with copied:
        one()
    assert len(flow.tasks) == 1
    assert len(copied.tasks) == 2
    assert flow.run().is_successful()


def test_on_paper(tmp_path: Path) -> None:
    with Flow("f") as flow:
        values(Parameter("names", default=["a"]))
    written = flow.serialize()
    assert {"name", "type", "parameters", "tasks", "edges", "reference_tasks", "storage", "__version__"} <= set(written)
    assert json.loads(json.dumps(written)) == written
    assert flow.serialized_hash() == flow.copy().serialized_hash() != Flow("g").serialized_hash()
    with pytest.raises(ValueError, match="storage"):
        flow.serialize(build=True)
    assert flow.to_text() == "f\nnames\n└── values\n"
    assert "flowchart" in flow.to_mermaid(flow.run())
    loaded = Flow.load(flow.save(tmp_path / "f.prefect"))
    assert loaded.serialized_hash() == flow.serialized_hash()
    assert loaded.run(context={"a": 7}).is_successful()
    assert json.loads(flow.diagnostics())["flow_information"]


# -- running it ------------------------------------------------------------------------------------------------------------


def test_values_around_a_run() -> None:
    names = ["flow_name", "x", "today", "yesterday_nodash", "mine", "flow_run_name"]
    with Flow("f") as flow:
        result, other = values(names), values(names)
    with context(x=1, mine="around"):
        run = flow.run(context={"x": 2, "date": "2024-03-01"}, task_contexts={other: {"x": 3}}, flow_run_name="named")
    assert run[result] == ["f", 2, "2024-03-01", "20240229", "around", "named"]
    assert run[other][1] == 3


def test_a_date_that_cannot_be_read_is_now() -> None:
    with Flow("f") as flow:
        result = values(["today"])
    with pytest.warns(UserWarning, match="cannot be read: 'soon'"):
        run = flow.run(context={"date": "soon"})
    assert run[result][0] in {f"{datetime.now(UTC) - timedelta(minutes=m):%Y-%m-%d}" for m in (0, 5)}


def test_defaults_are_parameters_too() -> None:
    with Flow("f") as flow:
        result = values(["parameters"])
        Parameter("a", default=1)(), Parameter("b")()
    given = {"b": 2}
    assert flow.run(given)[result] == [{"a": 1, "b": 2}]
    assert given == {"b": 2}


@pytest.mark.parametrize("name", ["context", "executor", "state", "task_states", "flow_run_name"])
def test_a_parameter_may_be_called_like_an_option(name: str) -> None:
    with Flow("f") as flow:
        value = Parameter(name)
        flow.add_task(value)
    assert flow.run(**{name: 5})[value] == 5


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"z": 1}, TypeError, "unexpected parameters: z"),
        ({"z": 1}, ValueError, "unexpected parameters: z"),
        ({"parameters": {"z": 1}}, ParameterError, "unexpected parameters: z"),
        ({"return_tasks": []}, ValueError, "return_tasks"),
        ({"runner_cls": object}, FlowError, "runner_cls"),
        ({"executor": 3}, FlowError, "executor takes"),
    ],
)
def test_what_run_does_not_take(keywords: dict[str, Any], error: type[Exception], message: str) -> None:
    with Flow("f") as flow:
        one()
    with pytest.raises(error, match=message):
        flow.run(**keywords)


def test_while_a_file_is_loaded_it_does_nothing() -> None:
    with Flow("f") as flow:
        one()
    token = loading_flow.set(True)
    try:
        with pytest.warns(UserWarning, match="does nothing while the file is being loaded"):
            assert flow.run() is None
    finally:
        loading_flow.reset(token)


def test_states_given_for_tasks() -> None:
    @task
    async def never() -> int:
        raise AssertionError("it was run")

    @task
    async def plus(x: int) -> int:
        return x + 1

    with Flow("f") as flow:
        result = plus(never())
        first = next(iter(flow.upstream_tasks(result)))
    run = flow.run(task_states={first: states.Success(result=4)})
    assert run[result] == 5
    again = flow.run(task_states=run.result)
    assert again[result] == 5


def test_a_run_that_is_over_before_it_begins() -> None:
    with Flow("f") as flow:
        one()
    over = states.Success("already")
    assert flow.run(state=over).state is over


def test_runner_handlers_see_what_tasks_do() -> None:
    changes = []

    def watch(of: Any, old: State, new: State) -> None:
        changes.append((old.name, new.name))

    with Flow("f") as flow:
        one()
    flow.run(task_runner_state_handlers=[watch])
    assert changes == [("Pending", "Running"), ("Running", "Success")]


def test_what_a_task_raises_may_be_wanted_outside() -> None:
    @task
    def fails() -> None:
        raise LookupError("inside")

    @task
    def ends() -> None:
        raise signals.FAIL("a signal")

    with Flow("f") as flow:
        fails()
    with raise_on_exception(), pytest.raises(LookupError, match="inside"):
        flow.run()
    assert flow.run().is_failed()
    with Flow("g") as other:
        ends()
    with raise_on_exception():
        assert other.run().is_failed()


# -- handlers --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fails", [False, True])
def test_flow_handlers_see_every_change(fails: bool) -> None:
    changes: list[tuple[str, str]] = []
    failures: list[str] = []

    def watch(flow: Flow, old: State, new: State) -> None:
        changes.append((old.name, new.name))

    async def failed(flow: Flow, state: State) -> None:
        failures.append(f"{flow.name}: {state.message}")

    @task(max_retries=1, retry_delay=0)
    async def work() -> None:
        if fails or context.task_run_count == 1:
            raise ValueError

    with Flow("f", state_handlers=[watch], on_failure=failed) as flow:
        work()
    run = flow.run()
    assert run.is_failed() is fails
    assert changes == [("Scheduled", "Running"), ("Running", "Failed" if fails else "Success")]
    assert failures == (["f: Some reference tasks failed."] if fails else [])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (states.Success("better"), states.Success),
        (signals.SKIP("nothing to do"), states.Skipped),
        (signals.ENDRUN(states.Cancelled("enough")), states.Cancelled),
        (ValueError("broken"), states.Failed),
        ("no state", states.Failed),
    ],
)
def test_flow_handlers_may_change_the_end(answer: Any, expected: type[State]) -> None:
    def change(flow: Flow, old: State, new: State) -> Any:
        if isinstance(answer, BaseException) and new.is_finished():
            raise answer
        return answer if new.is_finished() else None

    @task
    async def fails() -> None:
        raise ValueError

    with Flow("f", state_handlers=[change]) as flow:
        failing = fails()
    run = flow.run()
    assert type(run.state) is expected
    assert run.result[failing].is_failed(), "the states of the tasks are there, whatever a handler returns"


def test_the_terminal_state_handler_has_the_last_word() -> None:
    def decide(flow: Flow, state: State, reference: set[State]) -> State | None:
        assert {type(one) for one in reference} == {states.Failed, states.Success}
        return states.Success("good enough") if flow.name == "f" else None

    @task(trigger=triggers.always_run)
    async def fails() -> None:
        raise ValueError

    for name in ("f", "g"):
        with Flow(name, terminal_state_handler=decide) as flow:
            one(), fails()
        run = flow.run()
        assert run.is_successful() is (name == "f")
        assert len(run.result) == 2


# -- schedules -------------------------------------------------------------------------------------------------------------


class Event(NamedTuple):
    start_time: datetime
    parameter_defaults: dict[str, Any] | None = None


class Listed:
    """A schedule of these events, whatever the time."""

    def __init__(self, *events: Event) -> None:
        self.events = list(events)

    def next(self, count: int, after: datetime, return_events: bool = False) -> list[Event]:
        assert return_events
        assert after <= datetime.now(UTC)
        return self.events[:count]


@pytest.fixture
def ran() -> list[Any]:
    return []


def scheduled(ran: list[Any], schedule: Any) -> Flow:
    @task
    def work(x: int) -> None:
        ran.append((x, context.scheduled_start_time))
        schedule.events.pop(0)

    with Flow("on time", schedule=schedule) as flow:
        work(Parameter("x", default=0))
    return flow


def test_a_flow_runs_at_every_moment_of_its_schedule(ran: list[Any]) -> None:
    flow = scheduled(ran, Listed(Event(START, {"x": 1}), Event(START + timedelta(1)), Event(START + timedelta(2), {"x": 3})))
    run = flow.run(x=7)
    assert isinstance(run, FlowRun)
    assert run.is_successful()
    assert ran == [(1, START), (7, START + timedelta(1)), (3, START + timedelta(2))]


def test_a_schedule_is_waited_for(ran: list[Any]) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=0.2)
    scheduled(ran, Listed(Event(soon))).run()
    assert datetime.now(UTC) >= soon
    assert len(ran) == 1


def test_a_schedule_may_be_left_aside(ran: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    flow = scheduled(ran, Listed(Event(START), Event(START)))
    flow.run(run_on_schedule=False)
    monkeypatch.setenv("PREFECTLITE_RUN_ON_SCHEDULE", "false")
    flow.run()
    assert len(ran) == 2


def test_a_schedule_without_events(ran: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"Flow has no more scheduled runs."):
        scheduled(ran, Listed()).run()


def test_a_run_may_be_scheduled_once(ran: list[Any]) -> None:
    with Flow("f") as flow:
        result = values(["scheduled_start_time"])
    soon = datetime.now(UTC) + timedelta(seconds=0.2)
    run = flow.run(state=states.Scheduled(start_time=soon))
    assert datetime.now(UTC) >= soon
    assert run[result] == [soon]
