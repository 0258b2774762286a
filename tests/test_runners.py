from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import prefectlite
from prefectlite import Edge, Flow, FlowRunner, Parameter, Task, TaskRunner, context, signals, task, testing
from prefectlite.errors import FlowError
from prefectlite.states import (
    Cached,
    Cancelled,
    Failed,
    Mapped,
    Paused,
    Pending,
    Resume,
    Retrying,
    Running,
    Scheduled,
    Skipped,
    State,
    Submitted,
    Success,
    TriggerFailed,
)
from prefectlite.triggers import manual_only

HOUR = timedelta(hours=1)


def later() -> datetime:
    return datetime.now(UTC) + HOUR


def noting(log: list[tuple[str, str, str]]) -> Callable[[Any, State, State], None]:
    def note(subject: Any, old: State, new: State) -> None:
        log.append((type(subject).__name__, type(old).__name__, type(new).__name__))

    return note


@task
def one() -> int:
    return 1


@task
def add(x: int) -> int:
    return x + 1


@task(max_retries=2, retry_delay=HOUR)
def fails() -> None:
    raise ValueError("no")


def chain() -> tuple[Flow, Task, Task]:
    with Flow("chain") as flow:
        first = one()
        second = add(first)
    return flow, first, second


# -- FlowRunner -----------------------------------------------------------------------------------------------------------


def test_a_flow_once_through() -> None:
    flow, first, second = chain()
    state = FlowRunner(flow).run()
    assert (type(state), state.message, state.result) == (Success, "All reference tasks succeeded.", {})
    state = FlowRunner(flow).run(return_tasks=[second])
    assert {one: state.result for one, state in state.result.items()} == {second: 2}
    assert set(FlowRunner(flow).run(return_tasks=flow.tasks).result) == {first, second}


def test_it_leaves_nothing_in_the_database(tmp_path: Path) -> None:
    FlowRunner(chain()[0]).run()
    assert not list(tmp_path.iterdir())


def test_a_task_that_is_to_be_retried_is_left_so() -> None:
    with Flow("retrying") as flow:
        failing = fails()
        after = add(failing)
    state = FlowRunner(flow).run(return_tasks=flow.tasks)
    assert (type(state), state.message) == (Running, "Running flow.")
    assert isinstance(state.result[failing], Retrying)
    assert state.result[failing].run_count == 1
    assert type(state.result[after]) is Pending

    again = FlowRunner(flow).run(state=state, task_states=state.result, return_tasks=flow.tasks)
    assert again.result[failing].run_count == 1  # its time has not come
    for run_count in (2, 3):
        state.result[failing].start_time = datetime.now(UTC)
        state = FlowRunner(flow).run(state=state, task_states=state.result, return_tasks=flow.tasks)
        if run_count == 2:
            assert state.result[failing].run_count == 2
    assert type(state) is Failed
    assert isinstance(state.result[after], TriggerFailed)


def test_the_passes_under_a_virtual_clock() -> None:
    with Flow("retrying") as flow:
        failing = fails()
    with testing.virtual_clock() as clock:
        state, passes = FlowRunner(flow).run(return_tasks=[failing]), 1
        while state.is_running():
            clock.advance(3600)
            state, passes = FlowRunner(flow).run(task_states=state.result, return_tasks=[failing]), passes + 1
    assert (passes, type(state)) == (3, Failed)


@pytest.mark.parametrize(
    "given", [Success("x"), Failed("x"), Cancelled("x"), Scheduled("x", start_time=later()), Paused("x", start_time=later())]
)
def test_a_state_in_which_it_is_not_its_turn_is_given_back(given: State) -> None:
    log: list[tuple[str, str, str]] = []
    assert FlowRunner(chain()[0], state_handlers=[noting(log)]).run(state=given) is given
    assert log == []


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (None, "Pending"),
        (Pending(), "Pending"),
        (Scheduled(), "Scheduled"),
        (Paused(), "Paused"),
        (Resume(), "Resume"),
        (Submitted(state=Pending()), "Pending"),
        (Running(), None),
    ],
)
def test_the_state_it_begins_in(given: State | None, seen: str | None) -> None:
    log: list[tuple[str, str, str]] = []
    flow, _, second = chain()
    flow.state_handlers.append(noting(log))
    state = FlowRunner(flow, state_handlers=[noting(log)]).run(state=given, return_tasks=[second])
    assert state.result[second].result == 2
    begun = [("Flow", seen, "Running"), ("FlowRunner", seen, "Running")] if seen else []
    assert log == [*begun, ("Flow", "Running", "Success"), ("FlowRunner", "Running", "Success")]


def test_finished_task_states_are_used_as_they_are() -> None:
    flow, first, second = chain()
    run = FlowRunner(flow).run
    assert run(task_states={first: Success(result=10)}, return_tasks=[second]).result[second].result == 11
    assert run(task_states={first: Skipped("x")}, return_tasks=[second]).result[second].is_skipped()
    assert isinstance(run(task_states={first: Failed("x")}, return_tasks=[second]).result[second], TriggerFailed)
    assert run(task_states={second: Success("mine")}, return_tasks=[second]).result[second].message == "mine"


