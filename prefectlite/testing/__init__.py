"""What tests of flows need: a database in memory, a clock that jumps, and stand-ins for what tasks do.

    from prefectlite import testing

    def test_report() -> None:
        with testing.memory_database(), testing.virtual_clock() as clock, testing.injecting(report, {"download": [1, 2]}):
            run = report.run()
        assert run.is_successful()
        assert clock.elapsed == 3600        # it was retried after an hour, which took no time

They hold for the whole process: for what runs on other threads and event loops, too. pytest has the fixtures
`prefectlite_database` and `prefectlite_clock`, which do the same for the length of a test.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefectlite.testing.databases import memory_database as memory_database
    from prefectlite.testing.injection import PerChild as PerChild
    from prefectlite.testing.injection import injecting as injecting
    from prefectlite.testing.virtual_time import VirtualClock as VirtualClock
    from prefectlite.testing.virtual_time import virtual_clock as virtual_clock

# Imported when first used: pytest loads the plugin next door in every project that has prefectlite installed.
_HOMES = {
    "PerChild": "prefectlite.testing.injection",
    "VirtualClock": "prefectlite.testing.virtual_time",
    "injecting": "prefectlite.testing.injection",
    "memory_database": "prefectlite.testing.databases",
    "virtual_clock": "prefectlite.testing.virtual_time",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'prefectlite.testing' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
