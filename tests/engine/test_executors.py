"""Where tasks are called, and how many at once."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prefectlite import Flow, Runtime, context, task
from prefectlite.errors import FlowError, WorkerDied
from prefectlite.executors import LocalExecutor, ProcessExecutor
from prefectlite.states import Failed, Success, TimedOut
from tests.scenarios.processes import rows

pytestmark = pytest.mark.asyncio


class Gauge:
    """How many are inside at once, and how many were at most."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = 0

    def __enter__(self) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.now -= 1


def plain(gauge: Gauge, seconds: float = 0.01, **options: Any) -> Any:
    @task(**options)
    def work(number: int) -> int:
        with gauge:
            time.sleep(seconds)
        return number

    return work


def on_the_loop(gauge: Gauge, **options: Any) -> Any:
    @task(**options)
    async def work(number: int) -> int:
        with gauge:
            await asyncio.sleep(0.01)
        return number

    return work


KINDS = [pytest.param(plain, id="plain"), pytest.param(on_the_loop, id="async")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["flow", "run", "task"])
async def test_a_limit_holds(kind: Callable[..., Any], place: str) -> None:
    gauge, limit = Gauge(), LocalExecutor(workers=3, coroutines=3)
    work = kind(gauge, executor=limit if place == "task" else None)
    with Flow("limited", executor=limit if place == "flow" else None) as flow:
        result = work.map(list(range(20)))
    run = await flow.run(**({"executor": limit} if place == "run" else {}))
    assert run[result] == list(range(20))
    assert gauge.most == 3


async def test_one_after_another_whatever_their_kind() -> None:
    gauge = Gauge()
    with Flow("strict", executor=LocalExecutor(workers=1)) as flow:
        plain(gauge).map(list(range(8)))
        on_the_loop(gauge).map(list(range(8)))
    assert (await flow.run()).is_successful()
    assert gauge.most == 1


async def test_a_task_that_waits_for_its_retry_takes_no_place() -> None:
    order: list[str] = []

    @task(max_retries=1, retry_delay=0.2)
    async def again() -> None:
        order.append(f"again {context.task_run_count}")
        if context.task_run_count == 1:
            raise ValueError

    @task
    async def other() -> None:
        order.append("other")

    with Flow("waiting", executor=LocalExecutor(workers=1)) as flow:
        again()
        other()
    assert (await flow.run()).is_successful()
    assert order == ["again 1", "other", "again 2"]


async def test_a_limit_of_a_task_is_within_that_of_the_run() -> None:
    gauge, all_of_them = Gauge(), Gauge()

    @task(executor=LocalExecutor(coroutines=4))
    async def own(number: int) -> None:
        with all_of_them, gauge:
            await asyncio.sleep(0.005)

    @task
    async def other(number: int) -> None:
        with all_of_them:
            await asyncio.sleep(0.005)

    with Flow("nested", executor=LocalExecutor(coroutines=6)) as flow:
        own.map(list(range(20)))
        other.map(list(range(20)))
    assert (await flow.run()).is_successful()
    assert gauge.most == 4
    assert all_of_them.most == 6


