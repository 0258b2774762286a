"""Values as pickles."""

from __future__ import annotations

import io
from typing import Any

import cloudpickle

from prefectlite.contexts import context


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Takes `prefectlite.context` by its name, which a script's functions use as a global: its values are not theirs."""

    def reducer_override(self, value: Any) -> Any:
        return "context" if value is context else super().reducer_override(value)


def pickled(value: Any) -> bytes:
    """`value` by cloudpickle; functions and classes of scripts, and functions that use `context`, are taken, too."""
    buffer = io.BytesIO()
    _Pickler(buffer).dump(value)
    return buffer.getvalue()
