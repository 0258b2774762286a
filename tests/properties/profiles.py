"""How many examples a property is tried on: few by default, many with `--long`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings

#: What `examples` multiplies with; the conftest beside it sets it.
factor = 1


def examples(count: int) -> Callable[[Any], Any]:
    """So many random examples, new ones in each run, or a multiple; without a deadline, since a machine may be busy."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    return settings(max_examples=factor * count, deadline=None, suppress_health_check=slow, print_blob=True)
