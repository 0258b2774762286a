"""What a task's `run` may look like, checked when the task is made rather than when it runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from prefectlite.errors import FlowError

#: Arguments of a task's call that are not passed to `run`.
RESERVED = ("upstream_tasks", "mapped", "task_args", "flow")


def run_signature(run: Callable[..., Any], task_name: str) -> inspect.Signature:
    """The signature of `run`, which must be one whose arguments can be bound by name."""
    try:
        signature = inspect.signature(run)
    except (ValueError, TypeError):
        raise FlowError(
            f"Task {task_name!r}: this function can not be inspected: wrap it in a function with named arguments"
        ) from None
    kinds = {name: parameter.kind for name, parameter in signature.parameters.items()}
    if any(kind is inspect.Parameter.VAR_POSITIONAL for kind in kinds.values()):
        raise FlowError(f"Task {task_name!r}: run() takes *args; every argument needs a name: take a list, or use **kwargs")
    if reserved := [name for name in kinds if name in RESERVED]:
        raise FlowError(f"Task {task_name!r}: run() cannot have an argument named {', '.join(reserved)}: rename it")
    if positional := [name for name, kind in kinds.items() if kind is inspect.Parameter.POSITIONAL_ONLY]:
        raise TypeError(
            f"Found positional-only parameters in the function signature for task {task_name}: {positional}. Remove the `/`."
        )
    return signature


def required_inputs(signature: inspect.Signature) -> list[str]:
    """The names of the arguments that have no default."""
    return [
        name
        for name, parameter in signature.parameters.items()
        if parameter.default is inspect.Parameter.empty and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]


def bind_arguments(
    signature: inspect.Signature, task_name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """`{argument name: value}` for a call, `**kwargs` spread out and defaults left out. Raises TypeError naming the task."""
    try:
        bound = dict(signature.bind(*args, **kwargs).arguments)
    except TypeError as error:
        raise TypeError(f"Task {task_name!r}: {error}") from None
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            bound.update(bound.pop(name, {}))
    return bound
