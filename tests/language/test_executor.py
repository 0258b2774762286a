from __future__ import annotations

import pickle
from typing import Any

import cloudpickle
import pytest

from prefectlite import executors
from prefectlite.errors import FlowError
from prefectlite.executors import Executor, LocalDaskExecutor, LocalExecutor, ProcessExecutor
from prefectlite.language.executor import checked_executor

EACH: list[tuple[Executor, str]] = [
    (LocalExecutor(), "LocalExecutor()"),
    (LocalExecutor(4), "LocalExecutor(workers=4)"),
    (LocalExecutor(workers=4, coroutines=9), "LocalExecutor(workers=4, coroutines=9)"),
    (LocalExecutor(coroutines=9), "LocalExecutor(coroutines=9)"),
    (ProcessExecutor(), "ProcessExecutor()"),
    (ProcessExecutor(2), "ProcessExecutor(workers=2)"),
    (LocalDaskExecutor(), "LocalDaskExecutor(scheduler='threads')"),
    (LocalDaskExecutor("processes", num_workers=3), "LocalDaskExecutor(scheduler='processes', num_workers=3)"),
]


@pytest.mark.parametrize(("executor", "shown"), EACH, ids=[shown for _, shown in EACH])
def test_executors_are_values(executor: Executor, shown: str) -> None:
    assert repr(executor) == shown
    for copy in (pickle.loads(pickle.dumps(executor)), cloudpickle.loads(cloudpickle.dumps(executor))):
        assert copy == executor
        assert hash(copy) == hash(executor)
        assert repr(copy) == shown
    assert [other for other, _ in EACH if other == executor] == [executor]
    assert executor != shown


def test_one_worker_is_one_task_after_another() -> None:
    assert LocalExecutor(workers=1) == LocalExecutor(workers=1, coroutines=1)
    assert LocalExecutor(workers=1).coroutines == 1
    assert LocalExecutor(workers=1).one_by_one
    for executor in (LocalExecutor(), LocalExecutor(1, 2), LocalExecutor(2, 1), LocalExecutor(None, 1), ProcessExecutor(1)):
        assert not executor.one_by_one


def test_where_plain_functions_are_called() -> None:
    assert not LocalExecutor().in_processes
    assert ProcessExecutor().in_processes


@pytest.mark.parametrize("bad", [0, -1, True, 2.0, "2"])
def test_numbers_are_checked(bad: Any) -> None:
    for kind, argument in ((LocalExecutor, "workers"), (LocalExecutor, "coroutines"), (ProcessExecutor, "workers")):
        with pytest.raises(FlowError, match=rf"{kind.__name__}: {argument} is a whole number, 1 or more, not {bad!r}"):
            kind(**{argument: bad})
    with pytest.raises(ValueError, match="LocalDaskExecutor: num_workers"):
        LocalDaskExecutor(num_workers=bad)


@pytest.mark.parametrize(
    ("name", "scheduler"),
    [
        ("threads", "threads"),
        ("threading", "threads"),
        ("Threads", "threads"),
        ("processes", "processes"),
        ("multiprocessing", "processes"),
        ("sync", "synchronous"),
        ("synchronous", "synchronous"),
        ("single-threaded", "synchronous"),
    ],
)
def test_prefects_local_dask_executor(name: str, scheduler: str) -> None:
    executor = LocalDaskExecutor(scheduler=name, num_workers=3, pool="mine")
    assert executor.scheduler == scheduler
    assert executor.dask_config == {"num_workers": 3, "pool": "mine"}
    assert executor.in_processes == (scheduler == "processes")
    assert executor.one_by_one == (scheduler == "synchronous")
    assert executor.workers == (1 if scheduler == "synchronous" else 3)


@pytest.mark.parametrize("name", ["bogus", None, 3])
def test_an_unknown_scheduler(name: Any) -> None:
    with pytest.raises(ValueError, match=f"Unknown scheduler {name!r}"):
        LocalDaskExecutor(scheduler=name)


def test_what_is_no_executor_is_refused() -> None:
    assert checked_executor(None, "Task 'x'") is None
    assert checked_executor(EACH[0][0], "Task 'x'") is EACH[0][0]
    with pytest.raises(
        FlowError, match=r"Flow 'y': executor takes LocalExecutor\(…\) or ProcessExecutor\(…\), not 'threads'$"
    ):
        checked_executor("threads", "Flow 'y'")
    with pytest.raises(FlowError, match=r"did you forget the parentheses of LocalExecutor\(\)\?"):
        checked_executor(LocalExecutor, "Flow 'y'")


def test_they_are_where_users_look() -> None:
    assert sorted(executors.__all__) == ["Executor", "LocalDaskExecutor", "LocalExecutor", "ProcessExecutor"]
