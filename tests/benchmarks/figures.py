"""What a benchmark finds out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Figure:
    """One number with its unit, the bar it is held against, and what it compares to in the same run."""

    name: str
    value: float
    unit: str
    bar: str = ""
    comparison: str = ""

    def shown(self) -> str:
        digits = 0 if self.value >= 100 else 1 if self.value >= 10 else 2
        return f"{self.value:,.{digits}f} {self.unit}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Stopwatch:
    """Seconds, once its block has been left."""

    seconds = 0.0

    def per(self, count: int) -> float:
        """Microseconds per piece."""
        return self.seconds / count * 1e6


@contextmanager
def timed() -> Iterator[Stopwatch]:
    watch = Stopwatch()
    begun = time.perf_counter()
    yield watch
    watch.seconds = time.perf_counter() - begun


def times(value: float, other: float, what: str) -> str:
    """ "3.2 × bare asyncio (8.1)"."""
    return f"{value / other:.2f} × {what} ({other:,.1f})"
