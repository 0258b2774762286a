"""Of several processes on one file one keeps the services; that one of them is gone is noticed at once."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from prefectlite.orchestrator.duty import LOOK_AGAIN, Duty
from prefectlite.orchestrator.lifelines import Lifelines
from prefectlite.session import Session, open_session
from prefectlite.settings import Settings

pytestmark = pytest.mark.asyncio


def at(path: Path) -> Settings:
    return Settings(database_url=f"sqlite:///{path / 'shared.sqlite'}")


async def test_the_next_takes_over_when_the_keeper_leaves(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as others:
        first: Session = await others.enter_async_context(open_session(at(tmp_path)))
        async with open_session(at(tmp_path)) as second:
            assert first.duty.take("http://here") is None
            keeper = second.duty.take()
            assert keeper is not None
            assert (keeper.pid, keeper.address) == (os.getpid(), "http://here")
            waiting = asyncio.create_task(second.duty.taken())
            await asyncio.sleep(0.05)
            assert not waiting.done()
            left = loop.time()
            await others.aclose()
            await waiting
            assert loop.time() - left < LOOK_AGAIN / 2
            third = Duty(tmp_path / "shared.sqlite", None)
            assert third.take() is not None


async def test_databases_that_nobody_shares_need_no_keeper() -> None:
    assert Duty(None, None).take() is None
    await Duty(None, None).taken()


async def test_a_keeper_that_has_not_said_who_it_is(tmp_path: Path) -> None:
    first, second = Duty(tmp_path / "a.sqlite", None), Duty(tmp_path / "a.sqlite", None)
    first.take()
    (tmp_path / "a.sqlite.services").write_text("")
    keeper = second.take()
    assert keeper is not None
    assert keeper.address is None
    first.close()
    assert second.take() is None


async def test_a_lifeline_breaks_on_either_side(tmp_path: Path) -> None:
    broken = {name: asyncio.Event() for name in "ab"}
    sides = [Lifelines(tmp_path / name, broken[name].set) for name in "ab"]
    for side in sides:
        side.bind()
        side.open()
    sides[0].throw(tmp_path / "b")
    sides[0].throw(tmp_path / "nobody")
    await asyncio.sleep(0.05)
    assert not any(event.is_set() for event in broken.values())
    sides[0].close()
    async with asyncio.timeout(5):
        await broken["b"].wait()
    assert not broken["a"].is_set()
    sides[1].close()
    assert list(tmp_path.iterdir()) == []