def test_return_tasks_that_are_not_in_the_flow_fail_it() -> None:
    log: list[tuple[str, str, str]] = []
    state = FlowRunner(chain()[0], state_handlers=[noting(log)]).run(return_tasks=[Task("other")])
    message = "Unexpected error: ValueError('Some tasks in return_tasks were not found in the flow.')"
    assert (type(state), state.message) == (Failed, message)
    assert log == [("FlowRunner", "Pending", "Running"), ("FlowRunner", "Running", "Failed")]


@pytest.mark.parametrize(
    ("signal", "kind"), [(signals.PAUSE("x"), Paused), (signals.ENDRUN(Success("x")), Success), (signals.FAIL("x"), Failed)]
)
def test_return_tasks_that_are_not_in_the_flow_and_a_handler(signal: BaseException, kind: type[State]) -> None:
    def handle(runner: Any, old: State, new: State) -> None:
        raise signal

    assert type(FlowRunner(chain()[0], state_handlers=[handle]).run(return_tasks=[Task("other")])) is kind


def test_handlers_of_task_runners_get_one() -> None:
    seen: list[Any] = []

    async def handle(runner: TaskRunner, old: State, new: State) -> None:
        seen.append((runner.task.name, repr(runner), type(new).__name__))

    flow, _, _ = chain()
    FlowRunner(flow).run(task_runner_state_handlers=[handle])
    names = [("one", "Running"), ("one", "Success"), ("add", "Running"), ("add", "Success")]
    assert seen == [(name, f"<TaskRunner: {name}>", state) for name, state in names]
    seen.clear()
    with testing.memory_database():
        flow.run(task_runner_state_handlers=[handle])
    assert len(seen) == 4


def test_parameters_and_contexts() -> None:
    @task
    def show(value: int) -> Any:
        return value, context.get("extra"), context.flow_run_name

    with Flow("values") as flow:
        shown = show(Parameter("value"))
    run = FlowRunner(flow).run
    state = run(parameters={"value": 1}, context={"extra": 2, "flow_run_name": "mine"}, return_tasks=[shown])
    assert state.result[shown].result == (1, 2, "mine")
    state = run(parameters={"value": 1}, context={"extra": 2}, task_contexts={shown: {"extra": 3}}, return_tasks=[shown])
    assert state.result[shown].result[:2] == (1, 3)
    with context(extra=4):
        assert run(parameters={"value": 1}, return_tasks=[shown]).result[shown].result[1] == 4
    assert run(return_tasks=[shown]).is_failed()


def test_mapped_tasks_wait_for_what_they_map_over() -> None:
    with Flow("mapped") as flow:
        source = one()
        children = add.map(source)
    waiting = FlowRunner(flow).run(task_states={source: Retrying(start_time=later())}, return_tasks=[children])
    assert (type(waiting), type(waiting.result[children])) == (Running, Pending)
    given = Retrying(start_time=later())
    kept = FlowRunner(flow).run(task_states={children: given}, return_tasks=[children])
    assert isinstance(kept.result[children], Retrying)
    done = FlowRunner(flow).run(task_states={source: Success(result=[1, 2])}, return_tasks=[children])
    assert [child.result for child in done.result[children].map_states] == [2, 3]


def test_a_paused_task_goes_on_when_it_is_resumed() -> None:
    ask = add.copy(trigger=manual_only)
    with Flow("asking") as flow:
        asked = ask(one())
    state = FlowRunner(flow).run(return_tasks=[asked])
    assert isinstance(state.result[asked], Paused)
    assert isinstance(FlowRunner(flow).run(task_states=state.result, return_tasks=[asked]).result[asked], Paused)
    assert FlowRunner(flow).run(task_states={asked: Resume()}, return_tasks=[asked]).result[asked].result == 2


def test_a_flow_that_a_task_runs_is_recorded_with_it(tmp_path: Path) -> None:
    inner = chain()[0]

    @task
    def nested() -> bool:
        return inner.run().is_successful()

    with Flow("outer") as outer:
        done = nested()
    assert FlowRunner(outer).run(return_tasks=[done]).result[done].result is True
    assert not list(tmp_path.iterdir())


@pytest.mark.asyncio
async def test_where_a_loop_runs() -> None:
    loop = asyncio.get_running_loop()

    @task
    async def where() -> bool:
        return asyncio.get_running_loop() is loop

    with Flow("loops") as flow:
        there = where()
    assert FlowRunner(flow).run(return_tasks=[there]).result[there].result is False
    assert TaskRunner(where).run().result is False


def test_what_is_wanted_outside_is_raised() -> None:
    with Flow("raising") as flow:
        fails()
    with prefectlite.raise_on_exception():
        with pytest.raises(ValueError, match="no"):
            FlowRunner(flow).run()
        with pytest.raises(ValueError, match="no"):
            TaskRunner(fails).run()


@pytest.mark.asyncio
async def test_what_is_wanted_outside_is_raised_where_a_loop_runs() -> None:
    with prefectlite.raise_on_exception(), pytest.raises(ValueError, match="no"):
        TaskRunner(fails).run()


