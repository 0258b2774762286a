"""What a run holds in memory, and what of it is left when it has ended."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prefectlite import Flow, Runtime, task
from prefectlite.engine.pacing import AT_ONCE, CROWD

CHILDREN = 4_000


@task
async def same(value: Any = 1) -> Any:
    return value


@task
def plain(value: Any = 1) -> Any:
    return value


@task
async def broken(value: Any = 1) -> Any:
    raise ValueError("no")


@pytest.fixture
def collected() -> Iterator[list[Any]]:
    """What the garbage collector finds when it is asked to collect, kept instead."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    yield gc.garbage
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", [same, plain, broken])
@pytest.mark.parametrize("is_mapped", [True, False])
async def test_a_run_that_has_ended_leaves_nothing_to_the_garbage_collector(
    database_url: str, kind: Any, is_mapped: bool, collected: list[Any]
) -> None:
    with Flow("leaves nothing") as flow:
        same.map(kind.map([1, 2, 3])) if is_mapped else same(kind(1))
    async with Runtime(database_url=database_url, agent=False):
        await flow.run()
        gc.collect()
        collected.clear()
        await flow.run()
        gc.collect()
        left = [type(one).__qualname__ for one in collected if type(one).__module__.startswith("prefectlite")]
    assert left == []


@pytest.mark.asyncio
async def test_children_begin_as_others_are_written_down(tmp_path: Path) -> None:
    with Flow("wide") as flow:
        same.map(list(range(CHILDREN)))
    waiting: list[int] = []

    async def look(runtime: Runtime) -> None:
        while True:
            waiting.append(runtime.session.orchestrator.waiting)
            await asyncio.sleep(0.001)

    async with Runtime(database_url=f"sqlite:///{tmp_path}/wide.sqlite", agent=False) as runtime:
        looking = asyncio.create_task(look(runtime))
        (await flow.run()).raise_for_state()
        looking.cancel()
    assert 0 < max(waiting) <= CROWD + 4 * AT_ONCE, "each child proposes two states"
