from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from prefectlite import Flow, FlowRun, Runtime, Task, signals, states, task, testing
from prefectlite.clock import current_time, process_clock
from prefectlite.testing import VirtualClock

START = datetime(2024, 3, 1, 12, tzinfo=UTC)
pytestmark = pytest.mark.usefixtures("prefectlite_database")


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    with testing.virtual_clock(START) as clock:
        yield clock


def flaky(failures: int, delay: timedelta, seen: list[datetime], name: str = "flaky") -> Task:
    @task(name=name, max_retries=failures, retry_delay=delay)
    def fail_at_first() -> int:
        seen.append(current_time())
        if len(seen) <= failures:
            raise ValueError("not yet")
        return len(seen)

    return fail_at_first


def hours(seen: list[datetime]) -> list[float]:
    return [(moment - START) / timedelta(hours=1) for moment in seen]


def test_retries_of_hours_and_days_take_no_time(clock: VirtualClock) -> None:
    seen: list[datetime] = []
    with Flow("hours") as flow:
        flaky(3, timedelta(days=50), seen)()
    assert flow.run().is_successful()
    assert hours(seen) == [0, 1200, 2400, 3600]
    assert clock.now() == START + timedelta(days=150)
    assert clock.elapsed == clock.monotonic() == timedelta(days=150).total_seconds()


def test_what_waits_goes_on_in_order(clock: VirtualClock) -> None:
    slow: list[datetime] = []
    quick: list[datetime] = []
    with Flow("two") as flow:
        flaky(1, timedelta(hours=5), slow, "slow")()
        flaky(3, timedelta(hours=1), quick, "quick")()
    assert flow.run().is_successful()
    assert (hours(slow), hours(quick)) == ([0, 5], [0, 1, 2, 3])


def test_children_of_a_mapped_task_wait_each_for_themselves(clock: VirtualClock) -> None:
    ends: dict[int, datetime] = {}

    @task(max_retries=9, retry_delay=timedelta(hours=1))
    def late(number: int) -> None:
        ends.setdefault(number, current_time() + timedelta(hours=number))
        if current_time() < ends[number]:
            raise ValueError
        ends[number] = current_time()

    with Flow("children") as flow:
        late.map([0, 1, 2, 9])
    assert flow.run().is_successful()
    assert hours(list(ends.values())) == [0, 1, 2, 9]


@pytest.mark.parametrize("kind", ["thread", "coroutine"])
def test_time_stands_still_while_something_works(clock: VirtualClock, kind: str) -> None:
    retried = threading.Event()

    @task
    def work_in_thread() -> float:
        assert not retried.wait(0.05)
        return clock.elapsed

    @task
    async def work_in_coroutine() -> float:
        await asyncio.sleep(0.05)
        assert not retried.is_set()
        return clock.elapsed

    @task(max_retries=1, retry_delay=timedelta(hours=1))
    def again() -> None:
        if not clock.elapsed:
            raise ValueError
        retried.set()

    with Flow("busy") as flow:
        worked = work_in_thread() if kind == "thread" else work_in_coroutine()
        again()
    assert flow.run()[worked] == 0
    assert clock.elapsed == 3600


def test_a_pause_with_an_end_passes(clock: VirtualClock) -> None:
    @task
    def pause() -> str:
        if clock.elapsed < 7200:
            raise signals.PAUSE("later", start_time=clock.now() + timedelta(hours=2))
        return "resumed"

    with Flow("pausing") as flow:
        paused = pause()
    assert flow.run()[paused] == "resumed"
    assert clock.elapsed == 7200


def test_pauses_and_retries_keep_their_order(clock: VirtualClock) -> None:
    ends: list[datetime] = []
    seen: list[datetime] = []

    @task
    def pause(hour: int) -> None:
        if clock.now() < START + timedelta(hours=hour):
            raise signals.PAUSE("later", start_time=START + timedelta(hours=hour))
        ends.append(current_time())

    with Flow("mixed") as flow:
        pause.map([1, 2, 3, 4, 5])
        flaky(4, timedelta(hours=1.25), seen)()
    assert flow.run().is_successful()
    assert sorted(hours(ends)) == [1, 2, 3, 4, 5]
    assert hours(seen) == [0, 1.25, 2.5, 3.75, 5]


