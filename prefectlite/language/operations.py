"""What can be written between tasks: who waits for whom, and operators, which make tasks that compute on the results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from prefectlite import registry
from prefectlite.errors import FlowError
from prefectlite.language import building
from prefectlite.language.mapping import Annotation
from prefectlite.shown import printable, told

if TYPE_CHECKING:
    from prefectlite.language.graph import Graph
    from prefectlite.language.task import Task


class Operations:
    """Dependencies and operators of tasks. An operator makes a task, named for it, which computes on the tasks' results.

    `==` and `!=` compare the tasks themselves (`is_equal` and `is_not_equal` their results), and `a | b` lets b wait for a.
    A task is always true, so `if task:`, `a and b` and `a < b < c` do not look at results: use `case` and `&`.
    """

    name: str
    nout: int | None
    checkpoint: bool | None
    result: Any
    __hash__ = object.__hash__

    def pipe(self, task: Callable[..., Any], /, **kwargs: Any) -> Any:
        """`task(self, **kwargs)`, for chains that read from left to right; an annotation leaves this task as it is."""
        if "self" in kwargs:
            raise FlowError('You cannot use the keyword argument "self" in .pipe.')
        is_annotation = isinstance(task, type) and issubclass(task, Annotation)
        piped = task(self, **kwargs)
        return building.as_task(piped) if is_annotation else piped

    def set_upstream(self, task: Any, flow: Graph | None = None, key: str | None = None, mapped: bool = False) -> Self:
        """Let this task wait for `task`, and receive its result as `key` if one is given."""
        if key is not None:
            return self.set_dependencies(flow, keyword_tasks={key: task}, mapped=mapped)
        return self.set_dependencies(flow, upstream_tasks=[task], mapped=mapped)

    def set_downstream(self, task: Any, flow: Graph | None = None, key: str | None = None, mapped: bool = False) -> Self:
        """Let `task` wait for this one, and receive its result as `key` if one is given."""
        graph = building.graph_for(None, flow)
        building.as_task(task, graph).set_upstream(self, graph, key, mapped)
        return self

    def set_dependencies(
        self,
        flow: Graph | None = None,
        upstream_tasks: Iterable[Any] | None = None,
        downstream_tasks: Iterable[Any] | None = None,
        keyword_tasks: Mapping[str, Any] | None = None,
        mapped: bool = False,
        validate: bool | None = None,
    ) -> Self:
        """Let this task wait for `upstream_tasks` and `keyword_tasks` (its arguments), and `downstream_tasks` for it.

        With `mapped` it runs once per element of what it waits for.
        """
        graph = building.graph_for(None, flow)
        graph.set_dependencies(self, upstream_tasks, downstream_tasks, keyword_tasks, mapped, validate)
        return self

    def __add__(self, other: Any) -> Task:
        return _operation("Add", self, other)

    def __radd__(self, other: Any) -> Task:
        return _operation("Add", other, self)

    def __sub__(self, other: Any) -> Task:
        return _operation("Sub", self, other)

    def __rsub__(self, other: Any) -> Task:
        return _operation("Sub", other, self)

    def __mul__(self, other: Any) -> Task:
        return _operation("Mul", self, other)

    def __rmul__(self, other: Any) -> Task:
        return _operation("Mul", other, self)

    def __truediv__(self, other: Any) -> Task:
        return _operation("Div", self, other)

    def __rtruediv__(self, other: Any) -> Task:
        return _operation("Div", other, self)

    def __floordiv__(self, other: Any) -> Task:
        return _operation("FloorDiv", self, other)

    def __rfloordiv__(self, other: Any) -> Task:
        return _operation("FloorDiv", other, self)

    def __mod__(self, other: Any) -> Task:
        return _operation("Mod", self, other)

    def __rmod__(self, other: Any) -> Task:
        return _operation("Mod", other, self)

    def __pow__(self, other: Any) -> Task:
        return _operation("Pow", self, other)

    def __rpow__(self, other: Any) -> Task:
        return _operation("Pow", other, self)

    def __lt__(self, other: Any) -> Task:
        return _operation("LessThan", self, other)

    def __le__(self, other: Any) -> Task:
        return _operation("LessThanOrEqual", self, other)

    def __gt__(self, other: Any) -> Task:
        return _operation("GreaterThan", self, other)

    def __ge__(self, other: Any) -> Task:
        return _operation("GreaterThanOrEqual", self, other)

    def __and__(self, other: Any) -> Task:
        return _operation("And", self, other)

    def __rand__(self, other: Any) -> Task:
        return _operation("And", other, self)

    def or_(self, other: Any) -> Task:
        """A task whose result is `x or y` of the results (`|` is another thing)."""
        return _operation("Or", self, other)

    def not_(self) -> Task:
        """A task whose result is `not x` of this one's."""
        return registry.operator_tasks["Not"]().bind(self)  # type: ignore[no-any-return]

    def is_equal(self, other: Any) -> Task:
        """A task whose result is `x == y` of the results."""
        return _operation("Equal", self, other)

    def is_not_equal(self, other: Any) -> Task:
        """A task whose result is `x != y` of the results."""
        return _operation("NotEqual", self, other)

    def __or__(self, other: Any) -> Any:
        self.set_dependencies(downstream_tasks=[other])
        return other

    def __ror__(self, other: Any) -> Any:
        return self.set_dependencies(upstream_tasks=[other])

    def __getitem__(self, key: Any) -> Task:
        """A task whose result is that element of this one's; it is kept where this one's result is kept."""
        shown = key.name if getattr(key, "is_task", False) is True else printable(told(key))
        item = registry.operator_tasks["GetItem"]
        task = item(name=f"{self.name}[{shown}]", checkpoint=self.checkpoint, result=self.result)
        return task.bind(task_result=self, key=key)  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[Task]:
        if self.nout is None:
            raise TypeError(
                "Task is not iterable. If your task returns multiple results, pass `nout` to the task"
                " decorator/constructor, or provide a `Tuple` return-type annotation to your task."
            )
        return (self[index] for index in range(self.nout))


def _operation(name: str, x: Any, y: Any) -> Task:
    return registry.operator_tasks[name]().bind(x, y)  # type: ignore[no-any-return]
