"""What the engine does with a graph: order, data, concurrency, mapping, retries, timeouts, cancellation."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from prefectlite import Flow, FlowRun, Parameter, Runtime, Task, context, signals, task, triggers, unmapped
from prefectlite.states import Failed, Mapped, Pending, Running, Skipped, Success, TimedOut, TriggerFailed
from tests.conftest import HeldClock

pytestmark = pytest.mark.asyncio


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest_asyncio.fixture
async def runtime(database_url: str, clock: HeldClock) -> AsyncIterator[Runtime]:
    async with Runtime(database_url=database_url, clock=clock) as opened:
        yield opened


@task
async def echo(value: Any) -> Any:
    return value


@task
def plus(x: int, y: int) -> int:
    return x + y


@task
def fail(value: Any = None) -> None:
    raise ValueError(f"no {value}")


async def recorded(runtime: Runtime, run: FlowRun) -> dict[tuple[str, int], str]:
    """The state of every task run in the record, by task and map index."""
    rows = await runtime.session.database.read(
        "SELECT t.name, r.map_index, r.state FROM task_run r JOIN task t ON t.id = r.task_id WHERE r.flow_run_id = $1",
        (run.id,),
    )
    return {(name, index): state for name, index, state in rows}


async def test_data_flows_from_task_to_task(runtime: Runtime) -> None:
    class Scale(Task):
        def run(self, value: int, factor: int = 10) -> int:  # type: ignore[override]
            return value * factor

    with Flow("data") as flow:
        start = Parameter("start", default=1)
        total = plus(echo(start), y=echo(2))
        scaled = Scale()(total)
        gathered = echo([total, {"scaled": scaled, "constant": 5}, (start,), {"a": 1}])
    run = await flow.run(start=4)
    assert run[gathered] == [6, {"scaled": 60, "constant": 5}, (4,), {"a": 1}]
    assert run.state == Success(result=run.result)
    assert (await flow.run())[total] == 3


async def test_upstream_tasks_order_without_data(runtime: Runtime) -> None:
    seen: list[str] = []

    @task
    def note(name: str) -> None:
        seen.append(name)

    with Flow("order") as flow:
        first = note("first")
        second = note("second", upstream_tasks=[first])
        third = note("third")
        third.set_upstream(second)
    assert (await flow.run()).is_successful()
    assert seen == ["first", "second", "third"]


async def test_branches_run_at_the_same_time(runtime: Runtime) -> None:
    barrier, meeting = threading.Barrier(2, timeout=5), asyncio.Barrier(3)

    @task
    def in_a_thread() -> int:
        return barrier.wait()

    @task
    async def on_the_loop() -> None:
        async with asyncio.timeout(5):
            await meeting.wait()

    with Flow("branches") as flow:
        for _ in range(2):
            in_a_thread()
        for _ in range(3):
            on_the_loop()
    assert (await flow.run()).is_successful()


async def test_plain_functions_leave_the_loop_free_and_carry_the_context(runtime: Runtime) -> None:
    loop_thread = threading.get_ident()

    @task
    def where() -> tuple[bool, str, str]:
        return threading.get_ident() == loop_thread, context.task_name, context.flow_run_id

    with Flow("threads") as flow:
        place = where()
    run = await flow.run()
    assert run[place] == (False, "where", run.id)


async def test_map_unmapped_and_reduce(runtime: Runtime) -> None:
    @task
    def total(values: list[int]) -> int:
        return sum(values)

    with Flow("map") as flow:
        ones = plus.map([1, 2, 3], unmapped(10))
        twos = plus.map(ones, ones)
        result = total(twos)
    run = await flow.run()
    assert run[result] == 72
    assert isinstance(run.result[ones], Mapped)
    assert run.result[twos].result == [22, 24, 26]
    states = await recorded(runtime, run)
    assert states["plus", -1] == "Mapped"
    assert states["plus", 2] == "Success"


async def test_mapping_goes_depth_first(runtime: Runtime) -> None:
    """A child of the second map runs as soon as its own upstream child has ended."""
    release = asyncio.Event()

    @task
    async def first(index: int) -> int:
        if index == 0:
            await release.wait()
        return index

    @task
    async def second(index: int) -> int:
        if index == 1:
            release.set()
        return index

    with Flow("depth") as flow:
        second.map(first.map([0, 1]))
    async with asyncio.timeout(5):
        assert (await flow.run()).is_successful()


@pytest.mark.parametrize("values", [[], (), range(0)])
async def test_mapping_over_nothing(runtime: Runtime, values: Any) -> None:
    with Flow("nothing") as flow:
        children = plus.map(echo(values), unmapped(1))
        more = plus.map(children, unmapped(1))
        end = echo(more)
    run = await flow.run()
    assert run.is_successful()
    assert run[end] == []


@pytest.mark.parametrize("value", [{"a": 1}, {1, 2}, 5])
async def test_mapping_over_what_has_no_elements(runtime: Runtime, value: Any) -> None:
    with Flow("unmappable") as flow:
        children = echo.map(echo(value))
    run = await flow.run()
    assert run.is_failed()
    assert "unmappable" in (run.result[children].message or "")


async def test_a_failed_child_fails_its_own_lane_only(runtime: Runtime) -> None:
    @task
    def inverse(x: int) -> float:
        return 1 / x

    with Flow("lanes") as flow:
        parts = inverse.map([1, 0, 2])
        after = echo.map(parts)
        always = echo(after, task_args={"trigger": triggers.all_finished})
    run = await flow.run()
    assert [type(state) for state in run.result[after].map_states] == [Success, TriggerFailed, Success]
    assert run.is_successful()  # the only terminal task ran
    assert isinstance(run[always][1], signals.TRIGGERFAIL)


async def test_a_failure_keeps_what_depends_on_it_from_running(runtime: Runtime) -> None:
    with Flow("failure") as flow:
        failed = fail("luck")
        after = echo(failed)
        last = echo(after)
        apart = echo(1)
    run = await flow.run()
    assert run.is_failed()
    assert run.message == "Some reference tasks failed."
    assert isinstance(run.result[failed].result, ValueError)
    assert run.result[failed].message == "Error during execution of task: ValueError('no luck')"
    assert isinstance(run.result[after], TriggerFailed)
    assert isinstance(run.result[last], TriggerFailed)
    assert run[apart] == 1
    with pytest.raises(ValueError, match="no luck"):
        run[failed]


async def test_reference_tasks_decide(runtime: Runtime) -> None:
    with Flow("reference") as flow:
        good = echo(1)
        fail()
    flow.set_reference_tasks([good])
    assert (await flow.run()).is_successful()


async def test_skip_is_passed_on(runtime: Runtime) -> None:
    @task
    def skip() -> None:
        raise signals.SKIP("not today")

    with Flow("skip") as flow:
        skipped = skip()
        after = echo(skipped)
        anyway = echo(skipped, task_args={"skip_on_upstream_skip": False})
    run = await flow.run()
    assert run.is_successful()
    assert isinstance(run.result[skipped], Skipped)
    assert isinstance(run.result[after], Skipped)
    assert type(run.result[anyway]) is Success


async def test_retry_waits_for_its_delay_by_the_clock(runtime: Runtime, clock: HeldClock) -> None:
    attempts: list[int] = []

    @task(max_retries=2, retry_delay=timedelta(hours=1))
    def flaky() -> str:
        attempts.append(context.task_run_count)
        if len(attempts) < 3:
            raise OSError("not yet")
        return "done"

    with Flow("retry") as flow:
        result = flaky()
        quick = echo("quick")
    waiting = asyncio.create_task(flow.run())
    await clock.sleeper(2)
    assert attempts == [1]
    clock.advance(3599)
    clock.advance(2)
    await clock.sleeper(2)
    assert attempts == [1, 2]
    clock.advance(3600)
    run = await waiting
    assert (run[result], run[quick], attempts) == ("done", "quick", [1, 2, 3])
    rows = await runtime.session.database.read(
        "SELECT s.state FROM task_run_state s JOIN task_run r ON r.id = s.task_run_id JOIN task t ON t.id = r.task_id"
        " WHERE t.name = 'flaky' ORDER BY s.seq"
    )
    assert [state for (state,) in rows] == ["Running", "Retrying", "Running", "Retrying", "Running", "Success"]


async def test_retry_runs_out(runtime: Runtime) -> None:
    attempts: list[int] = []

    @task(max_retries=2, retry_delay=0)
    def hopeless() -> None:
        attempts.append(1)
        raise OSError("never")

    with Flow("hopeless") as flow:
        hopeless()
    assert (await flow.run()).is_failed()
    assert len(attempts) == 3


async def test_retry_on_takes_only_these(runtime: Runtime) -> None:
    attempts: list[int] = []

    @task(max_retries=2, retry_delay=0, retry_on=OSError)
    def wrong() -> None:
        attempts.append(1)
        raise ValueError("another kind")

    with Flow("retry on") as flow:
        wrong()
    assert (await flow.run()).is_failed()
    assert len(attempts) == 1


async def test_timeout_of_a_coroutine(runtime: Runtime) -> None:
    ended = asyncio.Event()

    @task(timeout=0.05)
    async def slow() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()

    with Flow("timeout") as flow:
        result = slow()
    run = await flow.run()
    assert isinstance(run.result[result], TimedOut)
    assert ended.is_set()


async def test_timeout_of_a_thread_interrupts_python_code(runtime: Runtime) -> None:
    ended = threading.Event()

    @task(timeout=0.05)
    def busy() -> None:
        try:
            while True:
                time.sleep(0.001)
        finally:
            ended.set()

    with Flow("thread timeout") as flow:
        result = busy()
    run = await flow.run()
    assert isinstance(run.result[result], TimedOut)
    assert await asyncio.to_thread(ended.wait, 5)


async def test_a_timeout_of_the_users_own_is_an_ordinary_failure(runtime: Runtime) -> None:
    @task(timeout=30)
    async def own() -> None:
        raise TimeoutError("mine")

    with Flow("own timeout") as flow:
        result = own()
    run = await flow.run()
    assert type(run.result[result]) is Failed


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError(), StopIteration()]
)
@pytest.mark.parametrize("is_async", [True, False])
async def test_no_exception_of_user_code_gets_out(runtime: Runtime, error: BaseException, is_async: bool) -> None:
    @task
    async def on_the_loop() -> None:
        raise error

    @task
    def in_a_thread() -> None:
        raise error

    with Flow("base exceptions") as flow:
        result = (on_the_loop if is_async else in_a_thread)()
    run = await flow.run()
    assert isinstance(run.result[result], Failed)
    assert (await flow.run()).is_failed(), "the session lives on"


async def test_a_plain_function_around_an_async_one_is_awaited(runtime: Runtime) -> None:
    async def twice(x: int) -> int:
        await asyncio.sleep(0)
        return 2 * x

    @task
    def wrapped(x: int) -> Any:
        return twice(x)

    with Flow("wrapped") as flow:
        result = wrapped(4)
    assert (await flow.run())[result] == 8


async def test_values_that_json_cannot_hold_are_no_trouble(runtime: Runtime) -> None:
    with Flow("values") as flow:
        result = echo(Parameter("value"))
    value = {"surrogate": "\ud800", "set": {1}, "nan": float("nan"), "huge": 10**5000, 5: "number"}
    run = await flow.run(value=value)
    assert run[result] is value


async def test_signals_become_states(runtime: Runtime) -> None:
    @task
    def succeed() -> None:
        raise signals.SUCCESS("enough", result=[1, 2])

    with Flow("signals") as flow:
        result = echo(succeed())
    run = await flow.run()
    assert run[result] == [1, 2]


async def test_an_empty_flow_succeeds(runtime: Runtime) -> None:
    run = await Flow("empty").run()
    assert run.is_successful()
    assert run.result == {}


async def test_a_chain_longer_than_the_stack(runtime: Runtime) -> None:
    with Flow("chain") as flow:
        value = echo(0)
        for _ in range(1500):
            value = echo(value)
    assert (await flow.run())[value] == 0


async def test_cancel_stops_what_runs_and_records_it(runtime: Runtime) -> None:
    begun = asyncio.Event()

    @task
    async def forever() -> None:
        begun.set()
        await asyncio.sleep(3600)

    with Flow("cancel") as flow:
        endless = forever()
        after = echo(endless)
    run = flow.run()
    waiting = asyncio.create_task(run)
    await begun.wait()
    run.cancel()
    assert (await waiting).state.name == "Cancelled"
    assert run.result[endless].name == "Cancelled"
    assert isinstance(run.result[after], Pending)
    assert await recorded(runtime, run) == {("forever", -1): "Cancelled"}


async def test_cancelling_who_waits_cancels_the_run(runtime: Runtime) -> None:
    begun = asyncio.Event()

    @task
    async def forever() -> None:
        begun.set()
        await asyncio.sleep(3600)

    with Flow("cancel waiter") as flow:
        forever()
    run = flow.run()
    waiting = asyncio.create_task(run)
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert run.state.name == "Cancelled"


async def test_a_detached_run_goes_on(runtime: Runtime) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    @task
    async def wait() -> str:
        begun.set()
        await go_on.wait()
        return "done"

    with Flow("detached") as flow:
        result = wait()
    run = flow.run().detach()
    waiting = asyncio.create_task(run)
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go_on.set()
    assert (await run)[result] == "done"


async def test_results_that_cannot_be_written_down_stay_in_memory(runtime: Runtime) -> None:
    @task
    def lock() -> Any:
        return threading.Lock()

    @task
    def use(held: Any) -> bool:
        return bool(held.acquire(blocking=False))

    with Flow("in memory") as flow:
        result = use(lock())
    run = await flow.run()
    assert run[result] is True
    lines = await runtime.session.database.read("SELECT message FROM log WHERE level = 'WARNING'")
    assert len(lines) == 1
    assert "computed again on resume" in lines[0][0]


async def test_log_lines_and_stdout_are_recorded_for_their_own_task(runtime: Runtime) -> None:
    @task(log_stdout=True)
    def talk(who: str) -> None:
        print(f"I am {who}")
        context.logger.info("%s logs", who)

    with Flow("logs") as flow:
        talk("ann")
        talk("bob")
    run = await flow.run()
    rows = await runtime.session.database.read(
        "SELECT task_run_id, message FROM log WHERE flow_run_id = $1 AND task_run_id IS NOT NULL ORDER BY seq", (run.id,)
    )
    by_task: dict[str, list[str]] = {}
    for task_run_id, message in rows:
        by_task.setdefault(task_run_id, []).append(message)
    assert sorted(by_task.values()) == [["I am ann", "ann logs"], ["I am bob", "bob logs"]]


async def test_cancelling_a_busy_run_ends_it(runtime: Runtime) -> None:
    """Some of its tasks are just being committed when the order comes."""

    @task
    async def nap(index: int) -> int:
        await asyncio.sleep(index % 7 / 50)
        return index

    with Flow("busy") as flow:
        nap.map(list(range(1500)))
    run = flow.run()
    waiting = asyncio.create_task(run)
    with runtime.session.bus.subscribe(("flow_runs",)) as news:
        await anext(news)
        await anext(news)
    await asyncio.sleep(0.1)
    run.cancel()
    assert (await waiting).state.name == "Cancelled"
    states = await recorded(runtime, run)
    assert set(states.values()) <= {"Mapped", "Success", "Cancelled"}


async def test_a_task_that_cancels_itself_fails(runtime: Runtime) -> None:
    @task
    async def cancels_itself() -> None:
        current = asyncio.current_task()
        assert current is not None
        current.cancel()
        await asyncio.sleep(1)

    with Flow("cancels itself") as flow:
        result = cancels_itself()
        apart = echo(1)
    run = await flow.run()
    assert run.is_failed()
    assert run.result[result].message == "The task cancelled itself"
    assert run[apart] == 1


async def test_a_trigger_that_exits_fails_its_task(runtime: Runtime) -> None:
    def leave(states: Any) -> bool:
        raise SystemExit(3)

    with Flow("leaves") as flow:
        result = echo(echo(1), task_args={"trigger": leave})
    run = await flow.run()
    assert isinstance(run.result[result], TriggerFailed)


class Odd:
    """Something that looks as if it could be mapped over."""

    def __init__(self, length: Any) -> None:
        self.length = length

    def __len__(self) -> int:
        if isinstance(self.length, int):
            return self.length
        raise self.length  # type: ignore[no-any-return]

    def __getitem__(self, index: int) -> int:
        raise RuntimeError("not this one")


@pytest.mark.parametrize("value", [Odd(3), Odd(OSError("gone"))])
async def test_what_the_mapped_value_raises_fails_that_task_alone(runtime: Runtime, value: Odd) -> None:
    with Flow("odd") as flow:
        children = echo.map(echo(value, task_args={"checkpoint": False}))
        apart = echo(1)
    run = await flow.run()
    assert run.is_failed()
    assert run[apart] == 1
    assert run.result[children].name in ("Failed", "Mapped")


async def test_a_run_ended_by_hand_stops(runtime: Runtime) -> None:
    begun = asyncio.Event()

    @task
    async def forever() -> None:
        begun.set()
        await asyncio.sleep(3600)

    with Flow("by hand") as flow:
        forever()
    run = flow.run()
    waiting = asyncio.create_task(run)
    await begun.wait()
    await runtime.session.client.set_flow_run_state(run.id, Failed("enough"))
    await waiting
    assert run.state.name == "Failed"
    assert run.message == "enough"


async def test_a_state_that_somebody_sets_of_a_task_that_runs_does_not_end_its_run(database_url: str) -> None:
    async with Runtime(database_url=database_url, agent=False) as runtime:
        assert runtime.session is not None
        client = runtime.session.client

        @task
        async def moved() -> int:
            await asyncio.sleep(0.1)  # until the record knows that it runs
            await client.set_task_run_state(context.task_run_id, Running("By hand"))
            return 1

        with Flow("moved") as flow:
            only = moved()
        async with asyncio.timeout(20):
            run = await flow.run()
        assert (run.is_successful(), run[only]) == (True, 1)
        found = await runtime.session.database.read("SELECT state, version FROM task_run")
        assert found == [("Success", 3)]


async def test_a_final_state_that_somebody_sets_of_a_task_that_runs_is_how_it_ended(database_url: str) -> None:
    async with Runtime(database_url=database_url, agent=False) as runtime:
        assert runtime.session is not None
        client = runtime.session.client

        @task
        async def given_up(state: Success | Failed) -> int:
            await asyncio.sleep(0.1)  # until the record knows that it runs
            await client.set_task_run_state(context.task_run_id, state)
            return 1

        @task(max_retries=1, retry_delay=timedelta(hours=1))
        async def retried() -> None:
            await asyncio.sleep(0.1)
            await client.set_task_run_state(context.task_run_id, Success("By hand"))
            raise ValueError("it would wait for an hour")

        @task(trigger=triggers.all_finished)
        async def after(value: object) -> object:
            return value

        with Flow("ended by hand") as flow:
            good, bad, again = given_up(Success("By hand")), given_up(Failed("By hand")), retried()
            after_good, after_bad = after(good), after(bad)
        async with asyncio.timeout(20):
            run = await flow.run()
        assert run.is_successful()  # its last tasks did as they were told
        assert [run.result[task].message for task in (good, bad, again)] == ["By hand"] * 3
        assert (run[after_good], run.result[after_bad].is_successful()) == (None, True)
        rows = await runtime.session.database.read("SELECT DISTINCT state FROM task_run ORDER BY state")
        assert rows == [("Failed",), ("Success",)]
