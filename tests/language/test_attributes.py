from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from prefectlite import Flow, Task
from prefectlite.language.attributes import defaults_from_attrs
from tests.language.flow_graphs import results


class Three(Task):
    def __init__(self, x: Any = 1, y: Any = 2, **kwargs: Any) -> None:
        self.x, self.y = x, y
        super().__init__(**kwargs)

    @defaults_from_attrs("x", "y")
    def run(self, z: Any, x: Any = None, y: Any = None) -> Any:  # type: ignore[override]
        """Three values."""
        return z, x, y


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        ((0,), {}, (0, 1, 2)),
        ((0,), {"x": 5}, (0, 5, 2)),
        ((0,), {"x": None}, (0, None, 2)),
        ((0, 5), {}, (0, 5, 2)),
        ((0, 5, None), {}, (0, 5, None)),
        ((), {"z": 0, "y": 7}, (0, 1, 7)),
    ],
)
def test_what_a_call_leaves_out_comes_from_the_task(args: Any, kwargs: Any, expected: Any) -> None:
    assert Three().run(*args, **kwargs) == expected


def test_it_stays_the_function_it_was() -> None:
    assert Three.run.__doc__ == "Three values."
    assert list(inspect.signature(Three.run).parameters) == ["self", "z", "x", "y"]
    with pytest.raises(TypeError, match="'z'"):
        Three().run()
    with pytest.raises(TypeError, match="colour"):
        Three().run(0, colour=1)


def test_in_a_flow_and_in_copies() -> None:
    three = Three(x=10)
    with Flow("f") as flow:
        three(0)
        three(0, y=5, task_args={"x": 20, "name": "other"})
    assert results(flow, flow.run()) == {"Three-1": (0, 10, 2), "other-1": (0, 20, 5)}


def test_coroutines() -> None:
    class Later(Task):
        def __init__(self) -> None:
            self.x = 4
            super().__init__()

        @defaults_from_attrs("x")
        async def run(self, x: Any = None) -> Any:  # type: ignore[override]
            return x

    assert Later().is_async
    assert asyncio.run(Later().run()) == 4
    assert asyncio.run(Later().run(x=5)) == 5


def test_an_attribute_that_is_not_there() -> None:
    class Without(Task):
        @defaults_from_attrs("q")
        def run(self, q: Any = 3) -> Any:  # type: ignore[override]
            return q

    with pytest.raises(AttributeError, match="'q'"):
        Without().run()
    assert Without().run(q=1) == 1


def test_a_name_that_is_no_argument_is_refused_where_it_is_written() -> None:
    def run(self: Any, z: Any) -> Any:
        return z

    with pytest.raises(TypeError, match=r"run\(\) has no argument named q"):
        defaults_from_attrs("q")(run)


def test_any_argument_will_do_for_keywords() -> None:
    class Any_(Task):
        def __init__(self) -> None:
            self.a, self.b = 1, 2
            super().__init__()

        @defaults_from_attrs("a", "b")
        def run(self, **values: Any) -> Any:  # type: ignore[override]
            return values

    assert Any_().run(b=5, c=6) == {"a": 1, "b": 5, "c": 6}
