"""A site whose record is behind a server: what an agent on this or another machine runs flows in."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec

from prefectlite.client.http import Client
from prefectlite.client.run_news import DELAYS, RunNews
from prefectlite.client.server_results import MOST_IN_A_MESSAGE, ServerResults
from prefectlite.clock import Clock, process_clock
from prefectlite.errors import ApiError, ServerUnreachable
from prefectlite.ids import new_id
from prefectlite.live.bus import Bus
from prefectlite.orchestrator.calls import (
    DELETE_KEY,
    FLOW,
    FLOW_RUN,
    GET_KEY,
    KEEPS_RESULT,
    LEAVE,
    LIST_KEYS,
    MAY_BEGIN,
    RUN_TOKEN,
    SCHEDULED_RUNS,
    SECRET,
    SET_KEY,
    Call,
    Executor,
)
from prefectlite.orchestrator.heard_orders import HeardOrders
from prefectlite.orchestrator.persistence import Outage, read_at_last
from prefectlite.orchestrator.protocols import ResultStore, RunReader
from prefectlite.orchestrator.remote import RemoteOrchestrator, RemoteReader, RemoteRunLog
from prefectlite.records import FlowRow, FlowRunRow, RunLease, StateRecord
from prefectlite.results.store import result_store
from prefectlite.settings import Settings
from prefectlite.site import Listen, Site

#: Versions of flows that are kept at hand.
_FLOWS_REMEMBERED = 1_000

_logger = logging.getLogger("prefectlite.agent")


class RemoteSite(Site):
    """A site behind the server that `client` asks. Made by `open_remote_site`."""

    def __init__(self, settings: Settings, clock: Clock, client: Client, executor: Executor) -> None:
        bus = Bus()
        self._client, self._executor = client, executor
        self.ask = client.ask
        self._flows: dict[str, FlowRow] = {}  # what is registered does not change: a change is another version
        self.news = RunNews(client, bus)
        reader = RemoteReader(client.ask)
        ports = RemoteOrchestrator(client.ask, clock), RemoteRunLog(client.ask), reader
        results: ResultStore | None = ServerResults(client.ask, lambda: client, executor.id)
        if settings.result_store_url:
            results = result_store(settings)
        most = min(settings.inline_result_bytes, MOST_IN_A_MESSAGE)
        settings = msgspec.structs.replace(settings, inline_result_bytes=most)
        super().__init__(settings, clock, bus, executor.id, ports, results, FollowedOrders(bus, reader, self.news))
        for call in (SECRET, KEEPS_RESULT, SET_KEY, GET_KEY, DELETE_KEY, LIST_KEYS):  # of the processes that runs have here
            self._hand_on(call)

    async def scheduled_runs(self, labels: Collection[str]) -> list[tuple[str, int]]:
        """(id, due time) of the runs that this site's agent may begin, the earliest first."""
        asked = msgspec.structs.replace(self._executor, labels=sorted(labels))
        return await read_at_last(lambda: self._client.ask(SCHEDULED_RUNS, asked), "flow runs")

    async def flow_run(self, run_id: str) -> FlowRunRow:
        """One flow run. Raises NotFound."""
        return await self._client.ask(FLOW_RUN, run_id)

    async def flow(self, flow_id: str) -> FlowRow:
        """One version of a flow. Raises NotFound."""
        if flow_id not in self._flows:
            if len(self._flows) >= _FLOWS_REMEMBERED:
                del self._flows[next(iter(self._flows))]
            self._flows[flow_id] = await self._client.ask(FLOW, flow_id)
        return self._flows[flow_id]

    def following(self, flow_run_id: str) -> AbstractAsyncContextManager[None]:
        """In this block the bus has the states of the run's task runs."""
        return self.news.following(flow_run_id)

    def _hand_on(self, call: Call[Any, Any]) -> None:
        async def ask(question: Any) -> Any:
            return await self._client.ask(call, question)

        self.answers.add(call, ask)

    async def may_begin(self, run_id: str) -> bool:
        """Whether it is the turn of a run that is due."""
        return await self._client.ask(MAY_BEGIN, run_id)

    async def run_token(self, lease: RunLease) -> str | None:
        """What the code of a run may show to the server."""
        return await read_at_last(lambda: self._client.ask(RUN_TOKEN, lease), "tokens of runs")

    async def leave(self) -> None:
        """Tell the server that this executor ends: others may take up at once what it leaves."""
        try:
            await self._client.ask(LEAVE, self._executor)
        except ServerUnreachable as error:
            _logger.warning("the server does not know that this agent ends: %s", error)


class FollowedOrders(HeardOrders):
    """Orders for runs whose task runs the news tells of only when asked to."""

    def __init__(self, bus: Bus, reader: RunReader, news: RunNews) -> None:
        super().__init__(bus, reader)
        self._news = news

    async def resumed(self, flow_run_id: str, task_run_id: str) -> tuple[StateRecord, int]:
        """Return, with the task run's state and version, when somebody has set a paused task run to go on."""
        async with self._news.following(flow_run_id):
            return await super().resumed(flow_run_id, task_run_id)


class TurnsAtTheServer:
    """Asks the server whose turn it is."""

    def __init__(self, site: RemoteSite) -> None:
        self._site = site

    async def may_begin(self, row: FlowRunRow) -> bool:
        """Whether a run that is due may begin now."""
        return not row.auto_scheduled or bool(row.lease_epoch) or await self._site.may_begin(row.id)

    async def leave(self, row: FlowRunRow) -> None:
        """A run is for agents with other labels, which hear of it as this one does."""

    def gone(self, run_id: str) -> None:
        """A run has ended: the server knows."""


@asynccontextmanager
async def open_remote_site(
    settings: Settings, client: Client, executor: Executor, clock: Clock | None = None
) -> AsyncIterator[tuple[RemoteSite, Listen]]:
    """A site behind the server that `client` asks, and what starts further listeners.

    On leaving, all that was proposed and logged has reached the server, which knows that this executor has ended.
    """
    site = RemoteSite(settings, clock or process_clock(), client, executor)
    try:
        async with site.at_work() as listen:
            listen("listener for news", site.news.run)
            yield site, listen
    finally:
        await site.leave()


async def registered(client: Client, name: str, labels: Collection[str], config_id: str | None) -> Executor:
    """This process as an executor for the server, of which it is the agent `name`; waits for the server. Raises ApiError.

    `config_id` names the settings at the server that it has, if it has such.
    """
    outage = Outage(f"Agent {name!r} and its runs")
    for delay in itertools.chain(DELAYS, itertools.repeat(DELAYS[-1])):
        try:
            agent_id = await client.register_agent(name, labels, config_id)
        except ServerUnreachable as error:
            outage.goes_on(error)
            await asyncio.sleep(delay)
        else:
            if client.mismatched.is_set():
                raise ApiError(client.mismatch)
            outage.is_over()
            return Executor(f"{agent_id}/{new_id()}", agent_id, sorted(labels))
    raise AssertionError  # it goes on for ever
