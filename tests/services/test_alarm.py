"""When services look again."""

from __future__ import annotations

import asyncio

import pytest

from prefectlite.services.alarm import Alarm
from tests.conftest import HeldClock

pytestmark = pytest.mark.asyncio
LONG = 3600.0


async def test_it_rings_at_its_moment_and_not_before() -> None:
    clock = HeldClock()
    alarm = Alarm(clock)
    alarm.moment = clock.micros() + 2_500_000
    waiting = asyncio.create_task(alarm.wait(LONG))
    for seconds in (1.0, 1.0, 0.4):  # it trusts no timer for longer than a second
        await clock.sleeper()
        assert not waiting.done()
        clock.advance(seconds)
    await clock.sleeper()
    clock.advance(0.1)
    await waiting


async def test_who_rings_does_not_wait_and_who_tells_news_does() -> None:
    alarm = Alarm(HeldClock())
    alarm.ring()
    await alarm.wait(LONG)
    alarm.hear()
    await alarm.wait()
    alarm.hear()
    waiting = asyncio.create_task(alarm.wait(LONG))
    done, _ = await asyncio.wait([waiting], timeout=0.02)
    assert not done
    alarm.ring()
    await waiting
    alarm.hear()
    await alarm.wait(0.01)


async def test_an_earlier_moment_is_heard_of() -> None:
    clock = HeldClock()
    alarm = Alarm(clock)
    alarm.moment = clock.micros() + 10_000_000
    alarm.earlier(clock.micros() + 20_000_000)
    waiting = asyncio.create_task(alarm.wait(LONG))
    await clock.sleeper()
    assert not waiting.done()
    alarm.earlier(clock.micros() + 5_000_000)
    await waiting
    assert alarm.moment == clock.micros() + 5_000_000
