"""A session: the database, the door in front of it and the engine behind it, open together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from prefectlite import shown
from prefectlite.client.audit import Audit
from prefectlite.client.local import LocalClient
from prefectlite.clock import Clock, process_clock, to_micros
from prefectlite.engine.calling import Caller
from prefectlite.engine.host import Host
from prefectlite.engine.large_results import LargeResults
from prefectlite.engine.requests import RunOptions
from prefectlite.engine.run_logs import logging_installed
from prefectlite.engine.surroundings import Surroundings
from prefectlite.errors import NoDataDirectory, StoreUnavailable
from prefectlite.kept import kept
from prefectlite.language.graph import Graph
from prefectlite.language.serialized import digest_of, serialize
from prefectlite.lazily import lazily
from prefectlite.live.bus import Bus
from prefectlite.live.events import ALL_FLOW_RUNS, StateChange
from prefectlite.names import run_name
from prefectlite.orchestrator.company import Company, company_of
from prefectlite.orchestrator.local import LocalOrchestrator
from prefectlite.orchestrator.local_log import LocalRunLog
from prefectlite.orchestrator.local_orders import LocalOrders
from prefectlite.orchestrator.local_reader import LocalRunReader
from prefectlite.records import FlowRow, FlowRunRow, restore_state
from prefectlite.repository import flows
from prefectlite.repository.database import Database
from prefectlite.repository.flows import FlowVersion
from prefectlite.repository.secret_keys import secret_keys
from prefectlite.repository.urls import open_database
from prefectlite.results.garbage import collect_garbage
from prefectlite.results.store import result_store
from prefectlite.rules.proposals import FlowRunCreation
from prefectlite.settings import Settings
from prefectlite.states import State
from prefectlite.supervision import restarting

if TYPE_CHECKING:
    from prefectlite.engine import watchdog
    from prefectlite.storage import source
else:
    watchdog, source = lazily("prefectlite.engine.watchdog"), lazily("prefectlite.storage.source")

_logger = logging.getLogger("prefectlite")
#: Flows whose rows a session keeps at hand.
_FLOWS_REMEMBERED = 1_000


class Session:
    """Everything it takes to run flows and to ask about them. Made by `open_session`; lives on one event loop."""

    def __init__(
        self, settings: Settings, database: Database, clock: Clock, company: Callable[[Database, Bus], Company] = company_of
    ) -> None:
        self.settings, self.database, self.clock = settings, database, clock
        self.bus = Bus()
        self.owner, self.neighbours, self.duty = company(database, self.bus)
        self.orchestrator = LocalOrchestrator(database, self.bus)
        self.run_log = LocalRunLog(database, self.bus)
        self.results = result_store(settings)
        self.client = LocalClient(database, self.orchestrator, clock, secret_keys(settings))
        self.audit = Audit(database)
        self.host = Host(self.owner.id, self._surroundings())
        self._flows: dict[str, asyncio.Future[FlowRow]] = {}
        self._adopted: WeakKeyDictionary[Graph, tuple[int, FlowRow]] = WeakKeyDictionary()  # with the graph's revision

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            orchestrator=self.orchestrator,
            run_log=self.run_log,
            reader=LocalRunReader(self.database),
            results=LargeResults(self.results, self.settings),
            orders=LocalOrders(self.bus, self.database),
            clock=self.clock,
            settings=self.settings,
            caller=Caller(self.settings),
            watchdog=watchdog.Watchdog(self.settings.blocked_loop_seconds),
        )

    async def create(
        self,
        graph: Graph,
        parameters: dict[str, Any],
        *,
        name: str | None = None,
        context: dict[str, Any] | None = None,
        run_id: str | None = None,
        scheduled_start_time: datetime | None = None,
    ) -> tuple[FlowRunRow, FlowRow]:
        """A new run of `graph`, kept for this process and scheduled for now if not for later, and the row of its flow."""
        flow = await self._flow_of(graph)
        facts = FlowRunCreation(
            flow_id=flow.id,
            name=shown.text(name) if name else run_name(),
            parameters=shown.as_json(parameters),
            context=shown.as_json({key: value for key, value in (context or {}).items() if key != "secrets"}),
            labels=[],
            scheduled_start_time=to_micros(scheduled_start_time) if scheduled_start_time else self.clock.micros(),
        )
        return await self.client.create_run(facts, claim=self.owner.id, run_id=run_id), flow

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

    async def flow(self, flow_id: str) -> FlowRow:
        """One version of a flow. Raises NotFound."""
        return await flows.flow_by_id(self.database, flow_id)

    def adopt(self, graph: Graph, row: FlowRow) -> None:
        """Count runs of this very graph as runs of the registered flow `row`, for as long as the graph does not change."""
        self._adopted[graph] = (graph.revision, row)

    async def _flow_of(self, graph: Graph) -> FlowRow:
        """The row of a flow that is to be run here: the registered one, else one of a flow that is run as it stands."""
        revision, adopted = self._adopted.get(graph, (-1, None))
        if adopted is not None and revision == graph.revision:
            return adopted
        serialized = serialize(graph)
        digest = digest_of(serialized)
        if digest not in self._flows:  # a thousand runs of one flow that begin together write it down once
            if len(self._flows) >= _FLOWS_REMEMBERED:
                del self._flows[next(iter(self._flows))]
            saving = self.client.save_flow(FlowVersion(serialized, digest, source=source.place_of(graph)))
            self._flows[digest] = asyncio.ensure_future(saving)
        saved = self._flows[digest]
        try:
            return await asyncio.shield(saved)
        except Exception:
            self._flows.pop(digest, None)  # the next run tries again
            raise

    def forget_flows(self, ids: Collection[str]) -> None:
        """Ask the database for the rows of flows anew: these have been deleted."""
        self._flows.clear()
        for graph in [graph for graph, (_, row) in self._adopted.items() if row.id in ids]:
            del self._adopted[graph]

    async def collect_garbage(self) -> None:
        """Remove the files of results that the record does not name any more. A failure is logged: there is a next time."""
        if self.results is None:
            return
        try:
            removed = await collect_garbage(self.database, self.results)
        except Exception:
            _logger.exception("files of results that nothing names could not be removed from %s", self.results.place)
        else:
            if removed:
                _logger.info("removed %d files of results that nothing names from %s", removed, self.results.place)

    async def follow_orders(self) -> None:
        """Stop the runs of this process that somebody asked to be cancelled, or ended by hand."""
        with self.bus.subscribe(ALL_FLOW_RUNS) as subscription:
            async for event in subscription:
                if isinstance(event, StateChange) and event.state.name == "Cancelling":
                    self.host.cancel(event.flow_run_id)
                elif isinstance(event, StateChange) and event.state.is_finished:
                    self.host.cancel(event.flow_run_id, restore_state(event.state))


@asynccontextmanager
async def open_session(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Session]:
    """A session over the database that `settings` name. On leaving, what was proposed is committed and all is closed.

    Raises StoreError if the database cannot be opened.
    """
    try:
        database = await open_database(settings.resolved_database_url(), always_durable=settings.durability == "full")
    except StoreUnavailable as error:
        if settings.database_url:
            raise
        raise NoDataDirectory(
            f"{error}. Set PREFECTLITE_HOME to a directory that can be written to, or database_url to another database"
        ) from error
    try:
        session = Session(settings, database, clock or process_clock())
        async with at_work(session):
            yield session
    finally:
        await database.aclose()


@asynccontextmanager
async def at_work(session: Session) -> AsyncIterator[None]:
    """In this block the session's services work. On leaving, what was proposed is committed; the database stays open."""
    with logging_installed(session.settings):
        async with asyncio.TaskGroup() as group:
            writers = [kept(group.create_task(work)) for work in (session.orchestrator.run(), session.run_log.run())]
            listeners = [kept(group.create_task(restarting("listener for orders", session.follow_orders)))]
            try:
                if session.neighbours is not None:
                    await session.neighbours.open()
                    listeners.append(kept(group.create_task(restarting("listener for news", session.neighbours.run))))
                yield
            finally:
                for listener in listeners:
                    listener.cancel()
                session.bus.close()
                session.host.close()
                await session.audit.settle()
                session.run_log.aclose()
                session.orchestrator.aclose()
                await asyncio.wait(writers)
                session.duty.close()  # before its neighbours hear that this process leaves
                if session.neighbours is not None:
                    await session.neighbours.aclose()
                session.owner.close()
