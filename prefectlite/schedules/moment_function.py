"""Functions of a moment that were made with arguments, as filters and adjustments are, and can tell them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Generic, TypeVar

from prefectlite.errors import ScheduleError

Answer = TypeVar("Answer")


class MomentFunction(Generic[Answer]):
    """What `maker(**arguments)` returned: called with a moment it answers; it can be pickled, and written down by name."""

    __slots__ = ("answer", "arguments", "maker")

    def __init__(self, maker: Callable[..., Any], answer: Callable[[datetime], Answer], **arguments: Any) -> None:
        self.maker, self.answer, self.arguments = maker, answer, arguments

    def __call__(self, moment: datetime) -> Answer:
        return self.answer(moment)

    def __repr__(self) -> str:
        return f"{self.maker.__name__}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, (self.maker, self.arguments)


def number(value: Any, least: int, greatest: int, what: str) -> int:
    """`value`, if it is a whole number between the two. Raises TypeError or ScheduleError, naming `what`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} should be a whole number, not {value!r}")
    if not least <= value <= greatest:
        raise ScheduleError(f"{what} should be {least} to {greatest}, not {value}")
    return value


def _made_again(maker: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    return maker(**arguments)
