"""The door in front of a local database: one snapshot, pure rules, one transaction, then the news."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from prefectlite.clock import Clock
from prefectlite.errors import StoreError, StoreUnavailable
from prefectlite.live.bus import Bus
from prefectlite.live.events import SLOTS, Event, SlotNews
from prefectlite.orchestrator.allotment import KnownLimits
from prefectlite.orchestrator.batch import Batch
from prefectlite.orchestrator.door import Door, Pending, give_up, is_promise
from prefectlite.orchestrator.persistence import Outage, written
from prefectlite.orchestrator.queue import LOOK_AGAIN
from prefectlite.repository.database import Database
from prefectlite.repository.limits import all_limits, owners_of_queued
from prefectlite.repository.runs import task_run_at
from prefectlite.rules.proposals import Refuse, TaskRunProposal, Verdict


class LocalOrchestrator(Door):
    """An Orchestrator over a database of this process. Proposals that arrive together are committed together."""

    def __init__(self, database: Database, bus: Bus, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self._limits = KnownLimits()
        self._database, self._bus = database, bus
        self._outage = Outage("Runs")

    async def _commit(self, pending: Sequence[Pending], *, trusting: bool = True) -> None:
        trusting = trusting and not any(one.again for one in pending)
        while pending:
            proposals, known = [one.proposal for one in pending], self._limits.changes
            batch = Batch(proposals, self._bus.has_listeners, self._limits, self._clock, trusting=trusting)
            try:
                verdicts, events = await self._write(batch, durable=any(map(is_promise, pending)))
            except asyncio.CancelledError:
                give_up(pending)
                raise
            except StoreUnavailable as error:
                pending, trusting = self._all_waiting_on(pending, error), False
            except Exception as error:
                for one in pending:
                    if isinstance(error, StoreError) or not (trusting or pending[1:]):
                        await self._refuse(one, error)
                    else:  # one that cannot be written, or is there already, must not take the others with it
                        await self._commit([one], trusting=False)
                return
            else:
                self._bus.publish(events)
                await self._deliver(pending, verdicts)
                if self._limits.changes != known:
                    self.queue.know(self._limits.tags, self._limits.labels)
                elif batch.moved_slots:
                    self.queue.stir()
                return

    async def _refuse(self, one: Pending, error: Exception) -> None:
        """Answer that this cannot be written: because somebody else has made the run of the task, or else with the error."""
        proposal, taken = one.proposal, None
        if isinstance(proposal, TaskRunProposal) and not isinstance(error, StoreError):
            place = (proposal.flow_run_id, proposal.task_id, proposal.map_index)
            with suppress(StoreError):
                taken = await task_run_at(self._database, *place)
        if taken is None or taken[0] == proposal.run_id:
            one.fail(error)
        else:
            run_id, version = taken
            one.tell(Refuse("TAKEN", f"task run {run_id} is there in place of {proposal.run_id}", version, run_id))

    async def _write(self, batch: Batch, durable: bool) -> tuple[list[Verdict], list[Event]]:
        """Write a batch, again and again while the database cannot be used: writing it twice is writing it once."""
        return await written(self._database, batch.apply, self._outage, durable=durable)

    async def look_at_limits(self) -> None:
        """Know the concurrency limits, which may have been changed, and let those that wait try again."""
        self.queue.know(*await all_limits(self._database))

    async def follow_limits(self, is_gone: Callable[[str], Awaitable[bool]]) -> None:
        """Let those here that wait for a slot hear what others do, until cancelled."""

        async def look() -> None:
            await asyncio.sleep(LOOK_AGAIN)
            owners = await owners_of_queued(self._database)
            self._limits.absent = {owner for owner in owners if await is_gone(owner)}

        self.queue.look = look
        with self._bus.subscribe(SLOTS) as subscription:
            await self.look_at_limits()
            async for event in subscription:
                if isinstance(event, SlotNews) and event.limits:
                    await self.look_at_limits()
                else:
                    self.queue.stir()
