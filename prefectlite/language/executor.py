"""Descriptions of where and how many at once the tasks of a run are called; the engine does what they say."""

from __future__ import annotations

from typing import Any

from prefectlite.errors import FlowError

_SCHEDULERS = {
    "threads": "threads",
    "threading": "threads",
    "processes": "processes",
    "multiprocessing": "processes",
    "sync": "synchronous",
    "synchronous": "synchronous",
    "single-threaded": "synchronous",
}


class Executor:
    """Where tasks are called. Given to `Flow(executor=…)` or `flow.run(executor=…)` it holds for the run; given to
    `@task(executor=…)` for that task, all its mapped children together.

    `workers`: plain-function tasks at once; `coroutines`: async tasks at once; None: as many as the settings allow.
    A task that waits (for its retry, for a worker) is not counted.
    """

    __slots__ = ("coroutines", "workers")

    def __init__(self, workers: int | None = None, coroutines: int | None = None) -> None:
        self.workers = _counted(self, "workers", workers)
        self.coroutines = _counted(self, "coroutines", coroutines)

    @property
    def in_processes(self) -> bool:
        """Whether plain functions are called in worker processes."""
        return False

    @property
    def one_by_one(self) -> bool:
        """Whether one task has to end before the next begins, whatever their kind."""
        return not self.in_processes and self.workers == 1 and self.coroutines == 1

    def _arguments(self) -> tuple[tuple[str, Any], ...]:
        """What it was made of, as it is shown and compared."""
        return (("workers", self.workers), ("coroutines", self.coroutines))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self._arguments() if value is not None)
        return f"{type(self).__name__}({shown})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._arguments() == other._arguments()

    def __hash__(self) -> int:
        return hash((type(self).__name__, repr(self)))


class LocalExecutor(Executor):
    """In this process: async tasks on the event loop, plain functions in worker threads.

    `LocalExecutor(workers=1)` runs strictly one task after another: `coroutines` counts as 1, too, if it is not given.
    """

    __slots__ = ()

    def __init__(self, workers: int | None = None, coroutines: int | None = None) -> None:
        super().__init__(workers, coroutines)
        if self.workers == 1 and self.coroutines is None:
            self.coroutines = 1


class ProcessExecutor(Executor):
    """In this process, except plain functions: these are called in `workers` processes (None: one per processor).

    For functions that compute. The processes stay for the next task; a task that times out or is cancelled is killed
    with its process. Arguments and results travel by cloudpickle.
    """

    __slots__ = ()

    def __init__(self, workers: int | None = None) -> None:
        super().__init__(workers)

    @property
    def in_processes(self) -> bool:
        return True

    def _arguments(self) -> tuple[tuple[str, Any], ...]:
        return (("workers", self.workers),)


class LocalDaskExecutor(Executor):
    """Prefect's name for the above: `"threads"`, `"processes"` or `"synchronous"`, with `num_workers` at once.

    There is no Dask in it: other options are kept in `dask_config` and mean nothing.
    """

    __slots__ = ("dask_config", "scheduler")

    def __init__(self, scheduler: str = "threads", **dask_config: Any) -> None:
        known = _SCHEDULERS.get(scheduler.lower()) if isinstance(scheduler, str) else None
        if known is None:
            raise FlowError(f"Unknown scheduler {scheduler!r}")
        self.scheduler = known
        self.dask_config = dask_config
        workers = _counted(self, "num_workers", dask_config.get("num_workers"))
        alone = 1 if known == "synchronous" else None
        super().__init__(alone or workers, alone)

    @property
    def in_processes(self) -> bool:
        return self.scheduler == "processes"

    def _arguments(self) -> tuple[tuple[str, Any], ...]:
        return (("scheduler", self.scheduler), *sorted(self.dask_config.items()))


def checked_executor(value: Any, owner: str) -> Executor | None:
    """`value` if it is an executor or None. Raises FlowError that names `owner` ("Task 'x'", "Flow 'y'") if it is not."""
    if value is None or isinstance(value, Executor):
        return value
    hint = f"; did you forget the parentheses of {value.__name__}()?" if isinstance(value, type) else ""
    raise FlowError(f"{owner}: executor takes LocalExecutor(…) or ProcessExecutor(…), not {value!r}{hint}")


def _counted(executor: Executor, argument: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise FlowError(f"{type(executor).__name__}: {argument} is a whole number, 1 or more, not {value!r}")
    return value
