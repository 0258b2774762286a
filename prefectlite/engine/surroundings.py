"""What every execution of a host shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from prefectlite.clock import Clock
from prefectlite.orchestrator.protocols import Orchestrator, Orders, RunLog, RunReader
from prefectlite.settings import Settings

if TYPE_CHECKING:
    from prefectlite.engine.calling import Caller
    from prefectlite.engine.large_results import LargeResults
    from prefectlite.engine.watchdog import Watchdog


class Surroundings(msgspec.Struct, frozen=True):
    """The engine's ports, the clock and the settings, and who calls user code."""

    orchestrator: Orchestrator
    run_log: RunLog
    reader: RunReader
    results: LargeResults
    orders: Orders
    clock: Clock
    settings: Settings
    caller: Caller
    watchdog: Watchdog
