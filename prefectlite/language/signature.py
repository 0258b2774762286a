"""What a task's `run` may look like, checked when the task is written rather than when it runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, Tuple, get_args, get_origin  # noqa: UP035 - that is what users may have written

from prefectlite.errors import FlowError

#: Arguments of a task's call that are not passed to `run`.
RESERVED = ("upstream_tasks", "mapped", "task_args", "flow")

_Kind = inspect.Parameter
_NAMED = (_Kind.POSITIONAL_OR_KEYWORD, _Kind.KEYWORD_ONLY)
_CALL_ONLY = [
    _Kind("mapped", _Kind.KEYWORD_ONLY, default=False, annotation=bool),
    _Kind("task_args", _Kind.KEYWORD_ONLY, default=None, annotation=dict),
    _Kind("upstream_tasks", _Kind.KEYWORD_ONLY, default=None, annotation=Iterable[Any]),
    _Kind("flow", _Kind.KEYWORD_ONLY, default=None, annotation="Flow"),
]


def run_signature(run: Callable[..., Any], task_name: str) -> inspect.Signature:
    """The signature of `run`, which must be one whose arguments can be bound by name.

    That of a decorated function is the one inside. Raises FlowError, or TypeError for positional-only arguments.
    """
    signature = checked(run, task_name)
    if positional := [name for name, p in signature.parameters.items() if p.kind is _Kind.POSITIONAL_ONLY]:
        raise TypeError(
            f"Found positional-only parameters in the function signature for task {task_name}: {positional}."
            " Arguments are passed by name: remove the `/`, or wrap the function in one with named arguments"
        )
    return signature


def checked(run: Callable[..., Any], task_name: str) -> inspect.Signature:
    """The signature of `run`. Raises FlowError for what can be said before there is a task: of a class's `run`, too."""
    try:
        signature = inspect.signature(run)
    except (ValueError, TypeError):
        raise FlowError(
            "This function can not be inspected (this is common with `builtin` and `numpy` functions). In order to use it as"
            f" a task, please wrap it in a standard Python function. It was given as task {task_name!r}"
        ) from None
    if any(p.kind is _Kind.VAR_POSITIONAL for p in signature.parameters.values()):
        raise FlowError(
            "Tasks with variable positional arguments (*args) are not supported, because all arguments are stored as"
            " keywords. As a workaround, consider modifying the run() method to accept **kwargs and feeding the values to"
            f" *args. Task {task_name!r} has them"
        )
    if reserved := [name for name in RESERVED if name in signature.parameters]:
        raise FlowError(
            f"Tasks cannot have the following argument names: {', '.join(reserved)}. These are reserved keyword arguments."
            f" Rename them in task {task_name!r}"
        )
    if inspect.isasyncgenfunction(inspect.unwrap(run)):
        raise FlowError(f"Task {task_name!r} is an async generator, which has no result: collect what it yields in a list")
    return signature


def required_inputs(signature: inspect.Signature) -> list[str]:
    """The names of the arguments that have no default."""
    return [name for name, p in signature.parameters.items() if p.default is _Kind.empty and p.kind is not _Kind.VAR_KEYWORD]


def accepts(signature: inspect.Signature, name: str) -> bool:
    """Whether there is an argument called `name`."""
    parameters = signature.parameters
    named = name in parameters and parameters[name].kind in _NAMED
    return named or any(p.kind is _Kind.VAR_KEYWORD for p in parameters.values())


def bind_arguments(
    signature: inspect.Signature, task_name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """`{argument name: value}` for a call, `**kwargs` spread out and defaults left out. Raises TypeError naming the task."""
    try:
        bound = dict(signature.bind(*args, **kwargs).arguments)
    except TypeError as error:
        raise TypeError(f"Task {task_name!r}: {error}") from None
    for name, parameter in signature.parameters.items():
        if parameter.kind is _Kind.VAR_KEYWORD:
            bound.update(bound.pop(name, {}))
    return bound


def call_signature(signature: inspect.Signature) -> inspect.Signature:
    """That of the task's call: the arguments of `run`, and those that say how the task joins the flow."""
    parameters = list(signature.parameters.values())
    rest = [parameters.pop()] if parameters and parameters[-1].kind is _Kind.VAR_KEYWORD else []
    return signature.replace(parameters=[*parameters, *_CALL_ONLY, *rest], return_annotation="Task")


def described_inputs(signature: inspect.Signature) -> dict[str, dict[str, Any]]:
    """`{argument name: {"type", "default", "required"}}`; the type is Any and the default None where there is none."""
    return {
        name: {
            "type": Any if p.annotation is _Kind.empty else p.annotation,
            "default": None if p.default is _Kind.empty else p.default,
            "required": p.default is _Kind.empty,
        }
        for name, p in signature.parameters.items()
    }


def described_output(signature: inspect.Signature) -> Any:
    """The annotation of the result, else Any."""
    return Any if signature.return_annotation is inspect.Signature.empty else signature.return_annotation


def number_of_results(run: Callable[..., Any], signature: inspect.Signature) -> int | None:
    """How many elements the result has, if its annotation is a tuple of a known length."""
    annotation = signature.return_annotation
    if isinstance(annotation, str) and "uple[" in annotation:
        function = inspect.unwrap(run)
        try:
            annotation = inspect.get_annotations(getattr(function, "__func__", function), eval_str=True)["return"]
        except Exception:  # it names what is known to type checkers only
            return None
    if get_origin(annotation) is not tuple:
        return None
    arguments = get_args(annotation)
    if annotation is Tuple or Ellipsis in arguments:  # noqa: UP006
        return None
    return len(arguments)


class CallSignature:
    """The `__signature__` of tasks, for `inspect.signature(task)`; that of a class of tasks is its constructor's."""

    def __get__(self, task: Any, kind: type) -> inspect.Signature:
        if task is not None:
            return call_signature(task._signature)
        constructor = inspect.signature(kind.__init__)  # type: ignore[misc]
        return constructor.replace(parameters=list(constructor.parameters.values())[1:])
