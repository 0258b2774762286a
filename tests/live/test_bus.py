from __future__ import annotations

import asyncio
import gc
import weakref
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefectlite.live.bus import Bus, Subscription
from prefectlite.live.events import ALL_FLOW_RUNS, ALL_RUNS, Event, LogLine, StateChange
from prefectlite.records import LogRow, StateRecord

STATE = StateRecord("id", "Running", 0)


def flow_run(seq: int, run: str = "a") -> StateChange:
    return StateChange(seq, "flow_run", run, None, None, None, 1, STATE)


def task_run(seq: int, run: str = "a") -> StateChange:
    return StateChange(seq, "task_run", run, "task-run", "task", -1, 1, STATE)


def log(seq: int, run: str = "a") -> LogLine:
    return LogLine(seq, LogRow("id", run, None, 0, "INFO", "name", "message"))


async def rest(subscription: Subscription) -> list[int]:
    """The sequence numbers of what is there, after which the subscription takes no more."""
    subscription.finish()
    return [event.seq async for event in subscription]


@pytest.mark.asyncio
async def test_topics() -> None:
    bus = Bus()
    topics = [ALL_FLOW_RUNS, ALL_RUNS, ("flow_run", "a"), ("flow_run", "b"), ("logs", "a"), ("logs", "b"), ("nothing",)]
    subscriptions = [bus.subscribe(topic) for topic in topics]
    bus.publish([flow_run(1), task_run(2), log(3), flow_run(4, "b"), task_run(5, "b"), log(6, "b")])
    assert [await rest(subscription) for subscription in subscriptions] == [
        [1, 4],
        [1, 2, 4, 5],
        [1, 2],
        [4, 5],
        [3],
        [6],
        [],
    ]


@settings(deadline=None)
@given(
    capacity=st.integers(1, 5),
    steps=st.lists(st.integers(0, 8) | st.just("read") | st.just("ask"), max_size=25),
)
def test_it_holds_at_most_its_capacity_and_keeps_the_order(capacity: int, steps: list[int | str]) -> None:
    """Against a model that is plainly right: a deque that forgets its oldest."""

    async def check() -> None:
        bus = Bus(capacity)
        subscription = bus.subscribe(("flow_run", "a"))
        model: deque[int] = deque(maxlen=capacity)
        seq, lagged = 0, False
        for step in steps:
            if step == "read":
                if model:
                    assert (await anext(subscription)).seq == model.popleft()
            elif step == "ask":
                assert subscription.take_lagged() == lagged
                lagged = False
            else:
                for _ in range(int(step)):
                    seq += 1
                    lagged = lagged or len(model) == capacity
                    model.append(seq)
                bus.publish(task_run(number) for number in range(seq - int(step) + 1, seq + 1))
            assert subscription.unread == len(model) <= capacity
        assert subscription.take_lagged() == lagged
        assert await rest(subscription) == list(model)

    asyncio.run(check())


@pytest.mark.asyncio
async def test_a_slow_subscriber_costs_the_others_nothing() -> None:
    bus = Bus(capacity=3)
    slow, fast = bus.subscribe(ALL_FLOW_RUNS), bus.subscribe(ALL_FLOW_RUNS)
    got = []
    for seq in range(10):
        bus.publish([flow_run(seq)])
        got.append((await anext(fast)).seq)
    assert got == list(range(10))
    assert not fast.take_lagged()
    assert slow.take_lagged()
    assert not slow.take_lagged()
    assert await rest(slow) == [7, 8, 9]


@pytest.mark.asyncio
async def test_who_waits_is_woken() -> None:
    bus = Bus()
    subscription = bus.subscribe(ALL_FLOW_RUNS)
    waiting = asyncio.create_task(anext(subscription))
    await asyncio.sleep(0)
    assert not waiting.done()
    bus.publish([flow_run(1), flow_run(2)])
    assert (await waiting).seq == 1
    assert (await anext(subscription)).seq == 2


@pytest.mark.asyncio
async def test_a_wait_that_is_cancelled_loses_nothing() -> None:
    bus = Bus()
    subscription = bus.subscribe(ALL_FLOW_RUNS)
    waiting = asyncio.create_task(anext(subscription))
    await asyncio.sleep(0)
    waiting.cancel()
    bus.publish([flow_run(1)])
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert await rest(subscription) == [1]


@pytest.mark.asyncio
async def test_it_begins_when_it_is_made() -> None:
    bus = Bus()
    bus.publish([flow_run(1)])
    subscription = bus.subscribe(ALL_FLOW_RUNS)
    bus.publish([flow_run(2)])
    assert await rest(subscription) == [2]


