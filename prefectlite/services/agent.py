"""The agent: begins registered flows' runs the moment they are due, in this process."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable, Collection, Coroutine
from typing import Any

from prefectlite.clock import from_micros, sleep_until
from prefectlite.errors import Forbidden, NotFound, RunInterrupted, StoreError, StoreUnavailable, TransitionRefused
from prefectlite.ids import new_id
from prefectlite.live.events import ALL_FLOW_RUNS, StateChange
from prefectlite.orchestrator.persistence import read_at_last
from prefectlite.records import FlowRow, FlowRunRow, record_state
from prefectlite.repository.flows import OWN
from prefectlite.repository.labels import fit
from prefectlite.rules.proposals import FlowRunProposal
from prefectlite.run_configs import run_config_from
from prefectlite.services.catalog import Catalog, why_unloadable
from prefectlite.services.run_processes import RunProcesses
from prefectlite.services.turns import Turns
from prefectlite.site import Site
from prefectlite.states import BY_NAME, Failed, Scheduled

#: Seconds that other processes get to begin a run whose code this one does not have.
NEIGHBOURS_TURN = 2.0
#: Seconds after which a run is begun again that could not be, because the database could not be used.
AGAIN = 1.0
#: So many runs are begun before everybody else has a turn.
BEGUN_AT_ONCE = 40

_logger = logging.getLogger("prefectlite.agent")


class Agent:
    """Hears of scheduled runs by news, keeps those that are not due yet in a heap, and asks the record only when it begins.

    It takes the runs that its `labels` fit, and none if they are None. `begin(work)` hands a coroutine to whoever owns the
    runs' tasks, and `turns` is given what has a run looked at again.
    """

    def __init__(
        self,
        site: Site,
        catalog: Catalog,
        begin: Callable[[Coroutine[Any, Any, None]], None],
        turns: Callable[[Callable[[str], None]], Turns],
        labels: Collection[str] | None = (),
    ) -> None:
        self._site, self._catalog, self._begin = site, catalog, begin
        self.turns = turns(lambda run_id: begin(self.execute(run_id)))
        self._labels = None if labels is None else frozenset(labels)
        site.processes = self._processes = RunProcesses(site)
        self._due: list[tuple[int, str]] = []
        self._expected: set[tuple[int, str]] = set()  # the same
        self._changed = asyncio.Event()
        self.looked = asyncio.Event()  # set once it has looked for the first time
        self._apart: set[str] = set()  # runs that have a process of their own, or are to have one
        self._waiting: dict[str, str | None] = {}  # runs that cannot be begun now -> from whom they are to be taken

    async def run(self) -> None:
        """Begin what is due, until cancelled."""
        if self._site.settings.isolate == "process":
            self._processes.warm()
        with self._site.bus.subscribe(ALL_FLOW_RUNS) as subscription:
            await self.look()
            self.looked.set()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._begin_due())
                async for event in subscription:
                    if isinstance(event, StateChange):
                        self._hear(event)
                    if subscription.take_lagged():  # there was too much news: the record has it all
                        await self.look()

    async def look(self) -> None:
        """Hear of the runs that are scheduled already, or of which a process that is gone did not tell any more."""
        if self._labels is not None:
            for run_id, due in await self._site.scheduled_runs(self._labels):
                self._expect(run_id, due)

    def _hear(self, event: StateChange) -> None:
        is_paused = event.state.name == "Paused"
        is_scheduled = issubclass(BY_NAME.get(event.state.name, Failed), Scheduled) and not is_paused
        if is_scheduled:
            self._expect(event.flow_run_id, event.state.start_time or event.state.timestamp)
        if is_scheduled or is_paused or event.state.is_finished:
            self.turns.gone(event.flow_run_id)

    def _expect(self, run_id: str, due: int) -> None:
        if (due, run_id) not in self._expected:
            self._expected.add((due, run_id))
            heapq.heappush(self._due, (due, run_id))
            self._changed.set()

    def begin_due(self, most: int | None = None) -> bool:
        """Begin what is due now, of what it has heard of, up to `most`; whether there may be more."""
        for _ in itertools.count() if most is None else range(most):
            if not self._due or self._due[0][0] > self._site.clock.micros():
                return False
            found = heapq.heappop(self._due)
            self._expected.discard(found)
            self._begin(self.execute(found[1]))
        return True

    async def _begin_due(self) -> None:
        clock = self._site.clock
        while True:
            self._changed.clear()
            if self.begin_due(BEGUN_AT_ONCE):
                await asyncio.sleep(0)
                continue
            if not self._due:
                await self._changed.wait()
                continue
            timer = asyncio.ensure_future(sleep_until(clock, from_micros(self._due[0][0])))
            changed = asyncio.ensure_future(self._changed.wait())
            try:
                await asyncio.wait([timer, changed], return_when=asyncio.FIRST_COMPLETED)
            finally:
                timer.cancel()
                changed.cancel()

    async def execute(self, run_id: str, *, takeover_from: str | None = None) -> None:
        """Execute one run, if it is of a registered flow, due, and nobody else's."""
        if run_id in self._waiting:  # who waits with it goes on with what is known now: it must not be begun twice
            self._waiting[run_id] = takeover_from
            return
        former = takeover_from
        while True:
            try:
                await self._execute_now(run_id, former)
                return
            except RunInterrupted:
                return  # before it began
            except StoreUnavailable as error:
                _logger.warning("flow run %s waits until the database can be used: %s", run_id, error)
                former = await self._after_waiting(run_id, former)
            except StoreError as error:
                _logger.error("flow run %s is left as it is: %s", run_id, error)
                return
            except Forbidden:  # another agent's by now, or for agents with other labels
                return
            except NotFound:  # it was deleted, as those are that a schedule made which was switched off or changed
                self.turns.gone(run_id)
                return
            except Exception:
                _logger.exception("flow run %s could not be begun", run_id)
                return

    async def may_begin(self, run_id: str) -> bool:
        """Whether it is the turn of a run, for an agent elsewhere that would execute it."""
        return await self.turns.may_begin(await self._site.flow_run(run_id))

    async def _after_waiting(self, run_id: str, former: str | None) -> str | None:
        """From whom to take the run, once the database can be used again."""
        self._waiting[run_id] = former
        try:
            await self._site.clock.sleep(AGAIN)
            owned = await self._owned_here(run_id)
        except NotFound:
            owned = None  # it was deleted: who wants to execute it will say so
        finally:
            former = self._waiting.pop(run_id)
        return owned or former

    async def _owned_here(self, run_id: str) -> str | None:
        """The id of this process, if it owns a run that it does not execute any more."""
        owner = self._site.owner_id
        row = await read_at_last(lambda: self._site.flow_run(run_id), "flow runs")
        return owner if row.owner == owner and not self._site.has(run_id) else None

    async def _execute_now(self, run_id: str, takeover_from: str | None) -> None:
        row = await self._site.flow_run(run_id)
        if row.owner != takeover_from or row.is_finished or row.state == "Paused":
            return  # begun already, by this process or another; or not to be begun now
        due = row.state_start_time
        if takeover_from is None and due is not None and due > self._site.clock.micros():
            self._expect(run_id, due)  # it was put off
            return
        await self._execute(row, takeover_from)

    async def _execute(self, row: FlowRunRow, takeover_from: str | None) -> None:
        site = self._site
        flow = await site.flow(row.flow_id)
        if flow.storage is None or flow.runtime != OWN:
            return  # a script's own, or for agents of another runtime
        if self._labels is None or not fit(row.labels, self._labels):
            await self._leave(row, takeover_from)
            return
        if takeover_from is None and not await self.turns.may_begin(row):
            return
        try:
            if self._needs_process(row):
                if row.id not in self._apart:  # its process may take its time to start, and it is scheduled until then
                    await self._execute_apart(flow, row, takeover_from)
                return
            graph = await self._catalog.find(flow)
        except Exception as error:
            await self._fail(row, why_unloadable(error))
            return
        try:
            await site.execute(graph, flow, row, takeover_from=takeover_from)
        except TransitionRefused as error:
            self._give_up(row, error)

    def _needs_process(self, row: FlowRunRow) -> bool:
        """Whether a run has a process of its own. Raises FlowError if it is to be executed as it cannot be here."""
        is_asked = row.run_config is not None and run_config_from(row.run_config).needs_process
        return is_asked or self._site.settings.isolate == "process"

    async def _execute_apart(self, flow: FlowRow, row: FlowRunRow, takeover_from: str | None) -> None:
        site = self._site
        self._apart.add(row.id)
        try:
            if not site.orchestrator.queue.labels.isdisjoint(row.labels):  # no process is to wait for a slot
                if not await site.host.reserve(row, takeover_from):
                    self._give_up(row, "it was begun, or ended, elsewhere")
                    return
                row, takeover_from = await site.flow_run(row.id), site.owner_id
            outcome = await self._processes.execute(flow, row, takeover_from)
        finally:
            self._apart.discard(row.id)
        if outcome.unloadable is not None:
            await self._fail(row, outcome.unloadable)
        elif outcome.refused is not None:
            self._give_up(row, outcome.refused)

    def _give_up(self, row: FlowRunRow, reason: object) -> None:
        _logger.info("flow run %s is left to its owner: %s", row.id, reason)
        self.turns.gone(row.id)  # it may have been deleted, which is no news; else they go on waiting

    async def _leave(self, row: FlowRunRow, former: str | None) -> None:
        """Leave a run to agents with its labels; if it was interrupted, they hear of it as scheduled."""
        if former is None:
            await self.turns.leave(row)
            return
        state = Scheduled("Rescheduled: the agent that executed it is gone.", start_time=self._site.clock.now())
        record = record_state(state, new_id(), self._site.clock.micros())
        await self._site.orchestrator.propose(FlowRunProposal(row.id, record, expected_version=row.version))

    async def _fail(self, row: FlowRunRow, reason: str) -> None:
        """Fail a run whose code cannot be loaded here, unless another process that has the code takes it."""
        site = self._site
        _logger.error("flow run %s cannot be executed here: %s", row.id, reason)
        if site.has_company:
            await site.clock.sleep(NEIGHBOURS_TURN)
        record = record_state(Failed(reason), new_id(), site.clock.micros())
        await site.orchestrator.propose(FlowRunProposal(row.id, record, expected_version=row.version))
