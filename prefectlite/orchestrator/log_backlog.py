"""Log lines that wait to be written, as many as there is room for."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence

from prefectlite.ids import new_id
from prefectlite.records import LogRow

#: So many characters, about, may wait to be written, before those who have more have to wait.
ROOM = 32 * 1024 * 1024
#: Seconds for which it may be more, where they cannot wait.
PATIENCE_ON_LOOP = 5.0
_SIZE_OF_A_ROW = 400


class LogBacklog:
    """Lines in the order they came, from any thread.

    When there is no room, threads wait until there is. What runs on the event loop cannot wait for its own loop: what it
    says is lost after a while, and the log says how many lines are missing.
    """

    def __init__(self) -> None:
        self.taken = 0  # lines since the beginning
        self._loop = asyncio.get_running_loop()
        self._lines: list[LogRow] = []
        self._lost: dict[str, tuple[int, LogRow]] = {}  # flow run -> lines that were lost since the last one taken, the last
        self._room = threading.Condition()
        self._size = 0  # of all that is not written yet
        self._full_since: float | None = None
        self._ended = False

    def __bool__(self) -> bool:
        return bool(self._lines or self._lost)

    def add(self, line: LogRow) -> int:
        """How many lines wait with this one; 0 if it was lost. A thread other than the loop's may have to wait."""
        on_loop = asyncio._get_running_loop() is self._loop
        with self._room:
            while not self._ended and self._full_since is not None:
                if not on_loop:
                    self._room.wait(0.2)  # not for ever, so that whoever wants to stop the thread can
                elif time.monotonic() - self._full_since > PATIENCE_ON_LOOP:
                    lost, _ = self._lost.get(line.flow_run_id, (0, line))
                    self._lost[line.flow_run_id] = (lost + 1, line)
                    return 0
                else:
                    break
            waiting = len(self._lines) + 1
            self._tell_lost()
            self._take_in(line)
            return waiting

    def first(self, most: int | None) -> list[LogRow]:
        """The first lines, up to `most` or all, which wait here no more; they take their room until they are `done`."""
        with self._room:
            self._tell_lost()
            batch, self._lines = self._lines[:most], [] if most is None else self._lines[most:]
            return batch

    def done(self, batch: Sequence[LogRow]) -> None:
        """These have been written, or never will be: there is room for others."""
        with self._room:
            self._size -= sum(map(_size, batch))
            if self._size <= ROOM:
                self._full_since = None
                self._room.notify_all()

    def end(self) -> None:
        """Let nobody wait for room any more."""
        with self._room:
            self._ended = True
            self._room.notify_all()

    def _take_in(self, line: LogRow) -> None:
        self._lines.append(line)
        self.taken += 1
        self._size += _size(line)
        if self._full_since is None and self._size > ROOM:
            self._full_since = time.monotonic()

    def _tell_lost(self) -> None:
        """Say in the logs where lines are missing."""
        for run_id, (lost, last) in self._lost.items():
            words = f"{lost} lines are missing here: the database could not take them in time"
            self._take_in(LogRow(new_id(), run_id, None, last.timestamp, "WARNING", "prefectlite.log", words))
        self._lost.clear()


def _size(line: LogRow) -> int:
    return len(line.message) + _SIZE_OF_A_ROW
