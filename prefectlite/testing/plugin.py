"""Fixtures for pytest, there in every project that has prefectlite installed. None of them does anything unless asked for.

- `prefectlite_database`: a database in memory for this test; its URL.
- `prefectlite_clock`: a virtual clock for this test, on which retries and pauses take no time.
- `prefectlite_injecting`: `prefectlite_injecting(flow, {task: result or failure})`, until the end of the test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from prefectlite import testing

if TYPE_CHECKING:
    from prefectlite.testing.virtual_time import VirtualClock


@pytest.fixture
def prefectlite_database() -> Iterator[str]:
    """Flows of this test run on one database in memory; its URL. See `prefectlite.testing.memory_database`."""
    with testing.memory_database() as url:
        yield url


@pytest.fixture
def prefectlite_clock() -> Iterator[VirtualClock]:
    """Flows of this test run under a clock that jumps where all would wait. See `prefectlite.testing.VirtualClock`."""
    with testing.virtual_clock() as clock:
        yield clock


@pytest.fixture
def prefectlite_injecting() -> Iterator[Callable[[Any, Mapping[Any, Any]], None]]:
    """Put results and failures in place of what tasks do, until the end of the test. See `prefectlite.testing.injecting`."""
    with ExitStack() as stack:

        def inject(flow: Any, stand_ins: Mapping[Any, Any]) -> None:
            stack.enter_context(testing.injecting(flow, stand_ins))

        yield inject
