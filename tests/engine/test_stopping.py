"""Timeouts and cancelling really stop, or say that they could not."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Any

import pytest

from prefectlite import Flow, Runtime, task
from prefectlite.signals import TaskTimeoutSignal
from prefectlite.states import Cancelled, Success, TimedOut

pytestmark = pytest.mark.asyncio

STOP = threading.Event()


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("PREFECTLITE_CANCEL_PATIENCE", "0.1")
    STOP.clear()
    yield
    STOP.set()


async def stubborn() -> None:
    """Swallows every cancellation, until the test is over."""
    while not STOP.is_set():
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            continue


async def test_a_coroutine_is_cancelled_at_its_timeout() -> None:
    cleaned = []

    @task(timeout=0.05)
    async def waits() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.append(True)

    with Flow("timeout") as flow:
        result = waits()
    run = await flow.run()
    assert isinstance(run.result[result], TimedOut)
    assert run.result[result].message == "Task timed out during execution."
    assert isinstance(run.result[result].result, TaskTimeoutSignal)
    assert cleaned == [True]


async def test_one_that_swallows_its_timeout_is_reported_and_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    attempts = []

    @task(timeout=0.05, max_retries=1, retry_delay=0)
    async def stays() -> None:
        attempts.append(1)
        await stubborn()

    @task
    async def after(_: Any) -> int:
        return 7

    with Flow("swallowed") as flow:
        stayed, other = stays(), after(1)
    async with Runtime(agent=False):
        began = time.monotonic()
        run = await flow.run()
        assert time.monotonic() - began < 5
        assert isinstance(run.result[stayed], TimedOut)
        assert isinstance(run.result[other], Success)
        assert len(attempts) == 2, "it was tried again all the same"
        reports = [r for r in caplog.records if "swallows asyncio.CancelledError" in r.getMessage()]
        assert len(reports) == 2
        assert "'stays'" in reports[0].getMessage()
        STOP.set()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("timeout", [None, 30])
async def test_one_that_swallows_being_cancelled_does_not_hold_up_its_run(timeout: float | None) -> None:
    begun = asyncio.Event()

    @task(timeout=timeout)
    async def stays() -> None:
        begun.set()
        await stubborn()

    with Flow("cancelled") as flow:
        stayed = stays()
    async with Runtime(agent=False) as runtime:
        run = flow.run()
        waiting = asyncio.ensure_future(run)
        await begun.wait()
        began = time.monotonic()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert time.monotonic() - began < 5
        assert isinstance(run.state, Cancelled)
        assert isinstance(run.result[stayed], Cancelled)
        assert await runtime.session.database.read("SELECT state FROM flow_run UNION ALL SELECT state FROM task_run") == [
            ("Cancelled",),
            ("Cancelled",),
        ]
        STOP.set()
        await asyncio.sleep(0.05)
        assert (await flow.run(task_states=run.result)).state.is_finished()


async def test_one_that_ends_well_although_it_was_cancelled() -> None:
    begun = asyncio.Event()

    @task
    async def finishes() -> int:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return 5
        return 0

    with Flow("finished") as flow:
        result = finishes()
    run = flow.run()
    waiting = asyncio.ensure_future(run)
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert isinstance(run.state, Cancelled)
    assert run.result[result] == Success(result=5)


async def test_a_thread_is_interrupted_at_its_timeout() -> None:
    ended = threading.Event()

    @task(timeout=0.1)
    def spins() -> None:
        try:
            while True:
                pass
        finally:
            ended.set()

    with Flow("spinning") as flow:
        result = spins()
    run = await flow.run()
    assert isinstance(run.result[result], TimedOut)
    assert await asyncio.to_thread(ended.wait, 5)


async def test_a_thread_that_cannot_be_interrupted_is_reported_and_takes_no_place(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECTLITE_MAX_THREADS", "1")

    @task(timeout=0.05)
    def stuck() -> None:
        STOP.wait(10)  # one call into C

    @task
    def other(number: int) -> int:
        return number

    with Flow("stuck") as flow:
        first = stuck()
        rest = other.map([1, 2, 3])
    async with Runtime(agent=False):
        with caplog.at_level(logging.WARNING, logger="prefectlite"):
            run = await flow.run()
            assert isinstance(run.result[first], TimedOut)
            assert run[rest] == [1, 2, 3]
            async with asyncio.timeout(5):
                while not any("left behind" in r.getMessage() for r in caplog.records):  # noqa: ASYNC110 - a log tells nobody
                    await asyncio.sleep(0.05)


@pytest.mark.parametrize("timeout", [0, -1, 0.0])
async def test_no_time_at_all_is_an_error(timeout: float) -> None:
    with pytest.raises(ValueError, match="longer than nothing"):
        task(timeout=timeout)(lambda: None)
