"""The audit log, as it is written: rows that come while others are being written go together, in one transaction."""

from __future__ import annotations

import asyncio
import logging

from prefectlite.kept import kept
from prefectlite.repository import audit
from prefectlite.repository.audit import AuditRow
from prefectlite.repository.database import Database, Transaction

_logger = logging.getLogger("prefectlite")


class Audit:
    """The audit log of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows: list[AuditRow] = []
        self._written: asyncio.Future[None] | None = None  # when all of `_rows` are
        self._writing: asyncio.Task[None] | None = None

    def record(self, row: AuditRow) -> asyncio.Future[None]:
        """Add a row; the future is done when it is in the database. What cannot be written is in the server's log."""
        self._rows.append(row)
        if self._written is None:
            self._written = asyncio.get_running_loop().create_future()
        written = self._written
        if self._writing is None:
            self._writing = kept(asyncio.create_task(self._write()))
        return written

    async def settle(self) -> None:
        """Return when all rows are written."""
        if self._writing is not None:
            await asyncio.wait([self._writing])

    async def _write(self) -> None:
        while self._written is not None:
            rows, written = self._rows, self._written
            self._rows, self._written = [], None
            try:
                await self._add(rows)
            except Exception:  # what was done is done, and the next rows may fare better
                _logger.exception("the audit log cannot be written; what it misses: %s", rows)
            finally:
                if not written.done():  # who waited may have been cancelled
                    written.set_result(None)
        self._writing = None

    async def _add(self, rows: list[AuditRow]) -> None:
        async def work(tx: Transaction) -> None:
            await audit.add(tx, rows)

        await self._database.write(work)
