"""How the values that tasks return are kept: `from prefectlite.results import LocalResult`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefectlite.result import ConstantResult as ConstantResult
    from prefectlite.result import NoResult as NoResult
    from prefectlite.result import PrefectResult as PrefectResult
    from prefectlite.result import Result as Result
    from prefectlite.results.local import LocalResult as LocalResult

# Public name -> the module that has it, imported when first used: the engine needs the codec beside this alone.
_HOMES = {
    "ConstantResult": "prefectlite.result",
    "LocalResult": "prefectlite.results.local",
    "NoResult": "prefectlite.result",
    "PrefectResult": "prefectlite.result",
    "Result": "prefectlite.result",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'prefectlite.results' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
