"""Branches: parts of a flow that run or are skipped by a value which is only known in the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextvars import Token
from types import TracebackType
from typing import Any

from prefectlite import triggers
from prefectlite.contexts import active_case
from prefectlite.errors import FlowError
from prefectlite.language import building
from prefectlite.language.graph import Graph
from prefectlite.language.tagging import tags
from prefectlite.language.task import Task
from prefectlite.shown import printable, told
from prefectlite.signals import SKIP
from prefectlite.states import Success


class CompareValue(Task):
    """Succeeds when its input equals `value`; otherwise it is skipped, and with it what depends on it."""

    def __init__(self, value: Any, **kwargs: Any) -> None:
        kwargs.setdefault("name", f'CompareValue: "{value}"')
        super().__init__(**kwargs)
        self.value = value

    async def run(self, value: Any) -> None:
        if value != self.value:
            raise SKIP(f'Provided value "{value}" did not match "{self.value}"')


class AsBool(Task):
    """Whether its input is true."""

    async def run(self, x: Any) -> bool:
        return bool(x)


class case:
    """A block whose tasks run when the result of `task` equals `value`, and are skipped otherwise.

        with case(weekday(day), "Sunday"):
            rest()

    The tasks that depend on none of the same block wait for the comparison, the others for them; parameters and constants
    stay outside. Raises TypeError when `value` is a task, FlowError when tasks of two flows are added inside the block.
    """

    def __init__(self, task: Any, value: Any) -> None:
        if building.is_task(value):
            raise TypeError("`value` cannot be a task")
        self.task, self.value = task, value
        self._tasks: dict[Task, None] = {}
        self._graph: Graph | None = None
        self._tokens: list[Token[Any]] = []

    def add_task(self, task: Task, graph: Graph) -> None:
        """Take note of a task that was added to `graph` inside the block."""
        if self._graph is not None and self._graph is not graph:
            raise FlowError("Multiple flows cannot be used with the same case statement")
        self._graph = graph
        if not task.is_parameter and not task.is_constant:
            self._tasks[task] = None

    def __enter__(self) -> None:
        self._tasks, self._graph = {}, None
        self._tokens.append(active_case.set(self))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        active_case.reset(self._tokens.pop())
        graph = self._graph
        if graph is None or not self._tasks:
            return
        first = [task for task in self._tasks if self._tasks.keys().isdisjoint(graph.upstream_tasks(task))]
        comparison = CompareValue(self.value, name=f"case({printable(told(self.value, str, 200))})").bind(
            value=self.task, flow=graph
        )
        for task in first:
            graph.add_edge(comparison, task)


def switch(condition: Any, cases: Mapping[Any, Any], mapped: bool = False) -> None:
    """Let each task of `cases` run only when the result of `condition` equals its key; `mapped`: child by child."""
    with tags("switch"):
        for value, branch in cases.items():
            task = building.as_task(branch)
            comparison = CompareValue(value, tags={"switch"}).bind(value=condition, mapped=mapped)
            task.set_upstream(comparison, mapped=mapped)


def ifelse(condition: Any, true_task: Any, false_task: Any, mapped: bool = False) -> None:
    """Let `true_task` run only when the result of `condition` is true, else `false_task`; each may be None."""
    known = AsBool(name="as_bool").bind(x=condition, mapped=mapped)
    branches = {True: true_task, False: false_task}
    switch(known, {value: branch for value, branch in branches.items() if branch is not None}, mapped=mapped)


class Merge(Task):
    """Results in the first of its inputs `task_1`, `task_2`, … that is not None: that of the branch which was not skipped.

    Raises ValueError for `skip_on_upstream_skip=True`.
    """

    def __init__(self, **kwargs: Any) -> None:
        if kwargs.setdefault("skip_on_upstream_skip", False):
            raise FlowError("Merge tasks must have `skip_on_upstream_skip=False`.")
        kwargs.setdefault("trigger", triggers.not_all_skipped)
        super().__init__(**kwargs)

    async def run(self, **task_results: Any) -> Any:
        found = (task_results[name] for name in sorted(task_results, key=_place))
        return next((value for value in found if value is not None), None)


def merge(*tasks: Any, flow: Graph | None = None, mapped: bool = False, **kwargs: Any) -> Task:
    """A task that results in the first result of `tasks` that is not None, of those that were not skipped.

    It is skipped if all of them were. Further keywords are those of a task.
    """
    task = Merge(**kwargs)
    if "trigger" not in kwargs and not mapped and any(building.is_constant(branch) for branch in tasks):
        task.trigger = _not_all_skipped_beside_constants
    return task.bind(flow=flow, mapped=mapped, **{f"task_{number}": branch for number, branch in enumerate(tasks, 1)})


def _not_all_skipped_beside_constants(upstream_states: triggers.UpstreamStates) -> bool:
    # A trigger does not see constants, but here one is a branch that is always taken.
    return triggers.not_all_skipped({**upstream_states, None: Success()})


_not_all_skipped_beside_constants.__name__ = triggers.not_all_skipped.__name__  # which is what a serialized flow shows


def _place(name: str) -> tuple[bool, int, str]:
    number = name.removeprefix("task_")
    return (False, int(number), "") if number.isdecimal() else (True, 0, name)


class FilterTask(Task):
    """Results in those elements of its input, a list of results, for which `filter_func` is true.

    By default it drops None and what failed or was skipped: exceptions, signals among them. `log_func` makes a line for the
    run's log of the filtered list. It runs however the upstream tasks ended.
    """

    def __init__(
        self,
        filter_func: Callable[[Any], Any] | None = None,
        log_func: Callable[[list[Any]], Any] | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("skip_on_upstream_skip", False)
        kwargs.setdefault("trigger", triggers.all_finished)
        self.filter_func = filter_func or _is_a_result
        self.log_func = log_func
        super().__init__(**kwargs)

    def run(self, task_results: Iterable[Any]) -> list[Any]:
        found = [result for result in task_results if self.filter_func(result)]
        if self.log_func is not None:
            self.logger.info(self.log_func(found))
        return found


def _is_a_result(value: Any) -> bool:
    return value is not None and not isinstance(value, BaseException)