def test_a_run_of_later_begins_then(clock: VirtualClock) -> None:
    @task
    def when() -> datetime:
        return current_time()

    with Flow("later") as flow:
        moment = when()
    run = flow.run(state=states.Scheduled(start_time=START + timedelta(days=1)))
    assert run[moment] == START + timedelta(days=1)


@pytest.mark.parametrize("kind", ["thread", "coroutine"])
def test_a_flow_run_by_a_task_waits_as_well(clock: VirtualClock, kind: str) -> None:
    seen: list[datetime] = []
    with Flow("inner") as inner:
        flaky(2, timedelta(hours=1), seen)()

    @task
    def run_in_thread() -> bool:
        return inner.run().is_successful()

    @task
    async def run_in_coroutine() -> bool:
        return (await inner.run()).is_successful()

    with Flow("outer") as outer:
        done = run_in_thread() if kind == "thread" else run_in_coroutine()
    assert outer.run()[done] is True
    assert hours(seen) == [0, 1, 2]


@pytest.mark.asyncio
async def test_runs_side_by_side_share_the_time(clock: VirtualClock) -> None:
    flows, moments = [], []
    for delay in (1, 2, 3):
        seen: list[datetime] = []
        with Flow(f"every {delay}") as flow:
            flaky(2, timedelta(hours=delay), seen)()
        flows.append(flow)
        moments.append(seen)
    runs: list[FlowRun] = await asyncio.gather(*[flow.run() for flow in flows])
    assert all(run.is_successful() for run in runs)
    assert [hours(seen) for seen in moments] == [[0, 1, 2], [0, 2, 4], [0, 3, 6]]


@pytest.mark.asyncio
async def test_runs_that_the_agent_begins_begin_on_time() -> None:
    clock = VirtualClock(START)
    seen: list[datetime] = []

    all_ran = asyncio.Event()

    @task
    async def note() -> None:
        seen.append(current_time())
        if len(seen) == 3:
            all_ran.set()

    with Flow("scheduled") as flow:
        note()
    async with Runtime([flow], clock=clock) as runtime:
        client = runtime.session.client
        flow_id = await runtime.register(flow)
        with clock.holding():
            for hour in (30, 2, 1):
                await client.create_flow_run(flow_id=flow_id, scheduled_start_time=START + timedelta(hours=hour))
        await asyncio.wait_for(all_ran.wait(), 20)
    assert hours(seen) == [1, 2, 30]


@pytest.mark.asyncio
async def test_a_cancelled_sleeper_is_not_waited_for(clock: VirtualClock) -> None:
    gone = asyncio.create_task(clock.sleep(10))
    await asyncio.sleep(0)
    gone.cancel()
    await clock.sleep(20)
    assert clock.elapsed == 20


@pytest.mark.asyncio
@pytest.mark.parametrize("seconds", [0, -1])
async def test_sleeping_for_nothing_gives_the_loop_a_turn(clock: VirtualClock, seconds: float) -> None:
    turns: list[str] = []
    asyncio.get_running_loop().call_soon(turns.append, "other")
    await clock.sleep(seconds)
    assert turns == ["other"]
    assert clock.elapsed == 0


@pytest.mark.asyncio
async def test_time_can_be_moved_by_hand(clock: VirtualClock) -> None:
    order: list[tuple[str, float]] = []

    async def sleep(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        order.append((name, seconds))

    with clock.holding():
        sleepers = [asyncio.create_task(sleep("b", 20)), asyncio.create_task(sleep("a", 10))]
        await asyncio.sleep(0)
        clock.advance(10)
        await sleepers[1]
        assert order == [("a", 10)]
        clock.advance(15)
        await sleepers[0]
    assert clock.elapsed == 25


def test_without_a_run_states_go_by_it_too(clock: VirtualClock) -> None:
    assert process_clock() is clock
    assert states.Scheduled().start_time == START
    assert VirtualClock(datetime(2024, 3, 1)).now() == datetime(2024, 3, 1, tzinfo=UTC)


def test_the_fixture(prefectlite_clock: VirtualClock) -> None:
    seen: list[datetime] = []
    with Flow("fixture") as flow:
        flaky(1, timedelta(hours=1), seen)()
    assert flow.run().is_successful()
    assert prefectlite_clock.elapsed == 3600
    assert abs((prefectlite_clock.start - datetime.now(UTC)).total_seconds()) < 60
