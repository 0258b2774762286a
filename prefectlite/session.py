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
from prefectlite.client.kept_results import KeptResults
from prefectlite.client.local import LocalClient
from prefectlite.clock import Clock, process_clock, to_micros
from prefectlite.errors import NoDataDirectory, StoreUnavailable
from prefectlite.language.graph import Graph
from prefectlite.language.serialized import digest_of, serialize
from prefectlite.lazily import lazily
from prefectlite.live.bus import Bus
from prefectlite.names import run_name
from prefectlite.orchestrator import calls
from prefectlite.orchestrator.calls import Executor
from prefectlite.orchestrator.company import Company, company_of
from prefectlite.orchestrator.local import LocalOrchestrator
from prefectlite.orchestrator.local_log import LocalRunLog
from prefectlite.orchestrator.local_reader import LocalRunReader
from prefectlite.records import FlowRow, FlowRunRow, RunLease
from prefectlite.repository import flows, runs
from prefectlite.repository.database import Database
from prefectlite.repository.flows import FlowVersion
from prefectlite.repository.secret_keys import secret_keys
from prefectlite.repository.urls import open_database
from prefectlite.results.garbage import collect_garbage
from prefectlite.results.store import result_store
from prefectlite.rules.proposals import FlowRunCreation
from prefectlite.settings import Settings
from prefectlite.site import Listen, Site

if TYPE_CHECKING:
    from prefectlite.engine import watchdog
    from prefectlite.storage import source
else:
    watchdog, source = lazily("prefectlite.engine.watchdog"), lazily("prefectlite.storage.source")

_logger = logging.getLogger("prefectlite")
#: Flows whose rows a session keeps at hand.
_FLOWS_REMEMBERED = 1_000


class Session(Site):
    """Everything it takes to run flows and to ask about them. Made by `open_session`; lives on one event loop."""

    def __init__(
        self, settings: Settings, database: Database, clock: Clock, company: Callable[[Database, Bus], Company] = company_of
    ) -> None:
        bus = Bus()
        self.database, self._stored = database, result_store(settings)
        self.owner, self.neighbours, self.duty = company(database, bus)
        door = LocalOrchestrator(database, bus, clock)
        ports = door, LocalRunLog(database, bus), LocalRunReader(database)
        super().__init__(settings, clock, bus, self.owner.id, ports, self._stored)
        self._door = door
        self.client = LocalClient(database, self.orchestrator, clock, secret_keys(settings))
        self.audit = Audit(database)
        self.began_at = clock.micros()
        self.kept_results = KeptResults(database, self._stored, settings.max_result_bytes)
        self.answers.add(calls.KEEPS_RESULT, self.kept_results.has_place)
        self.answers.add(calls.FLOW, self.flow)
        self.answers.add(calls.FLOW_RUN, self.flow_run)
        self.answers.add(calls.SCHEDULED_RUNS, self._offer)
        self.answers.add(calls.LEAVE, self._let_go)
        self.answers.add(calls.SECRET, self.client.secrets.get)
        store = self.client.key_values
        self.answers.add(calls.SET_KEY, store.set_text)
        self.answers.add(calls.GET_KEY, store.get_text)
        self.answers.add(calls.DELETE_KEY, store.delete)
        self.answers.add(calls.LIST_KEYS, lambda _: store.keys())
        self._flows: dict[str, asyncio.Future[FlowRow]] = {}
        self._adopted: WeakKeyDictionary[Graph, tuple[int, FlowRow]] = WeakKeyDictionary()  # with the graph's revision

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

    async def scheduled_runs(self, labels: Collection[str]) -> list[tuple[str, int]]:
        """(id, due time) of the runs of registered flows that an agent with these labels may begin, the earliest first."""
        return await runs.scheduled_runs(self.database, labels)

    async def flow_run(self, run_id: str) -> FlowRunRow:
        """One flow run. Raises NotFound."""
        return await runs.flow_run(self.database, run_id)

    async def flow(self, flow_id: str) -> FlowRow:
        """One version of a flow. Raises NotFound."""
        return await flows.flow_by_id(self.database, flow_id)

    async def run_token(self, lease: RunLease) -> str | None:
        """What the code of a run may show here, where tokens are asked for."""
        return await self.client.tokens.for_run(lease) if self.settings.auth else None

    async def _offer(self, executor: Executor) -> list[tuple[str, int]]:
        await self.client.executors.beat(executor.id, executor.agent_id)
        return await self.scheduled_runs(executor.labels)

    async def _let_go(self, executor: Executor) -> None:
        await self.client.executors.leave(executor.id)

    @property
    def has_company(self) -> bool:
        """Whether other processes, as far as is known, use the same database."""
        return self.neighbours is not None and bool(self.neighbours.names)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[Listen]:
        """As every site's; in this block its neighbours hear of this process, and it of them. The database stays open."""
        try:
            async with super().at_work() as listen:
                listen("listener for slots", lambda: self._door.follow_limits(self.is_gone))
                if self.neighbours is not None:
                    await self.neighbours.open()
                    listen("listener for news", self.neighbours.run)
                try:
                    yield listen
                finally:
                    await self.audit.settle()
        finally:
            self.duty.close()  # before its neighbours hear that this process leaves
            if self.neighbours is not None:
                await self.neighbours.aclose()
            self.owner.close()

    @property
    def silent_since(self) -> int:
        """Executors elsewhere that were not heard of since this moment are gone."""
        return self.clock.micros() - int(self.settings.agent_silence * 1_000_000)

    async def is_gone(self, owner: str) -> bool:
        """Whether the executor with the owner id `owner` has ended, in this machine or, as a remote agent, on another."""
        heard = await self.client.executors.last_heard(owner)
        if heard is None:
            return await self.owner.is_gone(owner)
        # Who asks a server was silent while there was none.
        return not heard or max(heard, self.began_at) < self.silent_since

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
        if self._stored is None:
            return
        try:
            removed = await collect_garbage(self.database, self._stored)
        except Exception:
            _logger.exception("files of results that nothing names could not be removed from %s", self._stored.place)
        else:
            if removed:
                _logger.info("removed %d files of results that nothing names from %s", removed, self._stored.place)


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
        async with session.at_work():
            yield session
    finally:
        await database.aclose()