@pytest.mark.asyncio
@pytest.mark.parametrize("whose", ["subscription", "bus", "block"])
async def test_closing_drops_what_is_there(whose: str) -> None:
    bus = Bus()
    with bus.subscribe(ALL_FLOW_RUNS) as subscription:
        bus.publish([flow_run(1)])
        if whose != "block":
            (subscription if whose == "subscription" else bus).close()
            assert [event async for event in subscription] == []
    assert [event async for event in subscription] == []
    assert not bus.has_listeners(ALL_FLOW_RUNS)
    bus.publish([flow_run(2)])
    assert [event async for event in subscription] == []
    subscription.close()


@pytest.mark.asyncio
async def test_closing_ends_the_waits_of_all() -> None:
    bus = Bus()
    subscriptions = [bus.subscribe(topic) for topic in (ALL_FLOW_RUNS, ALL_FLOW_RUNS, ("logs", "a"))]

    async def collect(subscription: Subscription) -> list[Event]:
        return [event async for event in subscription]

    waiting = [asyncio.create_task(collect(subscription)) for subscription in subscriptions]
    await asyncio.sleep(0)
    bus.close()
    assert await asyncio.gather(*waiting) == [[], [], []]
    bus.close()


@pytest.mark.asyncio
async def test_finishing_gives_what_is_there() -> None:
    bus = Bus()
    subscription = bus.subscribe(ALL_FLOW_RUNS)
    bus.publish([flow_run(1), flow_run(2)])
    subscription.finish()
    bus.publish([flow_run(3)])
    assert [event.seq async for event in subscription] == [1, 2]


@pytest.mark.asyncio
async def test_listeners_are_counted_by_topic() -> None:
    bus = Bus()
    one, other = bus.subscribe(("logs", "a")), bus.subscribe(("logs", "a"))
    assert bus.has_listeners(("logs", "a"))
    assert not bus.has_listeners(("logs", "b"))
    assert not bus.has_listeners(ALL_FLOW_RUNS)
    one.close()
    one.close()
    assert bus.has_listeners(("logs", "a"))
    bus.publish([log(1)])
    assert await rest(other) == [1]
    assert not bus.has_listeners(("logs", "a"))


@pytest.mark.asyncio
async def test_a_closed_subscription_is_forgotten() -> None:
    bus = Bus()
    subscription = bus.subscribe(ALL_FLOW_RUNS)
    bus.publish([flow_run(1)])
    forgotten = weakref.ref(subscription)
    subscription.close()
    del subscription
    gc.collect()
    assert forgotten() is None


@pytest.mark.asyncio
async def test_without_subscribers_events_are_not_even_made() -> None:
    made: list[int] = []
    Bus().publish(flow_run(seq) for seq in (1, 2) if not made.append(seq))  # type: ignore[func-returns-value]
    assert made == []


@pytest.mark.asyncio
async def test_batches() -> None:
    bus = Bus(capacity=5)
    with bus.subscribe(ALL_FLOW_RUNS) as subscription:
        waiting = asyncio.create_task(subscription.batch(3))
        await asyncio.sleep(0)
        bus.publish(flow_run(seq) for seq in range(1, 5))
        assert [event.seq for event in await waiting] == [1, 2, 3]
        assert [event.seq for event in await subscription.batch()] == [4]
        bus.publish(flow_run(seq) for seq in range(5, 12))
        subscription.finish()
        assert subscription.unread == 5
        assert [event.seq for event in await subscription.batch(4)] == [7, 8, 9, 10]
        assert subscription.take_lagged()
        assert [event.seq for event in await subscription.batch(4)] == [11]
        assert await subscription.batch() == []


@pytest.mark.asyncio
async def test_what_all_have_read_is_let_go() -> None:
    bus = Bus(capacity=1_000)
    with bus.subscribe(ALL_FLOW_RUNS) as slow, bus.subscribe(ALL_FLOW_RUNS) as fast:
        for seq in range(10_000):
            bus.publish([flow_run(seq)])
            await anext(fast)
        assert len(slow._stream.events) < 1_500  # what it may hold, and a little more until there is a need to tidy up
        assert slow.unread == 1_000
        slow.close()
        for seq in range(1_000):
            bus.publish([flow_run(seq)])
            await anext(fast)
        assert len(fast._stream.events) < 500


@pytest.mark.asyncio
async def test_publishing_does_not_cost_per_subscriber() -> None:
    bus = Bus()
    subscriptions = [bus.subscribe(ALL_FLOW_RUNS) for _ in range(500)]
    bus.publish(flow_run(seq) for seq in range(1_000))
    [stream] = {id(subscription._stream): subscription._stream for subscription in subscriptions}.values()
    assert len(stream.events) == 1_000
    assert bus.listeners(ALL_FLOW_RUNS) == 500
    assert {subscription.unread for subscription in subscriptions} == {1_000}
    bus.close()
    assert bus.listeners(ALL_FLOW_RUNS) == 0
