"""Resources that live as long as the tasks of one block run: made before them, cleaned up after them, however they ended."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import Token
from types import TracebackType
from typing import Any, overload

from prefectlite import triggers
from prefectlite.contexts import active_graph, active_resource
from prefectlite.errors import FlowError
from prefectlite.language.graph import Graph
from prefectlite.language.task import Task


class ResourceInitTask(Task):
    """Makes the object that sets up and cleans up."""

    is_resource_init = True

    def __init__(self, resource_class: Callable[..., Any], **kwargs: Any) -> None:
        def make(**arguments: Any) -> Any:
            return resource_class(**arguments)

        make.__signature__ = inspect.signature(resource_class)  # type: ignore[attr-defined]
        self.run = make  # type: ignore[method-assign]
        super().__init__(**kwargs)


class ResourceSetupTask(Task):
    """Results in the resource."""

    is_resource_setup = True

    def __init__(self, method: str, waits: bool, **kwargs: Any) -> None:
        async def set_up_async(mgr: Any) -> Any:
            return await getattr(mgr, method)()

        def set_up(mgr: Any) -> Any:
            return getattr(mgr, method)()

        self.run = set_up_async if waits else set_up  # type: ignore[method-assign]
        super().__init__(**kwargs)


class ResourceCleanupTask(Task):
    """Gives the resource back."""

    is_resource_cleanup = True

    def __init__(self, method: str, waits: bool, **kwargs: Any) -> None:
        def arguments(resource: Any) -> tuple[Any, ...]:
            return (None, None, None) if method.startswith("__") else (resource,)

        async def clean_up_async(mgr: Any, resource: Any = None) -> None:
            await getattr(mgr, method)(*arguments(resource))

        def clean_up(mgr: Any, resource: Any = None) -> None:
            getattr(mgr, method)(*arguments(resource))

        self.run = clean_up_async if waits else clean_up  # type: ignore[method-assign]
        super().__init__(**kwargs)


class ResourceContext:
    """A resource in one flow: `with` it, the tasks that are added wait for its setup, and its cleanup waits for them."""

    def __init__(self, graph: Graph, init_task: Task, setup_task: Task | None, cleanup_task: Task) -> None:
        self.init_task, self.setup_task, self.cleanup_task = init_task, setup_task, cleanup_task
        self._graph = graph
        self._tasks: dict[Task, None] = {}
        self._tokens: list[Token[Any]] = []

    def add_task(self, task: Task, graph: Graph) -> None:
        """Take note of a task that was added to `graph` inside the block."""
        if graph is not self._graph:
            raise FlowError("Multiple flows cannot be used with the same resource block")
        if not task.is_parameter and not task.is_constant:
            self._tasks[task] = None

    def __enter__(self) -> Any:
        self._tokens.append(active_resource.set(self))
        return self.setup_task

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        active_resource.reset(self._tokens.pop())
        graph, block = self._graph, self._tasks.keys()
        upstream = {task: graph.upstream_tasks(task) for task in block}
        last = [task for task in block if block.isdisjoint(graph.downstream_tasks(task))]
        for task in block:
            if self.setup_task is not None and block.isdisjoint(upstream[task]) and self.setup_task not in upstream[task]:
                graph.add_edge(self.setup_task, task)
        for task in last:
            if self.cleanup_task not in graph.downstream_tasks(task):
                graph.add_edge(task, self.cleanup_task)


class ResourceManager:
    """A class of resources for flows: called like the class, inside `with Flow(...)`, it gives a block to use one in."""

    def __init__(
        self,
        resource_class: Callable[..., Any],
        name: str | None = None,
        init_task_kwargs: dict[str, Any] | None = None,
        setup_task_kwargs: dict[str, Any] | None = None,
        cleanup_task_kwargs: dict[str, Any] | None = None,
    ) -> None:
        if not callable(resource_class):
            raise TypeError(f"resource_manager takes a class, not {resource_class!r}")
        functools.update_wrapper(self, resource_class, updated=())
        self.resource_class = resource_class
        self.name = name or getattr(resource_class, "__name__", "resource")
        self.init_task_kwargs = {"name": self.name, **(init_task_kwargs or {})}
        self.setup_task_kwargs = {"name": f"{self.name}.setup", "checkpoint": False, **(setup_task_kwargs or {})}
        self.cleanup_task_kwargs = {
            "name": f"{self.name}.cleanup",
            "checkpoint": False,
            "skip_on_upstream_skip": False,
            "trigger": triggers.resource_cleanup_trigger,
            **(cleanup_task_kwargs or {}),
        }

    def __call__(self, *args: Any, flow: Graph | None = None, **kwargs: Any) -> ResourceContext:
        """The resource made with these arguments, which may be tasks, in the flow being written (or `flow`)."""
        graph = flow if flow is not None else active_graph.get()
        if graph is None:
            raise FlowError("Could not infer an active Flow context.")
        (enter, enter_waits), (leave, leave_waits) = _steps(self.resource_class)
        init = ResourceInitTask(self.resource_class, **self.init_task_kwargs).bind(*args, flow=graph, **kwargs)
        setup = None
        if enter is not None:
            setup = ResourceSetupTask(enter, enter_waits, **self.setup_task_kwargs).bind(mgr=init, flow=graph)
        cleanup = ResourceCleanupTask(leave, leave_waits, **self.cleanup_task_kwargs)
        given: dict[str, Any] = {} if setup is None else {"resource": setup}
        cleanup.bind(mgr=init, flow=graph, **given)
        return ResourceContext(graph, init, setup, cleanup)


def _steps(resource_class: Any) -> tuple[tuple[str | None, bool], tuple[str, bool]]:
    """The methods that set up and clean up, each with whether it is to be awaited."""
    names: tuple[str | None, str] = ("setup" if hasattr(resource_class, "setup") else None, "cleanup")
    if not hasattr(resource_class, "setup") and not hasattr(resource_class, "cleanup"):
        if hasattr(resource_class, "__aenter__"):
            return ("__aenter__", True), ("__aexit__", True)
        if hasattr(resource_class, "__enter__"):
            names = ("__enter__", "__exit__")
    enter, leave = names
    waits = [inspect.iscoroutinefunction(getattr(resource_class, name or "", None)) for name in names]
    return (enter, waits[0]), (leave, waits[1])


@overload
def resource_manager(
    resource_class: Callable[..., Any],
    *,
    name: str | None = None,
    init_task_kwargs: dict[str, Any] | None = None,
    setup_task_kwargs: dict[str, Any] | None = None,
    cleanup_task_kwargs: dict[str, Any] | None = None,
) -> ResourceManager: ...
@overload
def resource_manager(
    resource_class: None = None,
    *,
    name: str | None = None,
    init_task_kwargs: dict[str, Any] | None = None,
    setup_task_kwargs: dict[str, Any] | None = None,
    cleanup_task_kwargs: dict[str, Any] | None = None,
) -> Callable[[Callable[..., Any]], ResourceManager]: ...
def resource_manager(resource_class: Callable[..., Any] | None = None, **options: Any) -> Any:
    """The decorated class as a resource for flows.

        @resource_manager
        class Database:
            def __init__(self, url): ...
            def setup(self): return connect(self.url)           # `async def` is fine, too
            def cleanup(self, connection): connection.close()

        with Flow("load") as flow:
            with Database("sqlite://") as connection:
                load(connection)

    `setup` may be missing. A class with neither method that is a context manager, plain or asynchronous, is entered and left
    instead. The tasks are called Database, Database.setup and Database.cleanup unless `name` or the keywords for the tasks
    say otherwise. The cleanup runs however the tasks of the block ended, but only if the setup succeeded.
    """
    if resource_class is None:
        return lambda decorated: ResourceManager(decorated, **options)
    return ResourceManager(resource_class, **options)
