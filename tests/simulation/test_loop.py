"""The simulated loop: time that costs nothing, an order that a seed decides, machines that stop."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from tests.simulation.loop import Machine, NeverEnds, SimulatedClock, SimulatedLoop, current_machine

Play = Callable[..., Any]


@pytest.fixture
def play() -> Iterator[Play]:
    """`play(work, seed)`: what `work(loop)` returns on a simulated loop."""
    loops: list[SimulatedLoop] = []

    def run(work: Callable[[SimulatedLoop], Coroutine[Any, Any, Any]], seed: int = 1) -> Any:
        loop = SimulatedLoop(seed)
        loops.append(loop)
        return loop.run_until_complete(work(loop))

    yield run
    for loop in loops:
        loop.close()


def test_a_year_takes_no_time(play: Play) -> None:
    async def work(loop: SimulatedLoop) -> float:
        clock = SimulatedClock(loop)
        before = clock.now()
        for _ in range(365):
            await clock.sleep(24 * 3600)
        return (clock.now() - before).total_seconds()

    began = time.perf_counter()
    assert play(work) == pytest.approx(365 * 24 * 3600, rel=1e-4)
    assert time.perf_counter() - began < 5


def test_a_timeout_passes_in_virtual_time(play: Play) -> None:
    async def work(loop: SimulatedLoop) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10_000):
                await asyncio.Event().wait()

    play(work)


def test_the_seed_decides_the_order(play: Play) -> None:
    async def work(loop: SimulatedLoop) -> str:
        order: list[str] = []

        async def one(name: str) -> None:
            await asyncio.sleep(0)
            order.append(name)

        await asyncio.gather(*(one(name) for name in "abcde"))
        return "".join(order)

    assert play(work, 5) == play(work, 5)
    assert len({play(work, seed) for seed in range(20)}) > 10


def test_a_race_is_found_by_some_seeds_only(play: Play) -> None:
    async def work(loop: SimulatedLoop) -> int:
        owners: list[str] = []

        async def claim(name: str) -> None:
            await asyncio.sleep(loop.dice.random() * 0.001)
            if not owners:  # looks,
                await asyncio.sleep(0)
                owners.append(name)  # and acts

        await asyncio.gather(claim("a"), claim("b"))
        return len(owners)

    outcomes = [play(work, seed) for seed in range(2_000)]
    assert set(outcomes) == {1, 2}
    assert outcomes.count(2) < 200


def _on(machine: Machine, loop: SimulatedLoop, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    context = contextvars.copy_context()
    context.run(current_machine.set, machine)
    return loop.create_task(work, context=context)


async def _count(steps: list[int]) -> None:
    while True:
        await asyncio.sleep(1)
        steps.append(len(steps))


def test_a_dead_machine_takes_no_step_more(play: Play) -> None:
    async def work(loop: SimulatedLoop) -> int:
        machine, steps = Machine("m"), []
        task = _on(machine, loop, _count(steps))
        await asyncio.sleep(10.5)
        machine.is_dead = True
        await asyncio.sleep(100)
        assert not task.done()
        machine.is_dead = False  # for the test to end
        loop.wake(machine)
        task.cancel()
        await asyncio.wait([task])
        return len(steps)

    assert play(work) in (10, 11)


def test_a_stalled_machine_goes_on_where_it_was(play: Play) -> None:
    async def work(loop: SimulatedLoop) -> tuple[int, int]:
        machine, steps = Machine("m"), []
        task = _on(machine, loop, _count(steps))
        await asyncio.sleep(5.5)
        machine.is_stalled = True
        await asyncio.sleep(100)
        stalled = len(steps)
        loop.wake(machine)
        await asyncio.sleep(5.5)
        task.cancel()
        await asyncio.wait([task])
        return stalled, len(steps)

    stalled, after = play(work)
    assert stalled == 5
    assert after in (10, 11)


def test_what_waits_for_ever_is_noticed(play: Play) -> None:
    async def work(loop: SimulatedLoop) -> None:
        await asyncio.Event().wait()

    with pytest.raises(NeverEnds, match="everybody waits"):
        play(work)
