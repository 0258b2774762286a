from __future__ import annotations

import pickle
from types import SimpleNamespace
from typing import Any

import cloudpickle
import pytest

from prefectlite.language import operators
from prefectlite.language.operators import GetAttr, GetItem

THING = SimpleNamespace(a=SimpleNamespace(b=5), none=None)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "x", "y", "result"),
    [
        ("Add", 1, 2, 3),
        ("Sub", 1, 2, -1),
        ("Mul", 2, 3, 6),
        ("Div", 1, 2, 0.5),
        ("FloorDiv", 5, 2, 2),
        ("Pow", 2, 3, 8),
        ("Mod", 5, 3, 2),
        ("And", 0, 5, 0),
        ("And", 3, 5, 5),
        ("And", [], 1, []),
        ("Or", 0, 5, 5),
        ("Or", 3, 0, 3),
        ("Equal", 1, 1.0, True),
        ("NotEqual", 1, 1.0, False),
        ("GreaterThan", 2, 2, False),
        ("GreaterThanOrEqual", 2, 2, True),
        ("LessThan", 2, 2, False),
        ("LessThanOrEqual", 2, 2, True),
    ],
)
async def test_what_they_compute(name: str, x: Any, y: Any, result: Any) -> None:
    made = getattr(operators, name)()
    computed = await made.run(x, y)
    assert computed == result
    assert type(computed) is type(result)
    assert made.name == name
    assert getattr(operators, name)(name="mine").name == "mine"


@pytest.mark.asyncio
async def test_not() -> None:
    assert await operators.Not().run(0) is True
    assert await operators.Not().run([1]) is False


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("made", "arguments", "result"),
    [
        (GetItem(), ({"a": 1}, "a"), 1),
        (GetItem(), ([1, 2], 1), 2),
        (GetItem(default=3), ({"a": 1}, "b"), 3),
        (GetItem(default=None), ({}, "b"), None),
        (GetItem(default=3), ({}, "b", 9), 9),
        (GetItem(), ({}, "b", None), None),
        (GetAttr(), (THING, "a.b"), 5),
        (GetAttr(), (THING, "none"), None),
        (GetAttr(default=1), (THING, "a.c"), 1),
        (GetAttr(default=1), (THING, "z.c"), 1),
        (GetAttr(default=1), (THING, "z", 7), 7),
    ],
)
async def test_elements_and_attributes(made: Any, arguments: tuple[Any, ...], result: Any) -> None:
    assert await made.run(*arguments) == result


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("made", "arguments", "error"),
    [
        (GetItem(), ({}, "b"), KeyError),
        (GetItem(default=3), ([1], 4), IndexError),
        (GetItem(default=3), (None, 4), TypeError),
        (GetAttr(), (THING, "a.c"), AttributeError),
        (GetAttr(default=1), (THING, 5), TypeError),
    ],
)
async def test_what_is_not_there(made: Any, arguments: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        await made.run(*arguments)


@pytest.mark.asyncio
async def test_without_a_default_there_is_none_in_any_process() -> None:
    restored = pickle.loads(cloudpickle.dumps(GetItem()))
    with pytest.raises(KeyError):
        await restored.run({}, "b")
    assert repr(restored.default) == "<no default>"
