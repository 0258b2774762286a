"""Tasks: the steps of a flow."""

from __future__ import annotations

import copy
import functools
import inspect
import logging
import warnings
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar, Unpack, overload

from prefectlite import triggers
from prefectlite.language import building, delays, options, signature
from prefectlite.language.callbacks import StateHandler, handlers_of
from prefectlite.language.delays import RetryDelay
from prefectlite.language.graph import Graph
from prefectlite.language.mapping import Annotation
from prefectlite.language.operations import Operations
from prefectlite.language.options import TaskOptions

P = ParamSpec("P")
R = TypeVar("R")


class Task(Operations):
    """One step of a flow. Subclass it and write `run`, or decorate a function with `@task`.

    Calling a task inside `with Flow(...)` puts a copy of it into the flow: an argument that is a task, or a list, tuple,
    set or dict with tasks in it, becomes a dependency whose result `run` receives; any other one is a constant.

    `max_retries` and `retry_delay`: a failed run is tried again that often, after that long (seconds, a timedelta, a list of
    them, or a function of the number of the attempt that failed). `retry_on`: only for these exception types. `timeout`
    (seconds or timedelta) ends a run as TimedOut. `trigger` decides from the upstream states whether it runs.
    `cache_for`, `cache_validator` and `cache_key`: its result is used again for that long. `checkpoint=False` keeps its
    result out of the record; `result` and `target` keep it elsewhere. `state_handlers` are called with (task, old state, new
    state), `on_failure` with (task, state). `log_stdout`: what it prints goes to the run's log too. `nout`: how many
    elements its result has, so that it can be unpacked. `executor` runs it; `thread="flow"`: on the run's own thread.
    """

    is_task = True
    is_parameter = False
    is_constant = False
    is_resource_init = False
    is_resource_setup = False
    is_resource_cleanup = False
    value: Any = None  # of a constant
    __signature__ = signature.CallSignature()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "run" in cls.__dict__:
            signature.checked(cls.run, cls.__name__)

    if not TYPE_CHECKING:  # the types of the arguments are those of __init__

        def __new__(cls, *args: Any, **kwargs: Any) -> Self:
            if any(isinstance(argument, Task) for argument in (*args, *kwargs.values())):
                warnings.warn(
                    f"A Task was passed as an argument to {cls.__name__}, you likely want to first initialize {cls.__name__}"
                    " with any static (non-Task) arguments, then call the initialized task with any dynamic (Task)"
                    f" arguments instead. For example:\n\n  my_task = {cls.__name__}(...)  # static (non-Task) args go here"
                    "\n  res = my_task(...)  # dynamic (Task) args go here",
                    UserWarning,
                    stacklevel=2,
                )
            return super().__new__(cls)

    def __init__(
        self,
        name: str | None = None,
        slug: str | None = None,
        tags: Iterable[str] | None = None,
        max_retries: int | None = None,
        retry_delay: RetryDelay | None = None,
        retry_on: type[Exception] | Iterable[type[Exception]] | None = None,
        timeout: timedelta | float | None = None,
        trigger: Callable[..., bool] | None = None,
        skip_on_upstream_skip: bool = True,
        cache_for: timedelta | float | None = None,
        cache_validator: Callable[..., bool] | None = None,
        cache_key: str | None = None,
        checkpoint: bool | None = None,
        state_handlers: Iterable[Callable[..., Any]] | None = None,
        on_failure: Callable[[Any, Any], Any] | None = None,
        log_stdout: bool = False,
        result: Any = None,
        target: str | Callable[..., str] | None = None,
        task_run_name: str | Callable[..., str] | None = None,
        nout: int | None = None,
        executor: Any = None,
        thread: str | None = None,
    ) -> None:
        for attribute in options.ATTRIBUTES:
            if hasattr(self, attribute):
                warnings.warn(
                    f"`{type(self).__name__}` sets a `{attribute}` attribute, which will be overwritten by"
                    " `prefectlite.Task`. Please rename this attribute to avoid this issue.",
                    UserWarning,
                    stacklevel=2,
                )
        self.name: str = options.text(name, "The name of a task") or type(self).__name__
        what = f"Task {self.name!r}"
        self.slug: str | None = options.text(slug, f"The slug of task {self.name!r}")
        self.tags = options.tags_of(tags)
        self.max_retries, self.retry_delay, self.retry_on = options.retries(self.name, max_retries, retry_delay, retry_on)
        self.timeout = options.seconds(self.name, timeout)
        self.trigger: Callable[..., bool] = options.function(trigger, f"{what}: `trigger`") or triggers.all_successful
        self.skip_on_upstream_skip = skip_on_upstream_skip
        self.cache_for, self.cache_validator = options.caching(self.name, cache_for, cache_validator)
        self.cache_key: str | None = options.text(cache_key, f"{what}: `cache_key`")
        self.checkpoint = checkpoint
        self.state_handlers: list[StateHandler] = handlers_of(state_handlers, on_failure, what)
        self.log_stdout = log_stdout
        self.target = options.template(target, f"{what}: `target`")
        self.result = options.result_at(result, target)
        self.task_run_name = options.template(task_run_name, f"{what}: `task_run_name`")
        self.executor = executor
        self.thread = options.thread_of(self.name, thread)
        self.auto_generated = False
        self._signature = signature.run_signature(self.run, self.name)
        self.nout = nout if nout is not None else signature.number_of_results(self.run, self._signature)
        # An object with an `async def __call__` is asynchronous, too.
        self.is_async = inspect.iscoroutinefunction(self.run) or inspect.iscoroutinefunction(
            getattr(self.run, "__call__", None)  # noqa: B004
        )
        building.note_made(self)

    if TYPE_CHECKING:

        def run(self, *args: Any, **kwargs: Any) -> Any:  # a subclass may take whatever it wants
            """What the task does; subclasses write it, as `def` (runs in a worker thread) or `async def` (on the loop)."""
    else:

        def run(self) -> Any:
            """What the task does; subclasses write it, as `def` (runs in a worker thread) or `async def` (on the loop)."""

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

    def inputs(self) -> dict[str, dict[str, Any]]:
        """The arguments of `run`: `{name: {"type": Any if not annotated, "default": None if none, "required": bool}}`."""
        return signature.described_inputs(self._signature)

    def outputs(self) -> Any:
        """The type of the result as annotated, else Any."""
        return signature.described_output(self._signature)

    def required_inputs(self) -> list[str]:
        """The arguments of `run` that must be given."""
        return signature.required_inputs(self._signature)

    def accepts(self, name: str) -> bool:
        """Whether `run` takes an argument called `name`."""
        return signature.accepts(self._signature, name)

    def delay_after(self, attempt: int) -> timedelta:
        """How long to wait when the given attempt (the first one is 1) has failed, before the next one.

        Raises what a `retry_delay` that is a function raises, TypeError or FlowError if it returns something else.
        """
        return delays.delay_after(self.retry_delay, attempt, f"The `retry_delay` of task {self.name!r}")

    def copy(self, **task_args: Any) -> Self:
        """A copy with these attributes changed, checked as those of a new task are; tags are added to the task's own.

        It has none of the task's edges, and warns if there are some. A name that is no attribute of the task raises
        AttributeError.
        """
        building.warn_of_lost_edges(self)
        new = copy.copy(self)
        for name, value in task_args.items():
            if not hasattr(new, name):
                raise AttributeError(f"{self} does not have {name} as an attribute")
            setattr(new, name, value)
        if self.slug and "slug" not in task_args:
            new.slug = f"{self.slug}-copy"
        new.tags = self.tags | options.tags_of(task_args.get("tags"))
        if task_args:
            options.check_changed(new, task_args)
        building.note_made(new, instead_of=self)
        return new

    def __call__(
        self,
        *args: Any,
        mapped: bool = False,
        task_args: dict[str, Any] | None = None,
        upstream_tasks: Iterable[Any] | None = None,
        flow: Graph | None = None,
        **kwargs: Any,
    ) -> Self:
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
    ) -> Self:
        """This very task, bound to these arguments in the flow being written (or `flow`).

        Raises TypeError for arguments that `run` does not take, FlowError for one that is bound already.
        """
        graph = building.graph_for(self, flow)
        arguments = signature.bind_arguments(self._signature, self.name, args, kwargs)
        self.tags = options.tags_of(self.tags)
        graph.set_dependencies(self, upstream_tasks, keyword_tasks=arguments, mapped=mapped)
        return self

    def map(
        self,
        *args: Any,
        upstream_tasks: Iterable[Any] | None = None,
        flow: Graph | None = None,
        task_args: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Self:
        """A copy that runs once per element of its arguments (zipped, to the shortest); wrap the others in `unmapped`."""
        for argument in args:
            if not isinstance(argument, Task | Annotation) and not hasattr(argument, "__getitem__"):
                raise TypeError(f"Cannot map over unsubscriptable object of type {type(argument)}: {argument!r:.10}...")
        new = self.copy(**{"nout": None, **(task_args or {})})
        return new.bind(*args, mapped=True, upstream_tasks=upstream_tasks, flow=flow, **kwargs)


class FunctionTask(Task, Generic[P, R]):
    """A task made of a function; `task.run(...)` is that function.

    For type checkers, calling it takes any arguments, since tasks may stand in the place of values: which of them fit is
    checked when the flow is written.
    """

    run: Callable[P, R]

    def __init__(self, fn: Callable[P, R], name: str | None = None, **kwargs: Unpack[TaskOptions]) -> None:
        if not callable(fn):
            raise TypeError("`fn` must be callable")
        function = fn.run if isinstance(fn, Task) else fn
        self.run = function
        functools.update_wrapper(self, function)
        super().__init__(name=name or getattr(function, "__name__", type(self).__name__), **kwargs)

    @property
    def call_hint(self) -> str:
        return f"{self.name}.run"

    if TYPE_CHECKING:  # an editor shows the function's own arguments

        @overload
        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Self: ...
        @overload
        def __call__(self, *args: Any, **kwargs: Any) -> Self: ...
        def __call__(self, *args: Any, **kwargs: Any) -> Self: ...


@overload
def task(fn: Callable[P, R], /) -> FunctionTask[P, R]: ...
@overload
def task(
    fn: None = None, /, name: str | None = None, **task_args: Unpack[TaskOptions]
) -> Callable[[Callable[P, R]], FunctionTask[P, R]]: ...
def task(fn: Callable[..., Any] | None = None, /, name: str | None = None, **task_args: Any) -> Any:
    """The decorated function as a task: `@task`, or `@task(max_retries=3, retry_delay=1)` with Task's arguments."""
    if fn is None:
        return lambda function: FunctionTask(function, name, **task_args)
    return FunctionTask(fn, name, **task_args)