async def test_more_workers_than_the_process_has_threads(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECTLITE_MAX_THREADS", "2")
    gauge = Gauge()
    with Flow("wide", executor=LocalExecutor(workers=6)) as flow:
        plain(gauge, seconds=0.05).map(list(range(30)))
    async with Runtime(agent=False):
        assert (await flow.run()).is_successful()
        assert gauge.most == 6
        gauge.most = 0
        assert (await flow.run(executor=LocalExecutor())).is_successful()
        assert gauge.most == 2, "what a run may have more of is its own"


# -- threads ---------------------------------------------------------------------------------------------------------------


async def test_tasks_on_the_runs_own_thread() -> None:
    @task(thread="flow")
    def here(_: Any = None) -> int:
        return threading.get_ident()

    @task
    def anywhere(_: Any = None) -> int:
        return threading.get_ident()

    with Flow("own thread") as flow:
        first = here()
        second = here(anywhere(first))
        third = here.map([1, 2, 3])
    run, other = await asyncio.gather(flow.run(), flow.run())
    assert {run[first], run[second], *run[third]} == {run[first]}
    assert other[first] != run[first]


# -- processes -------------------------------------------------------------------------------------------------------------


@task
def process_id(number: int = 0) -> tuple[int, int]:
    return os.getpid(), number


async def test_plain_functions_in_processes() -> None:
    @task
    async def on_this_loop() -> int:
        return os.getpid()

    with Flow("processes", executor=ProcessExecutor(workers=2)) as flow:
        mapped, here = process_id.map([1, 2, 3, 4]), on_this_loop()
    run = await flow.run()
    assert [number for _, number in run[mapped]] == [1, 2, 3, 4]
    assert 1 <= len({pid for pid, _ in run[mapped]} - {os.getpid()}) <= 2
    assert run[here] == os.getpid()


async def test_a_single_task_in_a_process() -> None:
    with Flow("both") as flow:
        apart, here = process_id.copy(executor=ProcessExecutor(workers=1)).bind(), process_id()
    run = await flow.run()
    assert run[here][0] == os.getpid() != run[apart][0]


async def test_what_a_task_in_a_process_sees_and_says(tmp_path: Path, database_url: str, capfd: Any) -> None:
    @task(log_stdout=True, max_retries=1, retry_delay=0)
    def speaks() -> list[Any]:
        if context.task_run_count == 1:
            raise LookupError("the first time")
        print("printed")
        context.logger.warning("logged by %s", context.task_name)
        return [context.flow_name, context.parameters, context.task_run_count]

    with Flow("speaking", executor=ProcessExecutor(workers=1)) as flow:
        said = speaks()
    run = await flow.run()
    assert run[said] == ["speaking", {}, 2]
    assert "printed" in capfd.readouterr().out
    if not database_url.endswith(":memory:"):
        lines = [line for (line,) in rows(tmp_path / "test.sqlite", "SELECT message FROM log ORDER BY seq")]
        assert any("LookupError: the first time" in line for line in lines)
        assert lines[-2:] == ["printed", "logged by speaks"]


async def test_timeout_and_death_of_a_worker() -> None:
    @task(timeout=0.3)
    def sleeps() -> None:
        time.sleep(60)

    @task
    def dies() -> None:
        os._exit(3)

    with Flow("hard", executor=ProcessExecutor(workers=2)) as flow:
        slow, dead, good = sleeps(), dies(), process_id()
    began = time.monotonic()
    run = await flow.run()
    assert time.monotonic() - began < 20
    assert isinstance(run.result[slow], TimedOut)
    assert isinstance(run.result[dead], Failed)
    assert isinstance(run.result[dead].result, WorkerDied)
    assert "exit code 3" in str(run.result[dead].message)
    assert isinstance(run.result[good], Success)


async def test_cancelling_kills_the_process(tmp_path: Path) -> None:
    mark = tmp_path / "pid"

    @task
    def sleeps() -> None:
        mark.write_text(str(os.getpid()))
        time.sleep(60)

    async def has_begun() -> None:
        while not mark.exists() or not mark.read_text():  # noqa: ASYNC110 - it is another process that says so
            await asyncio.sleep(0.01)

    with Flow("cancelled", executor=ProcessExecutor(workers=1)) as flow:
        sleeps()
    run = asyncio.ensure_future(flow.run())
    await has_begun()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    pid = int(mark.read_text())
    for _ in range(500):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the worker process is still there")


async def test_a_flow_in_a_worker_process_is_refused() -> None:
    with Flow("inner") as inner:
        process_id()

    @task
    def runs_a_flow() -> None:
        inner.run()

    with Flow("outer", executor=ProcessExecutor(workers=1)) as outer:
        result = runs_a_flow()
    run = await outer.run()
    assert isinstance(run.result[result].result, FlowError)
    assert "which has no database" in str(run.result[result].message)


async def test_what_is_no_executor_is_refused() -> None:
    with pytest.raises(FlowError, match="Flow 'f': executor takes LocalExecutor"):
        Flow("f", executor="threads")  # type: ignore[arg-type]
    with Flow("g") as flow:
        process_id()
    with pytest.raises(FlowError, match="Flow 'g': executor takes"):
        flow.run(executor=LocalExecutor)
