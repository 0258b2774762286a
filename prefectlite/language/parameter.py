"""Parameters: values a flow takes when it is run."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Self

from prefectlite.contexts import context
from prefectlite.errors import ParameterError
from prefectlite.language.graph import Graph
from prefectlite.language.task import Task
from prefectlite.shown import printable, told
from prefectlite.signals import FAIL

_NO_DEFAULT: Any = object()


class Parameter(Task):
    """A task whose result is the value given for `name` when the flow is run, else `default`.

    It is required when there is no default, unless `required` says otherwise. It joins the flow where it is used as an
    argument, or by `Parameter("x")()`.
    """

    is_parameter = True

    def __init__(
        self, name: str, default: Any = _NO_DEFAULT, required: bool | None = None, tags: Iterable[str] | None = None
    ) -> None:
        self.required = default is _NO_DEFAULT if required is None else required
        self.default = None if default is _NO_DEFAULT else default
        super().__init__(name=name, slug=name, tags=tags, checkpoint=True)

    async def run(self) -> Any:
        values = context.get("parameters") or {}
        if self.required and self.name not in values:
            raise FAIL(f'Parameter "{self.name}" was required but not provided.')
        return values.get(self.name, self.default)

    def copy(self, name: str, **task_args: Any) -> Self:  # type: ignore[override]
        """A copy for the parameter `name`; the rest as of any task."""
        return super().copy(name=name, slug=name, **task_args)

    def __call__(self, flow: Graph | None = None) -> Self:  # type: ignore[override]
        """This parameter, added to the flow being written (or `flow`)."""
        return self.bind(flow=flow)

    def __repr__(self) -> str:
        return f"<Parameter: {self.name}>"


class DateTimeParameter(Parameter):
    """A parameter whose result is a datetime: given as one, or as ISO 8601 text. What names no time zone is in UTC.

    None stays None.
    """

    async def run(self) -> datetime | None:
        value = await super().run()
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                raise ValueError(f"Parameter {self.name!r} takes a datetime in ISO 8601, not {value!r}") from None
        if value is None:
            return None
        if not isinstance(value, datetime):
            raise TypeError(f"Parameter {self.name!r} takes a datetime or ISO 8601 text, not {value!r}")
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def checked_values(graph: Graph, values: Any) -> Mapping[str, Any]:
    """`values`, which must be a mapping by name. Raises TypeError."""
    if isinstance(values, Mapping) and all(isinstance(name, str) for name in values):
        return values
    raise TypeError(f"The parameters of flow {graph.name!r} must be a dict of values by name, not {told(values, most=200)}")


def check_parameters(graph: Graph, values: Mapping[str, Any]) -> None:
    """Raises ParameterError, naming them all, if `values` has unknown names or lacks required ones."""
    known = {task.name: task for task in graph.parameters() if isinstance(task, Parameter)}
    if unknown := sorted(set(values) - set(known)):
        raise ParameterError(unexpected(graph, unknown))
    if missing := sorted(name for name, task in known.items() if task.required and name not in values):
        raise ParameterError(
            f"Flow.run did not receive the following required parameters: {', '.join(missing)}."
            f" Flow {graph.name!r} takes: {described_parameters(graph)}"
        )


def unexpected(graph: Graph, names: Iterable[str]) -> str:
    """What to say of `names` that `graph` has no parameters of."""
    return (
        f"Flow.run received the following unexpected parameters: {', '.join(map(printable, sorted(names)))}."
        f"{nearest(names, [task.name for task in graph.parameters()])}"
        f" Flow {graph.name!r} takes: {described_parameters(graph)}"
    )


def nearest(unknown: Iterable[str], known: Iterable[str]) -> str:
    """ " Did you mean …?" for names that look like known ones, else nothing."""
    names = list(known)
    near = [close[0] for name in unknown if (close := difflib.get_close_matches(name, names, n=1))]
    return f" Did you mean {' and '.join(map(repr, dict.fromkeys(near)))}?" if near else ""


def described_parameters(graph: Graph) -> str:
    """The parameters of `graph` with the types its tasks annotate and the defaults, as in the head of a function."""
    known = sorted((task.name, task) for task in graph.parameters() if isinstance(task, Parameter))
    return ", ".join(_described(graph, parameter) for _, parameter in known) or "none"


def _described(graph: Graph, parameter: Parameter) -> str:
    types = {
        annotation
        for edge in graph.edges_from(parameter)
        if edge.key is not None and not edge.mapped
        if (annotation := edge.downstream_task.inputs().get(edge.key, {}).get("type", Any)) is not Any
    }
    words = " | ".join(sorted(kind if isinstance(kind, str) else inspect.formatannotation(kind) for kind in types))
    default = "" if parameter.required else f"{' = ' if words else '='}{told(parameter.default, most=100)}"
    return f"{parameter.name}{f': {words}' if words else ''}{default}"
