"""Timeouts: what they end, and how."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from prefectlite import Flow, Task, context, raise_on_exception, signals, task, triggers
from prefectlite.states import TimedOut
from tests.engine.conftest import Made, Seen

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("in_memory")]


@pytest.fixture(params=["plain", "async"])
def slow(request: pytest.FixtureRequest) -> Callable[..., Task]:
    """Makes a task that takes as long as its argument says, and catches every Exception on the way."""

    def plain(seconds: float) -> str:
        try:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(0.005)
        except Exception:
            return "caught"
        return "ended"

    async def on_the_loop(seconds: float) -> str:
        try:
            await asyncio.sleep(seconds)
        except Exception:
            return "caught"
        return "ended"

    return lambda **options: task(plain if request.param == "plain" else on_the_loop, **options)


@pytest.mark.parametrize("timeout", [0.05, timedelta(milliseconds=50)])
async def test_what_takes_too_long_has_timed_out(slow: Callable[..., Task], seen: Seen, timeout: Any) -> None:
    with Flow("slow") as flow:
        only = slow(timeout=timeout, state_handlers=[seen])(30)
        after = task(lambda x: type(x).__name__, trigger=triggers.all_finished)(only)
    states = (await flow.run()).result
    assert (type(states[only]), states[only].message) == (TimedOut, "Task timed out during execution.")
    assert states[only].is_failed()
    assert states[after].result == "TaskTimeoutSignal"
    assert seen == ["Pending>Running", "Running>TimedOut"]


async def test_what_is_in_time(slow: Callable[..., Task]) -> None:
    with Flow("quick") as flow:
        only = slow(timeout=30)(0)
    assert (await flow.run())[only] == "ended"


@pytest.mark.parametrize(("retry_on", "changes"), [(None, 5), (Exception, 2)])
async def test_it_is_retried_unless_retry_on_says_what_is(
    slow: Callable[..., Task], seen: Seen, retry_on: Any, changes: int
) -> None:
    with Flow("retried") as flow:
        slow(timeout=0.05, max_retries=1, retry_delay=0, retry_on=retry_on, state_handlers=[seen])(30)
    await flow.run()
    assert len(seen) == changes


async def test_every_child_has_its_own_time(slow: Callable[..., Task]) -> None:
    with Flow("children") as flow:
        children = slow(timeout=0.1).map([0, 30])
    assert [child.name for child in (await flow.run()).result[children].map_states] == ["Success", "TimedOut"]


async def test_it_is_raised_outside_where_that_is_wanted(slow: Callable[..., Task]) -> None:
    with Flow("outside") as flow:
        slow(timeout=0.05)(30)
    with raise_on_exception(), pytest.raises(signals.TaskTimeoutSignal):
        await flow.run()


async def test_signals_and_rounds_within_the_time(made: Made) -> None:
    def body() -> int:
        number: int = context.get("task_loop_count", 1)
        if number < 3:
            raise signals.LOOP(result=number)
        raise signals.SUCCESS("done", result=number)

    with Flow("signals") as flow:
        only = made(body, timeout=30)()
    assert (await flow.run())[only] == 3
