"""Parameters: values a flow takes when it is run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prefectlite.contexts import active_graph, context
from prefectlite.errors import ParameterError
from prefectlite.language.graph import Graph
from prefectlite.language.task import Task
from prefectlite.signals import FAIL

_NO_DEFAULT: Any = object()


class Parameter(Task):
    """A task whose result is the value given for `name` when the flow is run, else `default`.

    It is required when there is no default, unless `required` says otherwise. Inside `with Flow(...)` it joins the flow.
    """

    is_parameter = True

    def __init__(
        self, name: str, default: Any = _NO_DEFAULT, required: bool | None = None, tags: Iterable[str] | None = None
    ) -> None:
        self.required = default is _NO_DEFAULT if required is None else required
        self.default = None if default is _NO_DEFAULT else default
        super().__init__(name=name, slug=name, tags=tags)
        if (graph := active_graph.get()) is not None:
            graph.add_task(self)

    async def run(self) -> Any:
        values = context.get("parameters", {})
        if self.required and self.name not in values:
            raise FAIL(f'Parameter "{self.name}" was required but not provided.')
        return values.get(self.name, self.default)

    def __call__(self, flow: Graph | None = None) -> Parameter:  # type: ignore[override]
        """This parameter, added to the flow being written (or `flow`)."""
        return self.bind(flow=flow)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<Parameter: {self.name}>"


def check_parameters(graph: Graph, values: dict[str, Any]) -> None:
    """Raises ParameterError, naming them all, if `values` has unknown names or lacks required ones."""
    known = {task.name: task for task in graph.parameters() if isinstance(task, Parameter)}
    if unknown := sorted(set(values) - set(known)):
        raise ParameterError(
            f"Flow.run received the following unexpected parameters: {', '.join(unknown)}."
            f" Flow {graph.name!r} takes: {', '.join(sorted(known)) or 'none'}"
        )
    if missing := sorted(name for name, task in known.items() if task.required and name not in values):
        raise ParameterError(f"Flow.run did not receive the following required parameters: {', '.join(missing)}")
