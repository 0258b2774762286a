"""The run log in front of a local database: lines are gathered and written in batches on the database's thread."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

from prefectlite.errors import StoreError, StoreUnavailable
from prefectlite.ids import new_id
from prefectlite.live.bus import Bus
from prefectlite.live.events import LogLine
from prefectlite.orchestrator.persistence import Outage, written
from prefectlite.records import LogRow
from prefectlite.repository.database import Database, Transaction
from prefectlite.repository.logs import append_lines, index_some, line_number

#: How long a line waits for others to share its commit.
GATHER = 0.02
BATCH_SIZE = 2_000
#: When no line has come for so many seconds, some of those written are put into the index of words; where lines keep coming,
#: after so many. A search does the rest.
IDLE, PATIENCE = 0.2, 5.0
#: So many characters, about, may wait to be written, before those who have more have to wait.
ROOM = 32 * 1024 * 1024
#: Seconds for which it may be more, where they cannot wait.
PATIENCE_ON_LOOP = 5.0
_SIZE_OF_A_ROW = 400

_logger = logging.getLogger("prefectlite.log")


class LocalRunLog:
    """A RunLog over a database of this process. `run()` must be running as a task of its own.

    While the database cannot be used, or cannot keep up, lines wait, and so do threads that have more of them. What runs on
    the event loop cannot wait for its own loop: what it says then is lost after a while, and the log says how many lines.
    """

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database, self._bus = database, bus
        self._loop = asyncio.get_running_loop()
        self._lines: list[LogRow] = []
        self._lost: dict[str, tuple[int, LogRow]] = {}  # flow run -> lines that were lost since the last one taken, the last
        self._room = threading.Condition()
        self._size = 0  # of all that is not written yet
        self._full_since: float | None = None
        self._arrived = asyncio.Event()
        self._urgent = asyncio.Event()
        self._written = asyncio.Condition()
        self._taken = self._done = 0
        self._closed = self._ended = False
        self._to_index = False  # whether lines were written since the index was full
        self._indexed_at = self._loop.time()
        self._patient = True
        self._outage = Outage("Log lines")

    def write(self, line: LogRow) -> None:
        """Take a line, from any thread; a thread other than the loop's may have to wait."""
        on_loop = asyncio._get_running_loop() is self._loop
        with self._room:
            while not self._ended and self._full_since is not None:
                if not on_loop:
                    self._room.wait(0.2)  # not for ever, so that whoever wants to stop the thread can
                elif time.monotonic() - self._full_since > PATIENCE_ON_LOOP:
                    lost, _ = self._lost.get(line.flow_run_id, (0, line))
                    self._lost[line.flow_run_id] = (lost + 1, line)
                    return
                else:
                    break
            self._tell_lost()
            waiting = self._take(line)
        if waiting == 1:
            self._loop.call_soon_threadsafe(self._arrived.set)
        elif waiting == BATCH_SIZE:
            self._loop.call_soon_threadsafe(self._urgent.set)

    def _take(self, line: LogRow) -> int:
        self._lines.append(line)
        self._taken += 1
        self._size += _size(line)
        if self._full_since is None and self._size > ROOM:
            self._full_since = time.monotonic()
        return len(self._lines)

    def _tell_lost(self) -> None:
        """Say in the logs where lines are missing."""
        for run_id, (lost, last) in self._lost.items():
            words = f"{lost} lines are missing here: the database could not take them in time"
            self._take(LogRow(new_id(), run_id, None, last.timestamp, "WARNING", "prefectlite.log", words))
        self._lost.clear()

    async def drain(self) -> None:
        """Return when every line taken so far is written down."""
        target = self._taken
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
            while not self._closed or self._lines:
                if not await self._arrival():
                    continue
                if not self._closed:
                    await self._gather()
                await self._write_lines()
        finally:
            self._ended = True
            with self._room:
                self._room.notify_all()
            async with self._written:  # nobody waits for what will not be written any more
                self._written.notify_all()

    async def _arrival(self) -> bool:
        """Whether lines have come; else it is quiet, and some of the old ones are in the index now."""
        try:
            async with asyncio.timeout(IDLE if self._to_index else None):
                await self._arrived.wait()
        except TimeoutError:
            await self._index()
            return False
        self._arrived.clear()
        if self._to_index and not self._closed and self._loop.time() > self._indexed_at + PATIENCE:
            await self._index()
        return True

    async def _index(self) -> None:
        self._indexed_at = self._loop.time()
        try:
            self._to_index = await self._database.write(index_some)
        except Exception as error:  # whatever it is, the next search does it or says so
            self._to_index = False
            _logger.debug("log lines are not in the index of words yet: %s", error)

    async def _write_lines(self) -> None:
        while self._lines or self._lost:
            with self._room:
                self._tell_lost()
                most = BATCH_SIZE if self._patient else len(self._lines)  # at the end all are tried together
                batch, self._lines = self._lines[:most], self._lines[most:]
            await self._write_batch(batch)
            with self._room:
                self._size -= sum(map(_size, batch))
                if self._size <= ROOM:
                    self._full_since = None
                    self._room.notify_all()
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
        tried = False

        async def work(tx: Transaction) -> int:
            nonlocal tried
            if tried and (first := await line_number(tx, batch[0])) is not None:
                return first  # it was committed, and the answer was lost
            tried = True
            return await append_lines(tx, batch)

        while True:
            try:
                first = await written(self._database, work, self._outage)
            except StoreUnavailable as error:
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
                self._to_index = True
                self._bus.publish(LogLine(first + n, line) for n, line in enumerate(batch))
                return


def _size(line: LogRow) -> int:
    return len(line.message) + _SIZE_OF_A_ROW
