"""Results and failures in place of what tasks do."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from prefectlite.contexts import context
from prefectlite.errors import FlowError
from prefectlite.language.graph import Graph
from prefectlite.language.task import Task
from prefectlite.signals import ENDRUN
from prefectlite.states import State


class PerChild:
    """Stand-ins for the children of a mapped task, by map index."""

    def __init__(self, stand_ins: Iterable[Any]) -> None:
        self.stand_ins = list(stand_ins)


@contextmanager
def injecting(flow: Graph, stand_ins: Mapping[Task | str, Any]) -> Iterator[None]:
    """In this block these tasks of `flow`, given themselves or by name, do something else; their own code is not called.

        with injecting(flow, {"download": [1, 2], convert: ValueError("broken"), store: lambda rows: len(rows)}):
            run = flow.run()

    A value is what the task returns; an exception (or its class) or a signal is raised; a function, plain or async, is
    called with the task's arguments; in a state the task ends at once. `PerChild([...])` has one of these for each child of
    a mapped task; anything else holds for every child. Triggers, retries, caches, handlers and results are as ever. A name
    stands for all tasks that have it. Raises FlowError for a task that the flow does not have.
    """
    chosen = {task: stand_in for key, stand_in in stand_ins.items() for task in _tasks(flow, key)}
    with ExitStack() as stack:
        for task, stand_in in chosen.items():
            code = _code(task, stand_in)
            stack.enter_context(_attributes(task, run=code, is_async=inspect.iscoroutinefunction(code)))
        yield


def _tasks(flow: Graph, key: Task | str) -> list[Task]:
    found = [task for task in flow.tasks if key is task or key == task.name]
    if found:
        return found
    near = difflib.get_close_matches(str(key), [task.name for task in flow.tasks], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise FlowError(f"Flow {flow.name!r} has no task {key!r} that something could be injected for{hint}")


def _code(task: Task, stand_in: Any) -> Callable[..., Any]:
    """What is called in place of the task's own code."""
    if _is_called(stand_in):
        return stand_in  # type: ignore[no-any-return]

    async def give(**arguments: Any) -> Any:
        one = _of_this_child(task, stand_in) if isinstance(stand_in, PerChild) else stand_in
        if _is_called(one):
            answer = one(**arguments)
            return await answer if inspect.isawaitable(answer) else answer
        if isinstance(one, State):
            raise ENDRUN(one)
        if isinstance(one, BaseException) or (isinstance(one, type) and issubclass(one, BaseException)):
            raise one
        return one

    return give


def _is_called(stand_in: Any) -> bool:
    return callable(stand_in) and not isinstance(stand_in, type | State)


def _of_this_child(task: Task, children: PerChild) -> Any:
    index = context.get("map_index")
    if index is None or index >= len(children.stand_ins):
        where = "is not mapped" if index is None else f"has a child {index}"
        raise FlowError(f"Task {task.name!r} {where}, and there are stand-ins for {len(children.stand_ins)} children")
    return children.stand_ins[index]


@contextmanager
def _attributes(task: Task, **values: Any) -> Iterator[None]:
    own = vars(task)
    before = {name: own[name] for name in values if name in own}
    own.update(values)
    try:
        yield
    finally:
        for name in values:
            del own[name]
        own.update(before)
