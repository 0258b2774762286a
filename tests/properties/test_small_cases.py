"""Small flows on which the random ones once found the engine wrong."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from prefectlite import Flow, Runtime, context, flatten, mapped, signals, task, triggers
from prefectlite.engine.host import Host
from prefectlite.engine.requests import RunOptions
from prefectlite.repository import runs
from prefectlite.session import Session, open_session
from prefectlite.settings import Settings
from prefectlite.states import Failed, Mapped, Resume, Skipped, State, Success, TriggerFailed
from tests.properties.building import Built, own_api
from tests.properties.sketches import Node, Sketch

pytestmark = pytest.mark.asyncio


@task
async def echo(**inputs: Any) -> Any:
    return inputs.get("x")


@task
async def fail(**inputs: Any) -> None:
    raise ValueError("no")


async def states_of(flow: Flow, **options: Any) -> dict[Any, State]:
    async with Runtime(database_url="sqlite://:memory:", agent=False):
        result: dict[Any, State] = (await flow.run(**options)).state.result
        return result


async def test_a_child_skipped_upstream_skips_the_whole_map_that_is_not_mapped_over_it() -> None:
    @task
    def skip_second(x: int) -> None:
        if x == 2:
            raise signals.SKIP

    with Flow("skipped") as flow:
        parts = skip_second.map([1, 2])
        whole = echo.copy().bind(x=mapped([1, 2]), upstream_tasks=[parts])
        unmappable = echo.copy().bind(x=mapped(5), upstream_tasks=[parts])
    states = await states_of(flow)
    assert type(states[whole]) is Skipped
    assert type(states[unmappable]) is Skipped


async def test_children_skipped_upstream_skip_only_those_mapped_over_them() -> None:
    @task
    def skip(x: int) -> None:
        raise signals.SKIP

    with Flow("skipped") as flow:
        parts = skip.map([1, 2])
        seen_first = echo.copy(skip_on_upstream_skip=False).bind(upstream_tasks=[parts])
        mapped_later = echo.copy().bind(x=mapped(parts), upstream_tasks=[seen_first])
        flattened = echo.copy().bind(x=mapped(flatten(parts)), upstream_tasks=[seen_first])
    states = await states_of(flow)
    for children in (mapped_later, flattened):
        assert [type(child) for child in states[children].map_states] == [Skipped] * 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("unmappable_first", [False, True])
async def test_what_was_skipped_upstream_skips_whatever_else_comes(unmappable_first: bool) -> None:
    @task
    def skip() -> None:
        raise signals.SKIP

    with Flow("skipped") as flow:
        skipped, whole = skip(), echo.copy()
        flow.add_task(whole)
        for wire in [{"x": mapped(5)}, {"y": skipped}][:: 1 if unmappable_first else -1]:
            whole.bind(**wire)
    assert type((await states_of(flow))[whole]) is Skipped


async def test_what_is_flattened_and_failed_fails_every_child() -> None:
    with Flow("flattened") as flow:
        failed = fail()
        children = echo.copy().bind(x=mapped([1, 2]), upstream_tasks=[mapped(flatten(failed))])
    assert [type(child) for child in (await states_of(flow))[children].map_states] == [TriggerFailed] * 2  # type: ignore[attr-defined]


async def test_a_flattened_reduce_takes_each_child_for_itself() -> None:
    with Flow("reduce") as flow:
        whole = echo(x=flatten(task(lambda x: x).map([1, [2, 3], [], None, "ab"])))
    assert (await states_of(flow))[whole].result == [1, 2, 3, None, "a", "b"]


async def test_given_children_may_be_made_of_what_is_flattened() -> None:
    with Flow("given") as flow:
        children = echo.copy().bind(x=mapped(flatten([[1], [2]])))
    state = (await states_of(flow, task_states={children: Mapped(map_states=[Success(result=7), None])}))[children]
    assert state.result == [7, 2]


@pytest.mark.parametrize(
    ("elements", "upstream", "given", "expected"),
    [
        ([1, 2, 3], None, [Success(result=7)], [7]),  # of a list no more than were given
        ([1, 2], None, [None, None, None], [1, 2]),  # nor than there are elements
        ([1, 2, 3], None, [], [1, 2, 3]),
        (mapped([1, 2, 3]), None, [Success(result=7)], [7, 2, 3]),  # children are mapped over as they are
        ([1, 2, 3], Failed(result=None), [Success(result=7), None], [7, None]),  # what failed gives nothing
        ([1, 2, 3], Failed(result=[5, 6]), [None, None, None], [5, 6]),
        ([1, 2, 3], Failed(result=[5, 6]), None, "No upstream states can be mapped over."),
    ],
)
async def test_how_many_children_a_task_has_that_is_given_some(
    elements: Any, upstream: State | None, given: list[State | None] | None, expected: Any
) -> None:
    with Flow("given") as flow:
        first = echo(x=elements)
        children = echo.copy(trigger=triggers.always_run).bind(x=mapped(first))
    states = {first: upstream, children: None if given is None else Mapped(map_states=given)}
    state = (await states_of(flow, task_states={made: state for made, state in states.items() if state is not None}))[
        children
    ]
    assert (state.result if isinstance(state, Mapped) else state.message) == expected


async def test_as_many_children_as_find_an_element_of_what_failed() -> None:
    with Flow("failed") as flow:
        failed, nested = echo(x=1), echo(x=2)
        children = echo.copy(trigger=triggers.always_run).bind(x=mapped(failed), y=mapped([1, 2, 3]))
        flattened = echo.copy(trigger=triggers.always_run).bind(x=mapped(flatten(nested)), y=mapped([1, 2, 3, 4]))
    given = {failed: Failed(result=[5, 6]), nested: Failed(result=[[5, 6], [7]])}
    states = await states_of(flow, task_states=given)
    assert (states[children].result, states[flattened].result) == ([5, 6], [5, 6, 7])


async def test_what_is_flattened_and_skipped_is_skipped_for_every_child() -> None:
    with Flow("skipped") as flow:
        first = echo(x=1)
        children = echo.copy(skip_on_upstream_skip=False, trigger=triggers.not_all_skipped).bind(x=mapped(flatten(first)))
    state = (await states_of(flow, task_states={first: Skipped(result=[[1], [2]])}))[children]
    assert [child.message for child in state.map_states] == ["All upstreams were skipped"] * 2  # type: ignore[attr-defined]


async def test_what_was_skipped_upstream_skips_given_children() -> None:
    with Flow("skipped") as flow:
        parts, first = echo(x=[1, 2]), echo(x=1)
        children = echo.copy().bind(x=mapped(parts), upstream_tasks=[first])
    states = await states_of(flow, task_states={first: Skipped(), children: Mapped(map_states=[Success(), None])})
    assert type(states[children]) is Skipped


async def test_children_begin_in_the_state_their_parent_was_given() -> None:
    with Flow("resumed") as flow:
        children = task(lambda x: x, trigger=triggers.manual_only).map([1, 2])
    assert (await states_of(flow, task_states={children: Resume()}))[children].result == [1, 2]


async def test_handlers_of_a_mapped_task_see_its_own_context() -> None:
    seen: list[Any] = []

    def note(made: Any, old: State, new: State) -> None:
        if isinstance(new, Mapped):
            seen.append((context.task_name, context.get("map_index")))

    with Flow("context") as flow:
        first = task(lambda x: [x], name="first").map([1, 2])
        second = task(lambda x: x, name="second", state_handlers=[note]).map(first)
        task(lambda x: x, name="third", state_handlers=[note]).map(flatten(second), upstream_tasks=[[1, 2]])
    await states_of(flow)
    assert seen == [("second", None), ("third", None)]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (["signal", "FAIL", False], ("Failed", "FAIL")),
        (["signal", "FAIL", True], ("Failed", "int")),
        (["signal", "SKIP", False], ("Skipped", "SKIP")),
        (["endrun", "Success"], ("Success", "int")),
        (["error", "ValueError"], ("Failed", "ValueError")),
    ],
)
async def test_how_a_task_ended_is_there_again_when_the_run_is_taken_up(step: Any, expected: tuple[str, str]) -> None:
    assert await ends_after_interruption(Node(script=[[[step]]])) == expected


async def test_a_loop_that_ends_with_nothing_gives_nothing_when_the_run_is_taken_up() -> None:
    node = Node(script=[[[["signal", "LOOP", True]], [["echo"]]]])
    assert await ends_after_interruption(node) == ("Success", "NoneType")


async def test_what_went_on_after_a_pause_does_not_pause_again_when_the_run_is_taken_up() -> None:
    node = Node(script=[[[["signal", "PAUSE", False]]]])
    assert await calls_with_interruption(node, 2) == [(1, 1)] * 3


async def test_an_attempt_that_paused_is_the_same_one_when_the_run_is_taken_up_in_the_pause() -> None:
    attempts: list[int] = []

    @task(max_retries=1, retry_delay=timedelta(0))
    def approved() -> None:
        attempts.append(context.task_run_count)
        if len(attempts) == 1:
            raise ValueError("no")
        if not context.get("resume"):
            raise signals.PAUSE("may it?")

    with Flow("paused") as flow:
        approved()
    async with open_session(Settings(database_url="sqlite://:memory:")) as session:

        async def interrupt_paused(host: Host) -> None:
            while await session.database.read("SELECT state FROM task_run") != [("Paused",)]:
                pass
            host.interrupt()

        waiting: list[asyncio.Task[None]] = []
        await taken_up(session, flow, lambda host: waiting.append(asyncio.ensure_future(interrupt_paused(host))))
        assert waiting[0].done()
    assert attempts == [1, 2, 2]


async def ends_after_interruption(node: Node) -> tuple[str, str]:
    """The state and the type of the result of a task that ended before its run was interrupted, in a later process."""
    last = Node(trigger=["all_finished"], skips=False)
    built, final = await interrupted(Sketch([node, last], workers=1), lambda built: bool(built.calls[1, -1]))
    state = final.result[built.tasks[0]]
    assert len(built.calls[0, -1]) == (2 if "LOOP" in str(node.script) else 1)
    return type(state).__name__, type(state.result).__name__


async def calls_with_interruption(node: Node, count: int) -> list[tuple[int, int]]:
    """The calls of a task whose run is interrupted in the `count`-th, and taken up again."""
    built, _ = await interrupted(Sketch([node], workers=1), lambda built: len(built.calls[0, -1]) == count)
    return built.calls[0, -1]


async def interrupted(sketch: Sketch, is_moment: Callable[[Built], bool]) -> tuple[Built, State]:
    """The flow of `sketch`, whose tasks come one after the other, and how its run ended that is interrupted at a moment."""
    built, loop = Built(sketch, own_api()), asyncio.get_running_loop()
    for first, then in itertools.pairwise(built.tasks):
        then.set_upstream(first, flow=built.flow)

    def arrange(host: Host) -> None:
        def count() -> None:
            if is_moment(built):
                loop.call_soon_threadsafe(host.interrupt)

        built.on_event = count

    async with open_session(Settings(database_url="sqlite://:memory:")) as session:
        return built, await taken_up(session, built.flow, arrange)


async def taken_up(session: Session, flow: Flow, arrange: Callable[[Host], None]) -> State:
    """How a run of `flow` ends that is interrupted as arranged, and taken up by a second process; there all is approved."""
    run, row = await session.create(flow, {})
    hosts = [Host(f"process {number}", session._surroundings()) for number in range(2)]
    arrange(hosts[0])
    options = RunOptions(executor=flow.executor)
    running = asyncio.ensure_future(
        hosts[0].execute(flow, row.task_ids, run, {}, {}, options, takeover_from=session.owner.id)
    )
    await asyncio.wait([running])
    again = await runs.flow_run(session.database, run.id)
    options = RunOptions(executor=flow.executor, prompt=lambda question: "y")
    final = await hosts[1].execute(flow, row.task_ids, again, {}, {}, options, takeover_from="process 0")
    for host in hosts:
        host.close()
    return final
