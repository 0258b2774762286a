"""What a task costs, recorded in a SQLite file, with the same work in bare asyncio beside it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from prefectlite import Flow, Runtime, task
from tests.benchmarks import by_hand
from tests.benchmarks.figures import Figure, timed, times

CHAIN, FAN, LAYERS, WIDTH, FLOWS, THREADS = 1_000, 10_000, 50, 20, 1_000, 64
HANDLED, LEVEL = 2_000, 3_000


@task
async def async_no_op(value: Any = None) -> Any:
    return value


@task
def plain_no_op(value: Any = None) -> Any:
    return value


@task
async def async_second(value: Any) -> Any:
    await asyncio.sleep(1)
    return value


@task
def plain_second(value: Any) -> Any:
    time.sleep(1)
    return value


@task
async def count(values: list[Any]) -> int:
    return len(values)


def _chain(no_op: Any) -> Flow:
    with Flow("chain") as flow:
        value = no_op(0)
        for _ in range(CHAIN - 1):
            value = no_op(value)
    return flow


def _fan(no_op: Any, width: int = FAN) -> Flow:
    with Flow("fan-out") as flow:
        count(no_op.map(list(range(width))))
    return flow


def _layers(no_op: Any) -> Flow:
    with Flow("layers") as flow:
        layer = [no_op(number) for number in range(WIDTH)]
        for _ in range(LAYERS - 1):
            layer = [no_op(layer[i], upstream_tasks=[layer[i - 1], layer[i - 2]]) for i in range(WIDTH)]
    return flow


async def seconds_of(flow: Flow, database_url: str | None = None, runs: int = 2) -> float:
    """The seconds of a run in a session that is open already, the best of so many."""
    best = float("inf")
    async with Runtime(database_url=database_url, agent=False):
        for _ in range(runs):
            with timed() as watch:
                run = await flow.run()
            run.raise_for_state()
            best = min(best, watch.seconds)
    return best


async def _bare(work: Callable[[], Awaitable[Any]]) -> float:
    best = float("inf")
    for _ in range(3):
        with timed() as watch:
            await work()
        best = min(best, watch.seconds)
    return best


def chain(directory: Path) -> list[Figure]:
    async def measure() -> list[Figure]:
        bare = await _bare(lambda: by_hand.bare_chain(async_no_op.run, CHAIN)) / CHAIN * 1e6
        with timed() as watch:
            await by_hand.recorded(async_no_op.run, CHAIN, directory / "by_hand_chain.sqlite", 1)
        by_hand_us = watch.per(CHAIN)
        figures = []
        for kind, no_op in (("async", async_no_op), ("plain", plain_no_op)):
            cost = await seconds_of(_chain(no_op)) / CHAIN * 1e6
            bar = "≤ 600 µs" if kind == "async" else ""
            comparison = f"{times(cost, by_hand_us, 'by hand')}, {times(cost, bare, 'bare asyncio')}"
            figures.append(Figure(f"chain of {CHAIN:,}, {kind}, per task", cost, "µs", bar, comparison))
        return figures

    return asyncio.run(measure())


def fan_out(directory: Path) -> list[Figure]:
    async def measure() -> list[Figure]:
        bare = await _bare(lambda: by_hand.bare_fan_out(_as_task(async_no_op.run), FAN)) / FAN * 1e6
        executor = await _bare(lambda: by_hand.in_executor(plain_no_op.run, FAN)) / FAN * 1e6
        with timed() as watch:
            await by_hand.recorded(async_no_op.run, FAN, directory / "by_hand_fan.sqlite", by_hand.GROUP)
        by_hand_us = watch.per(FAN)
        cost = await seconds_of(_fan(async_no_op)) / FAN * 1e6
        plain = await seconds_of(_fan(plain_no_op)) / FAN * 1e6
        comparison = f"{times(cost, by_hand_us, 'by hand')}, {times(cost, bare, 'bare asyncio')}"
        return [
            Figure(f"fan-out of {FAN:,}, async, per task", cost, "µs", "≤ 150 µs", comparison),
            Figure(
                f"fan-out of {FAN:,}, plain, per task", plain, "µs", "≤ 2.5 ×", times(plain, executor, "run_in_executor")
            ),
        ]

    return asyncio.run(measure())


def _as_task(function: Callable[[int], Awaitable[Any]]) -> Callable[[int], Awaitable[Any]]:
    return lambda index: asyncio.ensure_future(function(index))


def _seen(task: Any, old: Any, new: Any) -> None:
    """A state handler that only looks."""


async def _awaited(task: Any, old: Any, new: Any) -> None:
    """The same, awaited on the loop."""


def handlers(directory: Path) -> list[Figure]:
    """A fan-out whose tasks have three state handlers each, which see two changes of state."""

    async def measure() -> list[Figure]:
        bare = await seconds_of(_fan(async_no_op, HANDLED)) / HANDLED * 1e6
        figures = []
        for kind, handler in (("plain", _seen), ("async", _awaited)):
            cost = await seconds_of(_fan(async_no_op.copy(state_handlers=[handler] * 3), HANDLED)) / HANDLED * 1e6
            name = f"fan-out of {HANDLED:,} with three {kind} state handlers, per task"
            figures.append(Figure(name, cost, "µs", "", times(cost, bare, "without them")))
        return figures

    return asyncio.run(measure())


def mapped_depth(directory: Path) -> list[Figure]:
    """A map over a map over a map, and a reduce."""

    async def measure() -> list[Figure]:
        with Flow("three levels") as flow:
            values = list(range(LEVEL))
            for _ in range(3):
                values = async_no_op.map(values)
            count(values)
        cost = await seconds_of(flow) / LEVEL / 3 * 1e6
        wide = await seconds_of(_fan(async_no_op, LEVEL)) / LEVEL * 1e6
        return [Figure(f"mapped depth 3, {LEVEL:,} wide, async, per child", cost, "µs", "", times(cost, wide, "depth 1"))]

    return asyncio.run(measure())


def layers(directory: Path) -> list[Figure]:
    total = LAYERS * WIDTH

    async def measure() -> list[Figure]:
        bare = await _bare(lambda: by_hand.bare_layers(async_no_op.run, LAYERS, WIDTH)) / total * 1e6
        figures = []
        for kind, no_op in (("async", async_no_op), ("plain", plain_no_op)):
            cost = await seconds_of(_layers(no_op)) / total * 1e6
            comparison = times(cost, bare, "bare asyncio")
            figures.append(Figure(f"layers {LAYERS} × {WIDTH}, {kind}, per task", cost, "µs", "", comparison))
        return figures

    return asyncio.run(measure())


def sleeps(directory: Path) -> list[Figure]:
    async def measure() -> list[Figure]:
        with timed() as bare:
            await by_hand.bare_fan_out(async_second.run, FAN)
        seconds = await seconds_of(_fan(async_second))
        comparison = times(seconds, bare.seconds, "bare asyncio")
        with timed() as executor, ThreadPoolExecutor(THREADS) as pool:
            loop = asyncio.get_running_loop()
            await asyncio.gather(*(loop.run_in_executor(pool, plain_second.run, n) for n in range(2 * THREADS)))
        plain = await seconds_of(_fan(plain_second, 2 * THREADS))
        return [
            Figure(f"{FAN:,} async tasks that sleep 1 s", seconds, "s", "≤ 3 s", comparison),
            Figure(
                f"{2 * THREADS} plain tasks that sleep 1 s", plain, "s", "", times(plain, executor.seconds, "an executor")
            ),
        ]

    return asyncio.run(measure())


def small_flows(directory: Path) -> list[Figure]:
    with Flow("one task") as flow:
        async_no_op(1)

    async def gathered() -> float:
        with timed() as watch:
            await asyncio.gather(*(flow.run() for _ in range(FLOWS)))
        return watch.seconds

    together = asyncio.run(gathered())
    flow.run()
    with timed() as watch:
        for _ in range(100):
            flow.run()
    return [
        Figure(f"{FLOWS:,} one-task flows gathered", together, "s", "≤ 2 s"),
        Figure("one-task flow in a script, each after the first", watch.per(100) / 1000, "ms", "≤ 30 ms"),
    ]


ALL = (chain, fan_out, handlers, mapped_depth, layers, sleeps, small_flows)
