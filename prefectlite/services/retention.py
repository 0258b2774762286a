"""Retention: deletes what is too old to be kept, little by little, while everything else goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from prefectlite.repository import audit, messages, retention
from prefectlite.repository.database import Database, Transaction
from prefectlite.repository.retention import OldRun, Terms
from prefectlite.session import Session

#: Seconds between two passes.
EVERY = 3600.0
#: Seconds between two transactions: everybody else's come first.
PAUSE = 0.05

_DAY = 86_400_000_000

_logger = logging.getLogger("prefectlite.retention")
_Find = Callable[[Database, Terms, int, OldRun | None], Awaitable[list[OldRun]]]


class Retention:
    """Keeps the database of `session` to what its settings and its projects say.

    How old something is goes by the session's clock. The pace is the machine's: on a clock that jumps to whatever somebody
    waits for, it would be all that such a test ever does.
    """

    def __init__(self, session: Session, *, every: float = EVERY, pause: float = PAUSE) -> None:
        self._session, self._every, self._pause = session, every, pause
        settings = session.settings
        self._terms = Terms(settings.retention_days, settings.log_retention_days)
        self._audit_days = settings.audit_retention_days

    async def run(self) -> None:
        """Delete what is too old, again and again, until cancelled."""
        while True:
            await self.clean()
            await self._session.collect_garbage()
            await asyncio.sleep(self._every)

    async def clean(self) -> int:
        """Delete what is too old now; the number of runs whose time was over."""
        now = self._session.clock.micros()
        count = 0
        async for run in self._each(retention.old_runs, now):
            kept = await retention.cached_in(self._session.database, run, now)
            await self._repeat(partial(retention.delete_some, run=run, kept=kept))
            count += 1
        async for run in self._each(retention.old_logs, now):
            await self._repeat(partial(retention.delete_some_lines, run=run))
        await self._delete_flow_versions(now)
        if self._terms.days:
            await self._repeat(partial(messages.delete_some, before=now - self._terms.days * _DAY))
        if self._audit_days:
            await self._repeat(partial(audit.delete_some, before=now - self._audit_days * _DAY))
        if count:
            _logger.info("%s finished flow run(s) were older than they are kept", count)
        return count

    async def _each(self, find: _Find, now: int) -> AsyncIterator[OldRun]:
        last: OldRun | None = None
        while found := await find(self._session.database, self._terms, now, last):
            for run in found:
                yield run
            last = found[-1]

    async def _repeat(self, work: Callable[[Transaction], Awaitable[bool]]) -> None:
        while True:
            has_more = await self._session.database.write(work)
            await asyncio.sleep(self._pause)
            if not has_more:
                return

    async def _delete_flow_versions(self, now: int) -> None:
        deleted: set[str] = set()

        async def work(tx: Transaction) -> bool:
            found = await retention.delete_flow_version(tx, self._terms, now)
            deleted.update(found)
            return bool(found)

        await self._repeat(work)
        if deleted:
            self._session.forget_flows(deleted)
