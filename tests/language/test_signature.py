from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from prefectlite import Flow, Task, task
from prefectlite.errors import FlowError
from prefectlite.language.signature import RESERVED, bind_arguments, required_inputs, run_signature


def passing_on(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def plain(a: int, b: int = 2, *, c: int, d: int = 4, **rest: int) -> None: ...


def test_required_inputs() -> None:
    assert required_inputs(run_signature(plain, "t")) == ["a", "c"]
    assert required_inputs(run_signature(lambda: None, "t")) == []
    assert required_inputs(run_signature(lambda **kwargs: None, "t")) == []


def test_a_decorated_function_counts_as_the_one_inside() -> None:
    assert run_signature(passing_on(passing_on(plain)), "t") == inspect.signature(plain)


def test_a_decorated_method_does_not_need_self() -> None:
    class Decorated(Task):
        @passing_on
        def run(self, x: int) -> int:
            return x + 1

    with Flow("f") as flow:
        made = Decorated()(1)
    flow.validate()
    assert made.required_inputs() == ["x"]
    assert made.run(**flow.constants[made]) == 2


def test_a_partial_needs_what_is_left() -> None:
    assert required_inputs(run_signature(functools.partial(plain, 1, c=3), "t")) == []
    assert required_inputs(run_signature(functools.partial(plain, 1), "t")) == ["c"]


@pytest.mark.parametrize("name", RESERVED)
def test_reserved_names(name: str) -> None:
    namespace: dict[str, Any] = {}
    exec(f"def function({name}): pass", namespace)
    with pytest.raises(
        FlowError,
        match=rf"^Tasks cannot have the following argument names: {name}\. These are reserved .*'function'",
    ):
        task(namespace["function"])


def test_any_number_of_nameless_arguments() -> None:
    def function(a: int, *args: int) -> None: ...

    with pytest.raises(
        FlowError, match=r"^Tasks with variable positional arguments \(\*args\) are not supported, because all .*'function'"
    ):
        task(function)
    with pytest.raises(FlowError, match=r"\*args"):
        task(passing_on(function))


def test_positional_only_arguments() -> None:
    def function(a: int, b: int, /, c: int) -> None: ...

    with pytest.raises(
        TypeError, match=r"^Found positional-only parameters in the function signature for task function: \['a', 'b'\]\."
    ):
        task(function)


@pytest.mark.parametrize("function", [dict.update, type, range])
def test_what_cannot_be_inspected(function: Any) -> None:
    with pytest.raises((FlowError, TypeError), match=r"can not be inspected|positional-only|variable positional"):
        run_signature(function, "t")


@pytest.mark.parametrize("arguments", ["*args", "x, *args", "flow", "mapped", "task_args", "upstream_tasks"])
def test_classes_are_checked_when_they_are_written(arguments: str) -> None:
    with pytest.raises(FlowError, match="'Wrong'"):
        exec(f"class Wrong(Task):\n    def run(self, {arguments}): ...", {"Task": Task})


def test_positional_only_arguments_of_a_class() -> None:
    class Wrong(Task):
        def run(self, a: int, /) -> None: ...

    with pytest.raises(TypeError, match=r"signature for task Wrong: \['a'\]"):
        Wrong()


def test_an_async_generator_is_no_task() -> None:
    async def endless() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(FlowError, match="Task 'endless' is an async generator, which has no result"):
        task(endless)
    with pytest.raises(FlowError, match="Task 'endless' is an async generator"):
        task(passing_on(endless))
    with pytest.raises(FlowError, match="Task 'Wrong' is an async generator"):

        class Wrong(Task):
            async def run(self) -> AsyncIterator[int]:
                yield 1


def test_the_signature_of_a_task_is_that_of_its_call() -> None:
    signature = inspect.signature(task(plain))
    assert list(signature.parameters) == ["a", "b", "c", "d", "mapped", "task_args", "upstream_tasks", "flow", "rest"]
    assert signature.return_annotation == "Task"
    ours = [signature.parameters[name] for name in ("mapped", "task_args", "upstream_tasks", "flow")]
    assert {parameter.kind for parameter in ours} == {inspect.Parameter.KEYWORD_ONLY}
    assert [parameter.default for parameter in ours] == [False, None, None, None]
    assert list(inspect.signature(task(lambda: None)).parameters) == ["mapped", "task_args", "upstream_tasks", "flow"]


def test_the_signature_of_a_class_is_its_constructors() -> None:
    class Mine(Task):
        def __init__(self, by: int, **options: Any) -> None:
            super().__init__(**options)

        def run(self, x: int) -> int:
            return x

    assert list(inspect.signature(Mine).parameters) == ["by", "options"]
    assert next(iter(inspect.signature(Task).parameters)) == "name"
    assert next(iter(inspect.signature(Mine(1)).parameters)) == "x"


def test_inputs_and_outputs() -> None:
    made = task(plain)
    assert made.inputs() == {
        "a": {"type": "int", "default": None, "required": True},
        "b": {"type": "int", "default": 2, "required": False},
        "c": {"type": "int", "default": None, "required": True},
        "d": {"type": "int", "default": 4, "required": False},
        "rest": {"type": "int", "default": None, "required": True},
    }
    assert made.outputs() == "None"
    bare = task(eval("lambda x, y=1: x"))
    assert (bare.inputs()["x"]["type"], bare.inputs()["y"]["default"], bare.outputs()) == (Any, 1, Any)
    assert made.accepts("a")
    assert made.accepts("anything")
    assert not bare.accepts("z")


@pytest.mark.parametrize(
    ("annotation", "number"),
    [
        (typing.Tuple[int, str], 2),  # noqa: UP006
        (typing.Tuple[()], 0),  # noqa: UP006
        (typing.Tuple, None),  # noqa: UP006
        (typing.Tuple[int, ...], None),  # noqa: UP006
        (tuple, None),
        (tuple[int, str, int], 3),
        (tuple[()], 0),
        ("tuple[int, str]", 2),
        ("typing.Tuple[int, ...]", None),
        ("tuple[Unknown, int]", None),
        (list[int], None),
        (tuple[int, int] | None, None),
        (None, None),
    ],
)
def test_the_number_of_results_is_read_from_the_annotation(annotation: Any, number: int | None) -> None:
    def function() -> Any: ...

    function.__annotations__["return"] = annotation
    assert task(function).nout == number
    assert task(nout=5)(function).nout == 5


def test_the_number_of_results_of_a_method() -> None:
    class Pair(Task):
        def run(self) -> tuple[int, str]:
            return 1, "a"

    assert Pair().nout == 2


@pytest.mark.parametrize(
    ("args", "kwargs", "bound"),
    [
        ((1,), {"c": 3}, {"a": 1, "c": 3}),
        ((1, 2), {"c": 3, "d": None}, {"a": 1, "b": 2, "c": 3, "d": None}),
        ((), {"a": 1, "c": 3, "e": 5, "rest": 6}, {"a": 1, "c": 3, "e": 5, "rest": 6}),
    ],
)
def test_binding(args: tuple[Any, ...], kwargs: dict[str, Any], bound: dict[str, Any]) -> None:
    assert bind_arguments(run_signature(plain, "t"), "t", args, kwargs) == bound


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), ((1,), {}), ((1, 2, 3), {"c": 1}), ((1,), {"a": 1, "c": 1})])
def test_what_does_not_bind_names_the_task(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"^Task 'my task': "):
        bind_arguments(run_signature(plain, "t"), "my task", args, kwargs)
