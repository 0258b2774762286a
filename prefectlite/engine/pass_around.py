"""What a pass through the pipeline asks of what is around it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol

from prefectlite.clock import Clock
from prefectlite.engine.calling import Caller
from prefectlite.engine.handlers import Handlers
from prefectlite.engine.large_results import LargeResults
from prefectlite.engine.units import Unit
from prefectlite.executors.threads import OwnThread
from prefectlite.language.graph import Graph
from prefectlite.orchestrator.protocols import RunReader
from prefectlite.records import ResultRecord
from prefectlite.states import State


class PassAround(Protocol):
    """The flow run a pass is part of, or a stand-in for it."""

    values: dict[str, Any]
    caller: Caller
    clock: Clock
    reader: RunReader
    results: LargeResults
    graph: Graph
    single_pass: bool

    def handlers_of(self, unit: Unit) -> Handlers:
        """The state handlers of the unit's task."""
        ...

    def begin(self, unit: Unit, running: State, result: ResultRecord | None) -> Awaitable[None] | None:
        """Propose that `unit` runs, which need not be waited for unless it needs a slot: what is to be awaited then."""
        ...

    def own_thread(self) -> OwnThread:
        """The thread of the run, for tasks that share one."""
        ...

    def is_stopping(self) -> bool:
        """Whether the run is being stopped."""
        ...

    def raise_outside(self, error: BaseException) -> None:
        """Stop the run, which raises `error`."""
        ...


def raise_if_wanted(around: PassAround, error: BaseException) -> None:
    """Have the run raise `error`, which user code raised, where `raise_on_exception` asks for that."""
    if around.values.get("raise_on_exception"):
        around.raise_outside(error)
