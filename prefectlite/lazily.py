"""Modules that are imported when they are first used, because most programs never use them."""

from __future__ import annotations

import importlib
from typing import Any


class _Later:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(importlib.import_module(self._name), attribute)
        self.__dict__[attribute] = value
        return value

    def __repr__(self) -> str:
        return f"<module {self._name!r}, imported when it is used>"


def lazily(name: str) -> Any:
    """The module of this name, imported when something of it is first asked for.

    Beside it stands an import for type checkers: `if TYPE_CHECKING: from … import x as x`, `else: x = lazily("….x")`.
    """
    return _Later(name)
