"""A run log: lines are gathered, and written down in batches wherever they are kept."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod

from prefectlite.errors import StoreError, StoreUnavailable
from prefectlite.orchestrator.log_backlog import LogBacklog
from prefectlite.records import LogRow

#: How long a line waits for others to share its commit.
GATHER = 0.02
BATCH_SIZE = 2_000

_logger = logging.getLogger("prefectlite.log")


class GatheredLog(ABC):
    """A RunLog. `run()` must be running as a task of its own.

    While what keeps the lines cannot be used, or cannot keep up, they wait in a backlog.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._backlog = LogBacklog()
        self._is_told = self._is_hurried = False  # whether `run` has heard that lines have come, that they are many
        self._arrived = asyncio.Event()
        self._urgent = asyncio.Event()
        self._written = asyncio.Condition()
        self._done = 0
        self._closed = self._ended = False
        self._patient = True

    @abstractmethod
    async def _keep(self, batch: list[LogRow], *, again: bool) -> None:
        """Write these lines down; `again`, perhaps for the second time. Raises StoreUnavailable, to be tried again."""

    async def _arrival(self) -> bool:
        """Whether lines have come."""
        await self._arrived.wait()
        self._arrived.clear()
        return True

    def write(self, line: LogRow) -> None:
        """Take a line, from any thread; a thread other than the loop's may have to wait."""
        waiting = self._backlog.add(line)
        if not self._is_told:
            self._is_told = True
            self._loop.call_soon_threadsafe(self._arrived.set)
        if waiting >= BATCH_SIZE and not self._is_hurried:
            self._is_hurried = True
            self._loop.call_soon_threadsafe(self._urgent.set)

    @property
    def waiting(self) -> int:
        """How many lines are not written down yet."""
        return self._backlog.taken - self._done

    async def drain(self) -> None:
        """Return when every line taken so far is written down."""
        target = self._backlog.taken
        if self._done >= target:
            return
        self._arrived.set()
        self._urgent.set()
        async with self._written:
            await self._written.wait_for(lambda: self._done >= target or self._ended)

    def hurry(self) -> None:
        """Wait no longer than some seconds for a database that cannot be used."""
        self._patient = False

    def aclose(self) -> None:
        """Take the last lines; `run` ends when they are written."""
        self._closed = True
        self._patient = False
        self._arrived.set()
        self._urgent.set()

    async def run(self) -> None:
        """Write what arrives, batch by batch, until closed."""
        try:
            while not self._closed or self._backlog:
                if not await self._arrival():
                    continue
                if not self._closed and self._backlog:
                    await self._gather()
                await self._write_lines()
        finally:
            self._ended = True
            self._backlog.end()
            async with self._written:  # nobody waits for what will not be written any more
                self._written.notify_all()

    async def _write_lines(self) -> None:
        while self._backlog:
            self._is_told = self._is_hurried = False  # before the lines are taken: who adds one after that says so again
            batch = self._backlog.first(BATCH_SIZE if self._patient else None)  # at the end all are tried together
            await self._write_batch(batch)
            self._backlog.done(batch)
            async with self._written:
                self._done += len(batch)
                self._written.notify_all()

    async def _gather(self) -> None:
        try:
            async with asyncio.timeout(GATHER):
                await self._urgent.wait()
        except TimeoutError:
            pass
        self._urgent.clear()

    async def _write_batch(self, batch: list[LogRow]) -> None:
        again = False
        while True:
            try:
                await self._keep(batch, again=again)
            except StoreUnavailable as error:
                again = True
                if not self._patient:
                    _logger.warning("%d log lines could not be written: %s", len(batch), error)
                    return
            except StoreError as error:
                _logger.warning("%d log lines could not be written: %s", len(batch), error)
                return
            except Exception as error:
                if len(batch) == 1:
                    _logger.warning("a log line of flow run %s could not be written: %s", batch[0].flow_run_id, error)
                    return
                for line in batch:  # one line that cannot be written must not take the others with it
                    await self._write_batch([line])
                return
            else:
                return
