"""The engine's ports for an executor in another process: everything is asked of whoever has the record."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from prefectlite.clock import Clock
from prefectlite.errors import PrefectliteError, StoreUnavailable
from prefectlite.orchestrator.calls import (
    CACHED,
    FLOW_RUN_STATE,
    PROPOSE,
    SLOT_NEWS,
    TASK_RUN_STATE,
    TASK_RUNS,
    WRITE_LINES,
    Ask,
    CacheKey,
    Proposals,
    Verdicts,
)
from prefectlite.orchestrator.door import Door, Pending, give_up
from prefectlite.orchestrator.gathered_log import GatheredLog
from prefectlite.orchestrator.persistence import Outage, done_at_last, read_at_last
from prefectlite.records import LogRow, ResultRecord, StateRecord, TaskRunRow
from prefectlite.rules.proposals import FlowRunProposal, TaskRunProposal

#: Bytes of results in a message. A server takes ten million, and JSON writes them longer.
MOST_BYTES = 4 * 1024 * 1024


class RemoteOrchestrator(Door):
    """An Orchestrator that holds no rule: proposals that arrive together travel together."""

    def __init__(self, ask: Ask, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self._ask = ask
        self._outage = Outage("Runs")
        self._slot_news = -1
        self.queue.look = self._look_for_slots

    async def _commit(self, pending: Sequence[Pending]) -> None:
        try:
            for parcel in _parcels(pending):
                await self._send(parcel)
        except asyncio.CancelledError:
            give_up(pending)
            raise

    async def _send(self, pending: Sequence[Pending]) -> None:
        again = any(one.again for one in pending)
        while pending:
            try:
                verdicts = await self._tried([one.proposal for one in pending], again)
            except StoreUnavailable as error:
                pending, again = self._all_waiting_on(pending, error), True
            except PrefectliteError as error:
                for one in pending:
                    one.fail(error)
                return
            else:
                await self._deliver(pending, verdicts)
                return

    async def _tried(self, proposals: list[FlowRunProposal | TaskRunProposal], again: bool) -> Verdicts:
        tried = again

        async def ask() -> Verdicts:
            nonlocal tried
            sent, tried = Proposals(proposals, tried), True
            decided = await self._ask(PROPOSE, sent)
            self.queue.tags, self.queue.labels = frozenset(decided.tags), frozenset(decided.labels)
            return decided.verdicts

        return await done_at_last(ask, self._outage)

    async def _look_for_slots(self) -> None:
        self._slot_news = await self._ask(SLOT_NEWS, self._slot_news)


def _parcels(pending: Sequence[Pending]) -> Iterator[list[Pending]]:
    """What travels together: proposals whose results have no more than so many bytes in all."""
    parcel: list[Pending] = []
    size = 0
    for one in pending:
        result = one.proposal.result if isinstance(one.proposal, TaskRunProposal) else None
        more = len(result.data) if result is not None and result.data is not None else 0
        if parcel and size + more > MOST_BYTES:
            yield parcel
            parcel, size = [], 0
        parcel.append(one)
        size += more
    if parcel:
        yield parcel


class RemoteRunLog(GatheredLog):
    """A RunLog whose lines travel in batches."""

    def __init__(self, ask: Ask) -> None:
        super().__init__()
        self._ask = ask
        self._outage = Outage("Log lines")

    async def _keep(self, batch: list[LogRow], *, again: bool) -> None:
        await done_at_last(lambda: self._ask(WRITE_LINES, batch), self._outage)


class RemoteReader:
    """A RunReader that asks."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def task_run_state(self, task_run_id: str) -> tuple[StateRecord, int]:
        """(its state, version) of a task run. Raises NotFound."""
        return await read_at_last(lambda: self._ask(TASK_RUN_STATE, task_run_id), "states")

    async def flow_run_state(self, flow_run_id: str) -> tuple[StateRecord, int]:
        """(its state, version) of a flow run. Raises NotFound."""
        return await read_at_last(lambda: self._ask(FLOW_RUN_STATE, flow_run_id), "states")

    async def task_runs(self, flow_run_id: str) -> list[TaskRunRow]:
        """What has happened in this run so far."""
        return await read_at_last(lambda: self._ask(TASK_RUNS, flow_run_id), "states")

    async def cached(self, key: str, flow_run_id: str, map_index: int) -> list[tuple[StateRecord, ResultRecord | None]]:
        """The states, with their results, that task runs cached under `key` in other flow runs than this one."""
        return await read_at_last(lambda: self._ask(CACHED, CacheKey(key, flow_run_id, map_index)), "cached states")
