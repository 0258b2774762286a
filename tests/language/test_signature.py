from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
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
    with pytest.raises(FlowError, match=f"Task 'function': run\\(\\) cannot have an argument named {name}: rename it"):
        task(namespace["function"])


def test_any_number_of_nameless_arguments() -> None:
    def function(a: int, *args: int) -> None: ...

    with pytest.raises(FlowError, match=r"Task 'function': run\(\) takes \*args; every argument needs a name"):
        task(function)
    with pytest.raises(FlowError, match=r"\*args"):
        task(passing_on(function))


def test_positional_only_arguments() -> None:
    def function(a: int, b: int, /, c: int) -> None: ...

    with pytest.raises(TypeError, match=r"signature for task function: \['a', 'b'\]. Remove the `/`"):
        task(function)


@pytest.mark.parametrize("function", [dict.update, type, range])
def test_what_cannot_be_inspected(function: Any) -> None:
    with pytest.raises((FlowError, TypeError), match=r"can not be inspected|positional-only|takes \*args"):
        run_signature(function, "t")


def test_classes_are_checked_when_a_task_is_made() -> None:
    class Wrong(Task):
        def run(self, *args: int) -> None: ...

    with pytest.raises(FlowError, match="Task 'Wrong'"):
        Wrong()


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
