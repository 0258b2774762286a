"""The tasks that operators between tasks make: each computes on the results of the tasks it stands between."""

from __future__ import annotations

from enum import Enum
from typing import Any

from prefectlite import registry
from prefectlite.language.task import Task


class NoDefault(Enum):
    """Stands for "no default was given"; an enumeration, so that it is the same in every process."""

    NO_DEFAULT = "no default"

    def __repr__(self) -> str:
        return "<no default>"


_NO_DEFAULT = NoDefault.NO_DEFAULT


class GetItem(Task):
    """`task_result[key]`, or `default` if there is no such key (a KeyError) and a default was given."""

    def __init__(self, default: Any = _NO_DEFAULT, **kwargs: Any) -> None:
        self.default = default
        super().__init__(**kwargs)

    async def run(self, task_result: Any, key: Any, default: Any = _NO_DEFAULT) -> Any:
        try:
            return task_result[key]
        except KeyError:
            return _default_of(self.default, default)


class GetAttr(Task):
    """The attribute `attr` of the result, which may be a path (`"a.b"`), or `default` if there is none."""

    def __init__(self, default: Any = _NO_DEFAULT, **kwargs: Any) -> None:
        self.default = default
        super().__init__(**kwargs)

    async def run(self, task_result: Any, attr: str, default: Any = _NO_DEFAULT) -> Any:
        if not isinstance(attr, str):
            raise TypeError("attribute name must be a string")
        value = task_result
        try:
            for name in attr.split("."):
                value = getattr(value, name)
        except AttributeError:
            return _default_of(self.default, default)
        return value


def _default_of(own: Any, given: Any) -> Any:
    """The default that was given. Raises the exception being handled if there is none."""
    default = own if given is _NO_DEFAULT else given
    if default is _NO_DEFAULT:
        raise
    return default


class Add(Task):
    """`x + y`"""

    async def run(self, x: Any, y: Any) -> Any:
        return x + y


class Sub(Task):
    """`x - y`"""

    async def run(self, x: Any, y: Any) -> Any:
        return x - y


class Mul(Task):
    """`x * y`"""

    async def run(self, x: Any, y: Any) -> Any:
        return x * y


class Div(Task):
    """`x / y`"""

    async def run(self, x: Any, y: Any) -> Any:
        return x / y


class FloorDiv(Task):
    """`x // y`"""

    async def run(self, x: Any, y: Any) -> Any:
        return x // y


class Pow(Task):
    """`x ** y`"""

    async def run(self, x: Any, y: Any) -> Any:
        return x**y


class Mod(Task):
    """`x % y`"""

    async def run(self, x: Any, y: Any) -> Any:
        return x % y


class And(Task):
    """`x and y`"""

    async def run(self, x: Any, y: Any) -> Any:
        return x and y


class Or(Task):
    """`x or y`"""

    async def run(self, x: Any, y: Any) -> Any:
        return x or y


class Not(Task):
    """`not x`"""

    async def run(self, x: Any) -> bool:
        return not x


class Equal(Task):
    """`x == y`"""

    async def run(self, x: Any, y: Any) -> Any:
        return x == y


class NotEqual(Task):
    """`x != y`"""

    async def run(self, x: Any, y: Any) -> Any:
        return x != y


class GreaterThan(Task):
    """`x > y`"""

    async def run(self, x: Any, y: Any) -> Any:
        return x > y


class GreaterThanOrEqual(Task):
    """`x >= y`"""

    async def run(self, x: Any, y: Any) -> Any:
        return x >= y


class LessThan(Task):
    """`x < y`"""

    async def run(self, x: Any, y: Any) -> Any:
        return x < y


class LessThanOrEqual(Task):
    """`x <= y`"""

    async def run(self, x: Any, y: Any) -> Any:
        return x <= y


_OPERATORS = (
    *(Add, Sub, Mul, Div, FloorDiv, Pow, Mod, And, Or, Not, GetItem, GetAttr),
    *(Equal, NotEqual, GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual),
)


def make_known() -> None:
    """Let tasks know the operators of this module."""
    registry.operator_tasks.update((kind.__name__, kind) for kind in _OPERATORS)
