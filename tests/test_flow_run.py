"""One handle for scripts and async code: every way in which people call `flow.run()`."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import pickle
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from prefectlite import Flow, FlowRun, Parameter, PrefectliteError, Runtime, task
from prefectlite.errors import ParameterError, RunFailedError, RunNotStartedError, UnsupportedLoop
from prefectlite.live.events import ALL_FLOW_RUNS
from tests.scenarios.processes import PATIENCE, rows, wait_until


@task
def double(x: Any) -> Any:
    return 2 * x


@task
async def fail(x: Any) -> None:
    raise ValueError(x)


with Flow("double") as FLOW:
    RESULT = double(Parameter("x"))

with Flow("failing") as FAILING:
    FAILURE = fail(Parameter("x", default=1))
    MAPPED = fail.map([1, 2])


def test_in_a_script_it_has_run() -> None:
    run = FLOW.run(x=4)
    assert run.is_successful()
    assert run[RESULT] == 8
    assert run.state.result == run.result
    assert FLOW.run({"x": 5})[RESULT] == 10


def test_asyncio_run_takes_it() -> None:
    assert asyncio.run(FLOW.run(x=4))[RESULT] == 8  # it has run already: there is only its outcome to hand over


def test_in_a_loop_it_waits_to_be_awaited() -> None:
    async def main() -> FlowRun:
        run = FLOW.run(x=4)
        assert repr(run) == "<FlowRun of 'double': not started: await it>"
        with pytest.raises(RunNotStartedError, match="not started: await it"):
            _ = run.state
        assert await run is run
        assert await run is run
        return run

    run = asyncio.run(main())
    assert run[RESULT] == 8
    assert "Success" in repr(run)


async def _create_task(run: FlowRun) -> FlowRun:
    return await asyncio.create_task(run)


async def _gather(run: FlowRun) -> FlowRun:
    return (await asyncio.gather(run, run, asyncio.create_task(run)))[0]


async def _task_group(run: FlowRun) -> FlowRun:
    async with asyncio.TaskGroup() as group:
        one = group.create_task(run)
        group.create_task(run)
    return one.result()


async def _wait_for(run: FlowRun) -> FlowRun:
    return await asyncio.wait_for(run, PATIENCE)


async def _ensure_future(run: FlowRun) -> FlowRun:
    return await asyncio.ensure_future(run)


@pytest.mark.parametrize("way", [_create_task, _gather, _task_group, _wait_for, _ensure_future])
def test_whatever_takes_a_coroutine_takes_it(way: Callable[[FlowRun], Any]) -> None:
    async def main() -> FlowRun:
        run = FLOW.run(x=4)
        outcome: FlowRun = await way(run)
        assert outcome is run
        return outcome

    assert asyncio.run(main())[RESULT] == 8


def test_anyio_starts_it() -> None:
    runs: list[FlowRun] = []

    async def call(x: int) -> None:
        runs.append(await FLOW.run(x=x))

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(call, 1)
            group.start_soon(call, 2)

    anyio.run(main)
    assert sorted(run[RESULT] for run in runs) == [2, 4]


def test_a_loop_that_is_used_again_and_again_as_in_a_notebook() -> None:
    loop = asyncio.new_event_loop()
    try:
        for x in range(3):

            async def cell(x: int = x) -> FlowRun:
                return await FLOW.run(x=x)

            assert loop.run_until_complete(cell())[RESULT] == 2 * x
        assert not asyncio.all_tasks(loop)
    finally:
        loop.close()


def test_from_a_worker_thread_with_and_without_a_session_elsewhere() -> None:
    with concurrent.futures.ThreadPoolExecutor() as pool:
        assert pool.submit(lambda: FLOW.run(x=1)[RESULT]).result() == 2

    async def main() -> list[Any]:
        async with Runtime():
            return await asyncio.gather(*(asyncio.to_thread(lambda x: FLOW.run(x=x)[RESULT], x) for x in range(5)))

    assert asyncio.run(main()) == [0, 2, 4, 6, 8]


def test_two_loops_in_two_threads_share_one_session() -> None:
    async def main() -> None:
        async with Runtime() as runtime:
            elsewhere = await asyncio.to_thread(lambda: asyncio.run(_awaited(3)))
            assert elsewhere[RESULT] == 6
            counted = await runtime.session.database.read("SELECT count(*) FROM flow_run")
            assert counted == [(1,)]

    async def _awaited(x: int) -> FlowRun:
        return await FLOW.run(x=x)

    asyncio.run(main())


@pytest.mark.parametrize("is_async", [True, False])
def test_a_task_runs_another_flow(is_async: bool) -> None:
    @task
    def plain(x: int) -> Any:
        return FLOW.run(x=x)[RESULT]

    @task
    async def on_the_loop(x: int) -> Any:
        return (await FLOW.run(x=x))[RESULT]

    with Flow("parent") as parent:
        results = (on_the_loop if is_async else plain).map([1, 2, 3])
    run = parent.run()
    assert run.result[results].result == [2, 4, 6]


def test_a_failed_run_does_not_raise_until_asked() -> None:
    run = FAILING.run()
    assert run.is_failed()
    assert run.message == "Some reference tasks failed."
    with pytest.raises(ValueError, match="1"):
        run[FAILURE]
    with pytest.raises(ValueError, match="1"):
        run[MAPPED]
    with pytest.raises(RunFailedError) as raised:
        run.raise_for_state()
    assert "fail: Error during execution of task: ValueError(1)" in str(raised.value)
    assert "2 of 2 children failed" in str(raised.value)
    assert FLOW.run(x=1).raise_for_state().is_successful()


@pytest.mark.parametrize(
    ("values", "message"),
    [({}, "required parameters: x"), ({"x": 1, "y": 2}, "unexpected parameters: y.*takes: x")],
)
def test_parameters_are_checked_in_the_call(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        FLOW.run(**values)


def test_inside_the_with_block_it_cannot_run() -> None:
    with Flow("building") as flow, pytest.raises(RuntimeError, match="leave the block"):
        flow.run()


def test_one_never_awaited_is_said_so() -> None:
    async def main() -> None:
        FLOW.run(x=1)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(main())
        gc.collect()
    (message,) = [str(warning.message) for warning in caught if "never awaited" in str(warning.message)]
    assert "'double'" in message
    assert f"{__file__}:" in message


def test_a_finished_handle_can_be_pickled() -> None:
    run = FLOW.run(x=4)
    run.state.result = None  # the tasks of this module's flow are functions of a module: only the state is asked for
    again = pickle.loads(pickle.dumps(run))
    assert again.id == run.id
    assert again.is_successful()


def test_a_flow_with_a_cycle_is_refused_with_its_path() -> None:
    with Flow("cycle") as flow:
        a, b = double(1), double(2)
        a.set_upstream(b)
        b.set_upstream(a)
    with pytest.raises(PrefectliteError, match="double → double → double"):
        flow.run()


def test_the_session_is_closed_after_the_last_run(tmp_path: Path) -> None:
    FLOW.run(x=1)
    assert not [
        thread.name for thread in threading.enumerate() if thread is not threading.main_thread() and not thread.daemon
    ]
    assert not list((tmp_path / "test.sqlite.owners").iterdir())


def test_tasks_that_run_flows_do_not_starve_them_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECTLITE_MAX_THREADS", "2")

    @task
    def parent(x: int) -> Any:
        return FLOW.run(x=x)[RESULT]

    with Flow("parents") as parents:
        results = parent.map(list(range(8)))
    assert parents.run().result[results].result == [2 * x for x in range(8)]


def test_a_child_run_of_a_plain_task_is_cancelled_with_its_parent() -> None:
    begun = threading.Event()

    @task
    async def forever() -> None:
        begun.set()
        await asyncio.sleep(60)

    with Flow("child") as child:
        forever()

    @task
    def parent() -> None:
        child.run()

    with Flow("parent") as flow:
        parent()

    async def main() -> list[tuple[str, str]]:
        async with Runtime() as runtime:
            run = flow.run()
            waiting = asyncio.create_task(run)
            await asyncio.to_thread(begun.wait, PATIENCE)
            with runtime.session.bus.subscribe(ALL_FLOW_RUNS) as news:
                run.cancel()
                await waiting
                while True:
                    found = await runtime.session.database.read(
                        "SELECT f.name, r.state FROM flow_run r JOIN flow f ON f.id = r.flow_id ORDER BY f.name"
                    )
                    if all(state == "Cancelled" for _, state in found):
                        return [(name, state) for name, state in found]
                    await asyncio.wait_for(anext(news), PATIENCE)

    assert asyncio.run(main()) == [("child", "Cancelled"), ("parent", "Cancelled")]


def test_a_session_whose_loop_stands_still_is_not_waited_for() -> None:
    loop = asyncio.new_event_loop()
    runtime = Runtime()
    loop.run_until_complete(runtime.__aenter__())
    try:
        with pytest.raises(UnsupportedLoop, match="not running"):
            FLOW.run(x=1)
    finally:
        loop.run_until_complete(runtime.__aexit__(None, None, None))
        loop.close()
    assert FLOW.run(x=1)[RESULT] == 2


def test_a_waiter_that_is_cancelled_twice_and_a_run_that_is_detached() -> None:
    begun = threading.Event()

    @task
    async def slow_to_stop() -> None:
        try:
            begun.set()
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.2)

    with Flow("slow to stop") as slow:
        slow_to_stop()

    async def main() -> tuple[FlowRun, FlowRun]:
        async with Runtime():
            detached = FLOW.run(x=1).detach()
            run = slow.run()
            waiting = asyncio.create_task(run)
            await asyncio.to_thread(begun.wait, PATIENCE)
            waiting.cancel()
            await asyncio.sleep(0.05)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await run
            return run, detached

    run, detached = asyncio.run(main())
    assert run.state.name == "Cancelled"
    assert detached.is_successful()


def test_one_whose_task_was_cancelled_before_it_began_warns_of_nothing() -> None:
    async def main() -> None:
        waiting = asyncio.create_task(FLOW.run(x=1))
        waiting.cancel()
        await asyncio.wait([waiting])

    asyncio.run(main())
    gc.collect()  # a warning would be an error here


SLOW = """
import sys, time
from prefectlite import Flow, task

@task
def slow():
    print("begun", flush=True)
    time.sleep(60)

with Flow("slow") as flow:
    slow()

flow.run()
"""


def test_ctrl_c_in_a_script_records_cancelled_and_raises(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    process = subprocess.Popen(
        [sys.executable, "slow.py"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in errors
    assert rows(tmp_path / "test.sqlite", "SELECT state FROM flow_run") == [("Cancelled",)]
    assert rows(tmp_path / "test.sqlite", "SELECT state FROM task_run") == [("Cancelled",)]


def test_a_killed_script_leaves_its_run_for_all_to_see(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    with subprocess.Popen([sys.executable, "slow.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        wait_until(lambda: rows(tmp_path / "test.sqlite", "SELECT state FROM task_run") == [("Running",)])
        process.kill()
    assert rows(tmp_path / "test.sqlite", "SELECT state FROM flow_run") == [("Running",)]
