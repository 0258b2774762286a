"""The pipeline of one pass: its order, how user code ends, and what user code beside it may raise."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from prefectlite import Flow, Parameter, Runtime, context, raise_on_exception, results, signals, triggers
from prefectlite.result import Result
from prefectlite.states import (
    Cached,
    Cancelled,
    Failed,
    Skipped,
    State,
    Success,
    TriggerFailed,
    ValidationFailed,
)
from tests.engine.conftest import Made, Seen

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("in_memory")]


def raising(error: BaseException | Callable[[], BaseException]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        raise error if isinstance(error, BaseException) else error()

    return run


def bare(error: BaseException | Callable[[], BaseException]) -> Callable[[], Any]:
    function = raising(error)
    return lambda: function()


def names_in(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


async def state_of(made: Made, body: Callable[[], Any], **options: Any) -> State:
    with Flow("one") as flow:
        only = made(body, **options)()
    return (await flow.run()).result[only]


# -- E4, E5: how it ends ------------------------------------------------------------------------------------------------


async def test_what_is_returned_is_the_result(made: Made) -> None:
    state = await state_of(made, lambda: {"a": (1, None)})
    assert (type(state), state.message, state.result) == (Success, "Task run succeeded.", {"a": (1, None)})


async def test_an_exception_is_the_result_of_the_failure(made: Made) -> None:
    error = ValueError("boom")
    state = await state_of(made, bare(error))
    assert (type(state), state.message) == (Failed, "Error during execution of task: ValueError('boom')")
    assert state.result is error


async def test_a_state_that_is_returned_is_a_value(made: Made) -> None:
    state = await state_of(made, lambda: Failed("a value"))
    assert type(state) is Success
    assert state.result == Failed()


@pytest.mark.parametrize(
    ("signal", "expected"),
    [
        (signals.FAIL, Failed),
        (signals.TRIGGERFAIL, TriggerFailed),
        (signals.VALIDATIONFAIL, ValidationFailed),
        (signals.SUCCESS, Success),
        (signals.SKIP, Skipped),
    ],
)
async def test_a_signal_is_the_state(made: Made, signal: Any, expected: type[State]) -> None:
    raised = signal("said")
    state = await state_of(made, bare(raised))
    assert (type(state), state.message) == (expected, "said")
    assert state.result is raised
    assert (await state_of(made, bare(lambda: signal("said", result=[7])))).result == [7]
    assert (await state_of(made, bare(lambda: signal("said", result=None)))).result is None


async def test_except_exception_does_not_catch_a_signal(made: Made) -> None:
    def body() -> str:
        try:
            raise signals.SKIP("through")
        except Exception:
            return "caught"

    assert (await state_of(made, body)).message == "through"


async def test_a_signal_with_unknown_fields_is_a_type_error(made: Made) -> None:
    state = await state_of(made, bare(lambda: signals.SKIP("said", nope=1)))
    assert isinstance(state.result, TypeError)


@pytest.mark.parametrize("end", [Failed("e", 1), Success("e", 1), Skipped("e"), Cancelled("e"), TriggerFailed("e")])
async def test_endrun_ends_at_once_without_retries(made: Made, seen: Seen, end: State) -> None:
    state = await state_of(made, bare(lambda: signals.ENDRUN(end)), max_retries=3, retry_delay=0, state_handlers=[seen])
    assert state is end
    assert seen == ["Pending>Running", f"Running>{end.name}"]


async def test_what_downstream_gets_of_those_that_did_not_succeed(made: Made) -> None:
    error, skip = ValueError("u"), signals.SKIP("s")
    with Flow("inputs") as flow:
        ends = [made(bare(error))(), made(bare(skip))(), made(bare(lambda: signals.SKIP("s", result=None)))()]
        got = made(lambda a, b, c: [a, b, c], trigger=triggers.all_finished, skip_on_upstream_skip=False)(*ends)
    assert (await flow.run()).result[got].result == [error, skip, None]


# -- E3: the order ------------------------------------------------------------------------------------------------------


async def test_a_skip_goes_before_target_and_trigger(made: Made, seen: Seen, tmp_path: Path) -> None:
    kept = results.LocalResult(dir=tmp_path)
    kept.at("x").write("there")
    with Flow("order") as flow:
        upstream = [made(bare(signals.SKIP("s")))(), made(bare(ValueError("u")))()]
        last = made(lambda: 1, result=kept, target="x", state_handlers=[seen])(upstream_tasks=upstream)
    assert (await flow.run()).result[last].is_skipped()
    assert seen == ["Pending>Skipped"]


async def test_a_hit_still_meets_the_trigger(made: Made, seen: Seen, tmp_path: Path) -> None:
    kept = results.LocalResult(dir=tmp_path)
    kept.at("x").write("there")
    with Flow("order") as flow:
        upstream = made(bare(ValueError("u")))()
        last = made(lambda: 1, result=kept, target="x", state_handlers=[seen])(upstream_tasks=[upstream])
    state = (await flow.run()).result[last]
    assert state.message == 'Trigger was "all_successful" but some of the upstream tasks failed.'
    assert seen == ["Pending>Cached", "Cached>TriggerFailed"]


async def test_skip_on_upstream_skip_can_be_turned_off(made: Made) -> None:
    with Flow("skips") as flow:
        upstream = made(bare(signals.SKIP("s")))()
        skipped = made(lambda: 1)(upstream_tasks=[upstream])
        runs = made(lambda: 1, skip_on_upstream_skip=False)(upstream_tasks=[upstream])
    states = (await flow.run()).result
    assert states[skipped].message == (
        "Upstream task was skipped; if this was not the intended behavior, consider changing `skip_on_upstream_skip=False`"
        " for this task."
    )
    assert states[runs].result == 1


@pytest.mark.parametrize("answer", [False, None, 0])
async def test_a_trigger_that_says_no(made: Made, answer: Any) -> None:
    state = await state_of(made, lambda: 1, trigger=lambda states: answer)
    assert (type(state), state.message) == (TriggerFailed, "Trigger failed")
    assert isinstance(state.result, signals.TRIGGERFAIL)


async def test_a_trigger_that_raises(made: Made) -> None:
    state = await state_of(made, lambda: 1, trigger=raising(RuntimeError("t")), max_retries=2, retry_delay=0)
    assert type(state) is TriggerFailed
    assert state.message == "Unexpected error while checking task trigger: RuntimeError('t')"
    assert (await state_of(made, lambda: 1, trigger=raising(signals.SUCCESS("s", result=4)))).result == 4


async def test_names_are_filled_in(made: Made) -> None:
    names: list[str] = []
    with Flow("names") as flow:
        day = Parameter("day", default=3)
        template = "{x}-{task_name}-{flow_name}-{parameters[day]}-{task_run_count}"
        first = made(lambda x: names.append(context.task_run_name), task_run_name=template)(day)
        made(lambda x: names.append(context.task_run_name), task_run_name=lambda **values: f"f{values['x']}")(
            day, upstream_tasks=[first]
        )
    await flow.run()
    assert names == ["3-t-names-3-1", "f3"]


@pytest.mark.parametrize("name", ["{nope}", lambda **values: {}["nope"]])
async def test_a_name_that_cannot_be_made_fails_without_handlers_and_retries(made: Made, seen: Seen, name: Any) -> None:
    options: dict[str, Any] = {"max_retries": 2, "retry_delay": 0, "state_handlers": [seen], "task_run_name": name}
    state = await state_of(made, lambda: 1, **options)
    assert state.message == "Task 't': Unexpected error while running task: KeyError('nope')"
    assert seen == []


async def test_what_it_says(made: Made, info_lines: Callable[[], list[str]]) -> None:
    def body() -> None:
        if context.get("task_loop_count", 1) < 3:
            raise signals.LOOP(result=1)
        raise signals.SKIP("enough")

    await state_of(made, body)
    assert info_lines()[:5] == [
        "Beginning Flow run for 'one'",
        "Task 't': Starting task run...",
        "Task 't': SKIP signal raised: SKIP('enough')",
        "Task 't': Finished task run for task with final state: 'Skipped'",
        "Flow run SUCCESS: all reference tasks succeeded",
    ]


async def test_what_it_says_of_mapped_tasks(made: Made, info_lines: Callable[[], list[str]]) -> None:
    with Flow("one") as flow:
        made(lambda x: x).map([1])
    await flow.run()
    assert [line for line in info_lines() if line.startswith("Task 't")] == [
        "Task 't': Starting task run...",
        "Task 't': Finished task run for task with final state: 'Mapped'",
        "Task 't[0]': Starting task run...",
        "Task 't[0]': Finished task run for task with final state: 'Success'",
    ]


async def test_the_context_of_a_task(made: Made) -> None:
    def body() -> list[Any]:
        names = "task_name task_full_name task_slug task_run_count map_index flow_name task_tags checkpointing"
        return [*(context[name] for name in names.split()), context.get("resume"), context.get("task_loop_count")]

    state = await state_of(made, body)
    assert state.result == ["t", "t", "t-1", 1, None, "one", set(), True, None, None]


async def test_nothing_a_task_sets_is_seen_by_the_next_one(made: Made) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="unset")

    def setting() -> None:
        context.leak = 1
        variable.set("leaked")

    with Flow("leaks") as flow:
        last = made(lambda x: (context.get("leak"), variable.get()))(made(setting)())
    assert (await flow.run()).result[last].result == (None, "unset")


async def test_tags_are_in_every_state(made: Made) -> None:
    assert (await state_of(made, lambda: 1, tags=["b", "a"])).context["tags"] == ["a", "b"]


async def test_values_for_one_task(made: Made) -> None:
    with Flow("values") as flow:
        one, other = (made(lambda: (context.get("extra"), context.task_name, context.task_run_count))() for _ in "ab")
    given = {"extra": 4, "task_name": "nobody", "task_run_count": 9}
    run = await flow.run(task_contexts={one: given})
    assert (run[one], run[other]) == ((4, "t", 1), (None, "t", 1))


# -- what user code beside a task's own raises ----------------------------------------------------------------------------


def options_raising(where: str, error: BaseException, place: Path) -> dict[str, Any]:
    boom = raising(error)
    kept = results.LocalResult(dir=place)

    async def handler(*args: Any) -> None:
        raise error

    return {
        "handler": {"state_handlers": [boom]},
        "async handler": {"state_handlers": [handler]},
        "trigger": {"trigger": boom},
        "name": {"task_run_name": boom},
        "target": {"target": boom, "result": kept},
        "location": {"result": results.LocalResult(dir=place, location=boom)},
    }[where]


PLACES = ("handler", "async handler", "trigger", "name", "target", "location")


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), BaseException("b"), ValueError("v")], ids=repr)
async def test_nothing_user_code_raises_gets_out(made: Made, tmp_path: Path, where: str, error: BaseException) -> None:
    state = await state_of(made, lambda: 1, **options_raising(where, error, tmp_path))
    assert state.is_failed()
    assert repr(error) in str(state.message)


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize(
    ("signal", "expected"),
    [(signals.FAIL("s"), Failed), (signals.SKIP("s"), Skipped), (signals.ENDRUN(Failed("s")), Failed)],
)
async def test_a_signal_is_the_state_wherever_it_is_raised(
    made: Made, tmp_path: Path, where: str, signal: BaseException, expected: type[State]
) -> None:
    state = await state_of(made, lambda: 1, **options_raising(where, signal, tmp_path))
    assert (type(state), state.message) == (expected, "s")


@pytest.mark.parametrize("where", PLACES)
async def test_raise_on_exception_holds_for_all_of_it(made: Made, tmp_path: Path, where: str) -> None:
    with raise_on_exception(), pytest.raises(ValueError, match="wanted"):
        await state_of(made, lambda: 1, **options_raising(where, ValueError("wanted"), tmp_path))


async def test_raise_on_exception_and_signals(made: Made, seen: Seen) -> None:
    with raise_on_exception():
        state = await state_of(made, bare(signals.FAIL("f")), max_retries=1, retry_delay=0, state_handlers=[seen])
    assert state.message == "f"
    assert seen == ["Pending>Running"]


async def test_raise_on_exception_does_not_wait_for_retries(made: Made) -> None:
    with raise_on_exception(), pytest.raises(ValueError, match="out"):
        await state_of(made, bare(ValueError("out")), max_retries=2, retry_delay=3600)


# -- E4: where results are written ----------------------------------------------------------------------------------------


async def test_what_is_written_where(made: Made, tmp_path: Path) -> None:
    def at(name: str) -> Result:
        return results.LocalResult(dir=tmp_path / "own", location=name)

    ends: dict[str, Any] = {
        "value": lambda: 5,
        "none": lambda: None,
        "success": bare(signals.SUCCESS("s", result=1)),
        "skip": bare(signals.SKIP("s", result=1)),
        "fail": bare(signals.FAIL("s", result=1)),
        "error": bare(ValueError("v")),
    }
    with Flow("writes", result=results.LocalResult(dir=tmp_path / "flow", location="{task_name}-{map_index}")) as flow:
        for name, body in ends.items():
            made(body, result=at(name))()
        made(lambda: 1, name="unwritten", checkpoint=False)()
        made(lambda: 1, name="of the flow")()
        made(lambda x: x, name="child").map([1, 2])
    await flow.run()
    assert names_in(tmp_path / "own") == ["success", "value"]
    assert names_in(tmp_path / "flow") == ["child-0", "child-1", "of the flow-None"]


async def test_a_location_knows_parameters_then_the_context_then_the_inputs(made: Made, tmp_path: Path) -> None:
    with Flow("fields") as flow:
        given = [Parameter(name, default="parameter") for name in ("p", "flow_name")]
        kept = results.LocalResult(dir=tmp_path, location="{task_name}-{p}-{flow_name}")
        made(lambda task_name: 1, result=kept)(made(lambda: "input")(), upstream_tasks=given)
    await flow.run()
    assert names_in(tmp_path) == ["input-parameter-fields"]


async def test_a_location_that_cannot_be_made_fails_after_the_code_ran(made: Made, seen: Seen, tmp_path: Path) -> None:
    ran: list[int] = []
    kept = results.LocalResult(dir=tmp_path, location="{nope}")
    state = await state_of(
        made, lambda: ran.append(1) or 5, result=kept, state_handlers=[seen], max_retries=1, retry_delay=0
    )
    assert state.message == "Unexpected error: KeyError('nope')"
    assert ran == [1, 1]
    assert seen[1:3] == ["Running>Failed", "Failed>Retrying"]


async def test_a_result_that_is_kept_nowhere_is_in_memory(made: Made) -> None:
    assert (await state_of(made, lambda: 5, result=Result(location="{nope}"))).result == 5


async def test_the_record_of_a_skip_with_a_result(made: Made, in_memory: Runtime) -> None:
    with Flow("skip") as flow:
        made(bare(signals.SKIP("s", result=9)))()
    run = await flow.run()
    (row,) = await in_memory.session.host._around.reader.task_runs(run.id)
    assert row.result is not None


async def test_a_cached_state_from_a_handler_is_a_success(made: Made) -> None:
    state = await state_of(
        made, lambda: 1, state_handlers=[lambda t, old, new: Cached("c", 3) if new.is_successful() else None]
    )
    assert (type(state), state.result) == (Cached, 3)
