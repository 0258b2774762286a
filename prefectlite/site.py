"""A site: the engine, and the ports through which it reaches the record, wherever that is."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

from prefectlite.clock import Clock
from prefectlite.engine.calling import Caller
from prefectlite.engine.host import Host
from prefectlite.engine.large_results import LargeResults
from prefectlite.engine.requests import RunOptions
from prefectlite.engine.run_logs import logging_installed
from prefectlite.engine.surroundings import Surroundings
from prefectlite.kept import kept
from prefectlite.language.graph import Graph
from prefectlite.lazily import lazily
from prefectlite.live.bus import Bus
from prefectlite.live.events import ALL_FLOW_RUNS, StateChange
from prefectlite.orchestrator.answers import Answers
from prefectlite.orchestrator.door import Door
from prefectlite.orchestrator.gathered_log import GatheredLog
from prefectlite.orchestrator.heard_orders import HeardOrders
from prefectlite.orchestrator.protocols import Orders, ResultStore, RunReader
from prefectlite.records import FlowRow, FlowRunRow, RunLease, restore_state
from prefectlite.settings import Settings
from prefectlite.states import State
from prefectlite.supervision import restarting

if TYPE_CHECKING:
    from prefectlite.engine import watchdog
else:
    watchdog = lazily("prefectlite.engine.watchdog")


Listen = Callable[[str, Callable[[], Coroutine[Any, Any, None]]], None]


class Processes(Protocol):
    """Executes runs of a site in other processes."""

    @property
    def running(self) -> int:
        """How many are executed now."""
        ...

    def has(self, run_id: str) -> bool:
        """Whether this run is one of them."""
        ...

    async def wait_idle(self) -> None:
        """Return when none is."""
        ...

    def interrupt(self) -> None:
        """Stop all of them, so that others can take them up, and begin no more."""
        ...

    async def aclose(self) -> None:
        """Let go of all processes."""
        ...


class Site(ABC):
    """Where flow runs are executed. Lives on one event loop."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        bus: Bus,
        owner_id: str,
        ports: tuple[Door, GatheredLog, RunReader],
        results: ResultStore | None,
        orders: Orders | None = None,
    ) -> None:
        """`owner_id` is what the runs carry that are executed here; without `orders` the bus has them all."""
        self.settings, self.clock, self.bus, self.owner_id = settings, clock, bus, owner_id
        self.orchestrator, self.run_log, self._reader = ports
        self.results, self._orders = results, orders or HeardOrders(bus, self._reader)
        #: Executes runs that have a process of their own, where somebody does.
        self.processes: Processes | None = None
        #: For executors that reach the record through this site.
        self.answers = Answers(*ports)
        self.host = Host(owner_id, self._surroundings())

    def _surroundings(self) -> Surroundings:
        """What executions of one host share."""
        return Surroundings(
            orchestrator=self.orchestrator,
            run_log=self.run_log,
            reader=self._reader,
            results=LargeResults(self.results, self.settings),
            orders=self._orders,
            clock=self.clock,
            settings=self.settings,
            caller=Caller(self.settings),
            watchdog=watchdog.Watchdog(self.settings.blocked_loop_seconds),
        )

    @abstractmethod
    async def scheduled_runs(self, labels: Collection[str]) -> list[tuple[str, int]]:
        """(id, due time) of the runs of registered flows that an agent with these labels may begin, the earliest first."""

    @abstractmethod
    async def flow_run(self, run_id: str) -> FlowRunRow:
        """One flow run. Raises NotFound."""

    @abstractmethod
    async def flow(self, flow_id: str) -> FlowRow:
        """One version of a flow. Raises NotFound."""

    @property
    def has_company(self) -> bool:
        """Whether other processes, as far as is known, use the same record without asking this one."""
        return False

    @property
    def running(self) -> int:
        """How many runs are executed now, here or in processes of their own."""
        return self.host.running + (self.processes.running if self.processes is not None else 0)

    def has(self, run_id: str) -> bool:
        """Whether this run is executed here, in a process of its own perhaps, or about to be."""
        return self.host.has(run_id) or (self.processes is not None and self.processes.has(run_id))

    async def wait_idle(self) -> None:
        """Return when no run is executed."""
        await self.host.wait_idle()
        if self.processes is not None:
            await self.processes.wait_idle()

    def interrupt(self) -> None:
        """Stop all runs, so that others can take them up where they are, and begin no more."""
        self.host.interrupt()
        if self.processes is not None:
            self.processes.interrupt()

    async def run_token(self, lease: RunLease) -> str | None:
        """What the code of a run shows to the server while a process of its own executes it; None where nothing need be."""
        return None

    async def end_cancelled(self, run: FlowRunRow) -> None:
        """End a run that is Cancelling, and whose executor is gone."""
        await self.host.execute(Graph(""), {}, run, {}, {}, RunOptions(), takeover_from=run.owner)

    def following(self, flow_run_id: str) -> AbstractAsyncContextManager[None]:
        """In this block the bus has the states of the run's task runs; where it has all of them, there is nothing to do."""
        return nullcontext()

    async def execute(
        self,
        graph: Graph,
        flow: FlowRow,
        run: FlowRunRow,
        parameters: dict[str, Any] | None = None,
        context: dict[str, Any] | None = None,
        options: RunOptions | None = None,
        *,
        takeover_from: str | None = None,
    ) -> State:
        """The final state of a run that is in the record, executed here.

        `parameters` and `context` are the recorded ones where they are not given.
        """
        values = run.parameters if parameters is None else parameters
        around = run.context if context is None else context
        chosen = options or RunOptions()
        return await self.host.execute(graph, flow.task_ids, run, values, around, chosen, takeover_from=takeover_from)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[Listen]:
        """In this block what is proposed is decided, and orders are followed; what it yields starts further listeners.

        On leaving, listeners are cancelled, what was proposed is decided, and all log lines are written.
        """
        with logging_installed(self.settings):
            async with asyncio.TaskGroup() as group:
                writers = [kept(group.create_task(work)) for work in (self.orchestrator.run(), self.run_log.run())]
                listeners: list[asyncio.Task[None]] = []

                def listen(name: str, service: Callable[[], Coroutine[Any, Any, None]]) -> None:
                    listeners.append(kept(group.create_task(restarting(name, service))))

                listen("listener for orders", self._follow_orders)
                try:
                    yield listen
                finally:
                    for listener in listeners:
                        listener.cancel()
                    if self.processes is not None:
                        await self.processes.aclose()
                    self.bus.close()
                    self.host.close()
                    self.run_log.aclose()
                    self.orchestrator.aclose()
                    await asyncio.wait(writers)

    async def _follow_orders(self) -> None:
        """Stop the runs of this site that somebody cancelled, or ended by hand, and hold those that are paused."""
        with self.bus.subscribe(ALL_FLOW_RUNS) as subscription:
            async for event in subscription:
                if isinstance(event, StateChange) and event.state.name == "Cancelling":
                    self.host.cancel(event.flow_run_id)
                elif isinstance(event, StateChange) and event.state.name == "Paused":
                    self.host.pause(event.flow_run_id)
                elif isinstance(event, StateChange) and event.state.is_finished:
                    self.host.cancel(event.flow_run_id, restore_state(event.state))
