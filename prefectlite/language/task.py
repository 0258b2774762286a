"""Tasks: the steps of a flow."""

from __future__ import annotations

import copy
import functools
import inspect
import logging
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, overload

from prefectlite import triggers
from prefectlite.errors import FlowError
from prefectlite.language import building, signature
from prefectlite.language.graph import Graph
from prefectlite.language.mapping import Annotation


class Task:
    """One step of a flow. Subclass it and write `run`, or decorate a function with `@task`.

    Calling a task inside `with Flow(...)` puts a copy of it into the flow: an argument that is a task, or a list, tuple,
    set or dict with tasks in it, becomes a dependency whose result `run` receives; any other one is a constant.

    `max_retries` and `retry_delay` (seconds or timedelta): a failed run is tried again that often, after that long.
    `retry_on`: only for these exception types. `timeout` (seconds or timedelta) ends a run as TimedOut. `trigger` decides
    from the upstream states whether it runs. `checkpoint=False` keeps its result out of the record. `log_stdout`: what it
    prints goes to the run's log too.
    """

    is_task = True
    is_parameter = False
    is_constant = False
    auto_generated = False
    value: Any = None  # of a constant

    def __init__(
        self,
        name: str | None = None,
        slug: str | None = None,
        tags: Iterable[str] | None = None,
        max_retries: int | None = None,
        retry_delay: timedelta | float | None = None,
        retry_on: type[Exception] | Iterable[type[Exception]] | None = None,
        timeout: timedelta | float | None = None,
        trigger: Callable[..., bool] | None = None,
        skip_on_upstream_skip: bool = True,
        checkpoint: bool | None = None,
        log_stdout: bool = False,
    ) -> None:
        self.name = name or type(self).__name__
        self.slug = slug
        self.tags = _tags(tags)
        self.max_retries, self.retry_delay, self.retry_on = _retries(self.name, max_retries, retry_delay, retry_on)
        self.timeout = _timeout(self.name, timeout)
        self.trigger = trigger or triggers.all_successful
        self.skip_on_upstream_skip = skip_on_upstream_skip
        self.checkpoint = checkpoint
        self.log_stdout = log_stdout
        self.signature = signature.run_signature(self.run, self.name)
        # An object with an `async def __call__` is asynchronous, too.
        self.is_async = inspect.iscoroutinefunction(self.run) or inspect.iscoroutinefunction(
            getattr(self.run, "__call__", None)  # noqa: B004
        )

    def run(self) -> Any:
        """What the task does; subclasses write it, as `def` (runs in a worker thread) or `async def` (on the loop)."""
        return None

    def __repr__(self) -> str:
        return f"<Task: {self.name}>"

    @property
    def logger(self) -> logging.Logger:
        """The task's logger; what it logs in a run is in the run's log."""
        return logging.getLogger(f"prefectlite.{self.name}")

    @property
    def call_hint(self) -> str:
        """How user code calls the task's own code directly."""
        return f"{type(self).__name__}(...).run"

    def required_inputs(self) -> list[str]:
        """The arguments of `run` that must be given."""
        return signature.required_inputs(self.signature)

    def copy(self, **task_args: Any) -> Any:
        """A copy with these attributes changed, checked as those of a new task are; tags are added to the task's own.

        A name that is no attribute of the task raises AttributeError.
        """
        new = copy.copy(self)
        for name, value in task_args.items():
            if not hasattr(new, name):
                raise AttributeError(f"{type(self).__name__} does not have {name!r} as an attribute")
            setattr(new, name, value)
        if self.slug and "slug" not in task_args:
            new.slug = f"{self.slug}-copy"
        new.tags = set(self.tags) | _tags(task_args.get("tags"))
        if task_args:
            delay, kinds = new.retry_delay, new.retry_on
            if not new.max_retries:  # what was set for the retries that are switched off goes with them
                delay, kinds = task_args.get("retry_delay"), task_args.get("retry_on") or ()
            new.max_retries, new.retry_delay, new.retry_on = _retries(new.name, new.max_retries, delay, kinds)
            new.timeout = _timeout(new.name, new.timeout)
        return new

    def __call__(
        self,
        *args: Any,
        mapped: bool = False,
        task_args: dict[str, Any] | None = None,
        upstream_tasks: Iterable[Any] | None = None,
        flow: Graph | None = None,
        **kwargs: Any,
    ) -> Any:
        """A copy of this task, bound to these arguments in the flow being written (or `flow`)."""
        new = self.copy(**(task_args or {}))
        return new.bind(*args, mapped=mapped, upstream_tasks=upstream_tasks, flow=flow, **kwargs)

    def bind(
        self,
        *args: Any,
        mapped: bool = False,
        upstream_tasks: Iterable[Any] | None = None,
        flow: Graph | None = None,
        **kwargs: Any,
    ) -> Any:
        """This very task, bound to these arguments in the flow being written (or `flow`)."""
        graph = building.graph_for(self, flow)
        arguments = signature.bind_arguments(self.signature, self.name, args, kwargs)
        building.bind(self, graph, arguments, upstream_tasks, mapped)
        return self

    def map(
        self,
        *args: Any,
        upstream_tasks: Iterable[Any] | None = None,
        flow: Graph | None = None,
        task_args: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """A copy that runs once per element of its arguments (zipped, to the shortest); wrap the others in `unmapped`."""
        for argument in args:
            if not isinstance(argument, Task | Annotation) and not hasattr(argument, "__getitem__"):
                raise TypeError(f"Cannot map over unsubscriptable object of type {type(argument)}: {argument!r:.20}...")
        return self(*args, mapped=True, task_args=task_args, upstream_tasks=upstream_tasks, flow=flow, **kwargs)

    def set_upstream(self, task: Any, flow: Graph | None = None, key: str | None = None, mapped: bool = False) -> Task:
        """Let this task wait for `task`, and receive its result as `key` if one is given."""
        graph = building.graph_for(self, flow)
        graph.add_edge(building.as_task(task, graph), self, key=key, mapped=mapped)
        return self

    def set_downstream(self, task: Any, flow: Graph | None = None, key: str | None = None, mapped: bool = False) -> Task:
        """Let `task` wait for this one, and receive its result as `key` if one is given."""
        graph = building.graph_for(self, flow)
        graph.add_edge(self, building.as_task(task, graph), key=key, mapped=mapped)
        return self


class FunctionTask(Task):
    """A task made of a function; `task.run(...)` is that function."""

    def __init__(self, fn: Callable[..., Any], name: str | None = None, **kwargs: Any) -> None:
        if not callable(fn):
            raise TypeError("fn must be callable.")
        self.run = fn  # type: ignore[method-assign]
        functools.update_wrapper(self, fn)
        super().__init__(name=name or getattr(fn, "__name__", type(self).__name__), **kwargs)

    @property
    def call_hint(self) -> str:
        return f"{self.name}.run"


@overload
def task(fn: Callable[..., Any], /) -> FunctionTask: ...
@overload
def task(fn: None = None, /, **task_args: Any) -> Callable[[Callable[..., Any]], FunctionTask]: ...
def task(fn: Callable[..., Any] | None = None, /, **task_args: Any) -> Any:
    """The decorated function as a task: `@task`, or `@task(max_retries=3, retry_delay=1)` with Task's arguments."""
    if fn is None:
        return lambda function: FunctionTask(function, **task_args)
    return FunctionTask(fn, **task_args)


def _tags(tags: Iterable[str] | None) -> set[str]:
    if isinstance(tags, str):
        raise TypeError("Tags should be a set of tags, not a string.")
    return set(tags or ())


def _retries(
    name: str, max_retries: int | None, delay: timedelta | float | None, retry_on: Any
) -> tuple[int, timedelta | None, tuple[type[Exception], ...]]:
    retries = max_retries or 0
    if retries < 0:
        raise FlowError(f"Task {name!r}: max_retries cannot be negative")
    if retries and delay is None:
        raise FlowError(f"Task {name!r}: A datetime.timedelta `retry_delay` must be provided if max_retries > 0")
    if not retries and (delay is not None or retry_on):
        raise FlowError(f"Task {name!r}: retry_delay and retry_on need a number of `max_retries` greater than 0")
    kinds = (retry_on,) if isinstance(retry_on, type) else tuple(retry_on or ())
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise TypeError(f"Task {name!r}: retry_on takes exception types, not {kind!r}")
    return retries, _duration(delay), kinds


def _timeout(name: str, timeout: timedelta | float | None) -> timedelta | None:
    duration = _duration(timeout)
    if duration is not None and duration <= timedelta(0):
        raise FlowError(f"Task {name!r}: timeout must be longer than nothing, not {timeout!r}")
    return duration


def _duration(value: timedelta | float | None) -> timedelta | None:
    if value is None or isinstance(value, timedelta):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"A duration is a number of seconds or a timedelta, not {value!r}")
    return timedelta(seconds=value)