def test_a_class_of_runners_is_refused() -> None:
    with pytest.raises(FlowError, match="'chain': a task_runner_cls cannot be used"):
        FlowRunner(chain()[0], task_runner_cls=object)
    assert repr(FlowRunner(chain()[0], task_runner_cls=TaskRunner)) == "<FlowRunner: chain>"


# -- TaskRunner -----------------------------------------------------------------------------------------------------------


def edge(**kwargs: Any) -> Edge:
    return Edge(one, add, key="x", **kwargs)


@pytest.mark.parametrize(
    ("upstream", "kind", "result"),
    [
        (Success(result=3), Success, 4),
        (Pending(), Pending, None),
        (Skipped(), Skipped, None),
        (Mapped(map_states=[Success(result=1), Pending()]), Pending, None),
    ],
)
def test_a_task_by_its_upstream_states(upstream: State, kind: type[State], result: Any) -> None:
    state = TaskRunner(add).run(upstream_states={edge(): upstream})
    assert (type(state), state.result) == (kind, result)


def test_a_failed_upstream_fails_the_trigger() -> None:
    assert isinstance(TaskRunner(add).run(upstream_states={edge(): Failed("f")}), TriggerFailed)


@pytest.mark.parametrize(
    "given",
    [Success(result=3), Failed("f"), Running(), Cancelled(), Paused(), Retrying(start_time=later()), Mapped(map_states=[])],
)
def test_a_state_in_which_the_task_does_not_go_on(given: State) -> None:
    log: list[tuple[str, str, str]] = []
    assert TaskRunner(one, state_handlers=[noting(log)]).run(given) is given
    assert log == []


@pytest.mark.parametrize(
    "given", [None, Pending(), Scheduled(), Resume(), Retrying(run_count=2), Submitted(state=Retrying(run_count=3))]
)
def test_a_state_in_which_the_task_begins(given: State | None) -> None:
    assert TaskRunner(one).run(given).result == 1


def test_a_stale_cache_is_seen_by_the_handlers() -> None:
    log: list[tuple[str, str, str]] = []
    noted = one.copy(state_handlers=[noting(log)])
    assert TaskRunner(noted, state_handlers=[noting(log)]).run(Cached(result=2)).result == 1
    kind = type(noted).__name__
    steps = [("Cached", "Pending"), ("Pending", "Running"), ("Running", "Success")]
    assert log == [(who, *step) for step in steps for who in (kind, "TaskRunner")]


def test_one_attempt_at_a_time() -> None:
    state = TaskRunner(fails).run()
    assert (type(state), state.run_count) == (Retrying, 1)  # type: ignore[attr-defined]
    state = TaskRunner(fails).run(Retrying(run_count=2))
    assert type(state) is Failed
    assert isinstance(state.result, ValueError)


@pytest.mark.parametrize(
    ("upstream", "kind", "width"),
    [
        (Success(result=[3, 4]), Mapped, 2),
        (Success(result=[]), Mapped, 0),
        (Success(result=5), Failed, None),
        (Failed("f"), Failed, None),
        (Skipped("f"), Skipped, None),
        (Pending(), Pending, None),
        (Mapped(map_states=[Success(result=1), Pending()]), Mapped, 2),
        (Mapped(n_map_states=3), Mapped, 3),
    ],
)
def test_how_a_mapped_task_turns_into_children(upstream: State, kind: type[State], width: int | None) -> None:
    state = TaskRunner(add).run(upstream_states={edge(mapped=True): upstream}, is_mapped_parent=True)
    assert type(state) is kind
    assert getattr(state, "n_map_states", None) == width


def test_the_handlers_of_a_mapped_task() -> None:
    given = {edge(mapped=True): Success(result=[1])}

    def pause(runner: Any, old: State, new: State) -> None:
        raise signals.PAUSE("wait")

    state = TaskRunner(add, state_handlers=[pause]).run(upstream_states=given, is_mapped_parent=True)
    assert (type(state), state.message) == (Paused, "wait")
    mapped = Mapped(n_map_states=7)
    assert TaskRunner(add).run(mapped, given, is_mapped_parent=True) is mapped


def test_a_child_knows_its_index() -> None:
    @task
    def show() -> Any:
        return context.map_index, context.task_full_name, context.get("extra")

    assert TaskRunner(show).run(context={"map_index": 3, "extra": 1}).result == (3, "show[3]", 1)


def test_results_go_where_the_flow_has_them(tmp_path: Path) -> None:
    result = prefectlite.results.LocalResult(dir=str(tmp_path), location="one.pickle")
    assert TaskRunner(one, flow_result=result).run(context={"checkpointing": False}).is_successful()
    assert not (tmp_path / "one.pickle").exists()
    assert TaskRunner(one, flow_result=result).run(context={"checkpointing": True}).is_successful()
    assert (tmp_path / "one.pickle").exists()


def test_a_task_with_a_cache_and_a_thread_of_the_flow() -> None:
    cached = one.copy(cache_for=HOUR)
    assert isinstance(TaskRunner(cached).run(), Cached)
    assert TaskRunner(one.copy(thread="flow")).run().result == 1
