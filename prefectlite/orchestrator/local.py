"""The door in front of a local database: one snapshot, pure rules, one transaction, then the news."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from prefectlite.errors import StoreError, StoreUnavailable
from prefectlite.live.bus import Bus
from prefectlite.live.events import Event
from prefectlite.orchestrator.batch import Batch
from prefectlite.orchestrator.door import Door, Pending, give_up, is_promise
from prefectlite.orchestrator.persistence import Outage, written
from prefectlite.repository.database import Database
from prefectlite.rules.proposals import Verdict


class LocalOrchestrator(Door):
    """An Orchestrator over a database of this process. Proposals that arrive together are committed together."""

    def __init__(self, database: Database, bus: Bus) -> None:
        super().__init__()
        self._database, self._bus = database, bus
        self._outage = Outage("Runs")

    async def _commit(self, pending: Sequence[Pending], *, trusting: bool = True) -> None:
        trusting = trusting and not any(one.again for one in pending)
        while pending:
            batch = Batch([one.proposal for one in pending], self._bus.has_listeners, trusting=trusting)
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
                        one.fail(error)
                    else:  # one that cannot be written, or is there already, must not take the others with it
                        await self._commit([one], trusting=False)
                return
            else:
                self._bus.publish(events)
                self._deliver(pending, verdicts)
                return

    async def _write(self, batch: Batch, durable: bool) -> tuple[list[Verdict], list[Event]]:
        """Write a batch, again and again while the database cannot be used: writing it twice is writing it once."""
        return await written(self._database, batch.apply, self._outage, durable=durable)
