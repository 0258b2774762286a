"""Log lines that wait to be written, as many as there is room for."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Sequence

from prefectlite.ids import new_id
from prefectlite.records import LogRow

#: So many characters, about, may wait to be written, before those who have more have to wait.
ROOM = 32 * 1024 * 1024
#: Seconds for which it may be more, where they cannot wait.
PATIENCE_ON_LOOP = 5.0
_SIZE_OF_A_ROW = 400
_FEW = 5_000


class LogBacklog:
    """Lines in the order they came, from any thread.

    When there is no room, threads wait until there is. What runs on the event loop cannot wait for its own loop: what it
    says is lost after a while, and the log says how many lines are missing.

    As long as there is room nobody takes a lock: threads that log at the same time would hand it, and the interpreter, to
    one another with every line.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lines: deque[LogRow] = deque()
        self._handed_out = 0
        self._size = 0  # of all that is not written yet, about: threads may add to it at the same moment
        self._lost: dict[str, tuple[int, LogRow]] = {}  # flow run -> lines that were lost since the last one taken, the last
        self._room = threading.Condition()
        self._full_since: float | None = None
        self._ended = False

    def __bool__(self) -> bool:
        return bool(self._lines or self._lost)

    @property
    def taken(self) -> int:
        """How many lines have come so far; on the loop's thread."""
        return self._handed_out + len(self._lines)

    def add(self, line: LogRow) -> int:
        """How many lines wait with this one. A thread other than the loop's may have to wait."""
        if self._full_since is None or self._has_room_for(line):
            self._lines.append(line)
            self._size += _size(line)
            if self._size > ROOM and self._full_since is None:
                self._full_since = time.monotonic()
        return len(self._lines)

    def first(self, most: int | None) -> list[LogRow]:
        """The first lines, up to `most` or all, which wait here no more; they take their room until they are `done`."""
        self._tell_lost()
        count = len(self._lines) if most is None else min(most, len(self._lines))
        self._handed_out += count
        return [self._lines.popleft() for _ in range(count)]

    def done(self, batch: Sequence[LogRow]) -> None:
        """These have been written, or never will be: there is room for others."""
        few = len(self._lines) < _FEW
        self._size = sum(map(_size, self._lines.copy())) if few else self._size - sum(map(_size, batch))
        if self._size <= ROOM and self._full_since is not None:
            with self._room:
                self._full_since = None
                self._room.notify_all()

    def end(self) -> None:
        """Let nobody wait for room any more."""
        with self._room:
            self._ended = True
            self._room.notify_all()

    def _has_room_for(self, line: LogRow) -> bool:
        """Whether a line may come in although it is full here: after a while at the latest, unless it is lost."""
        on_loop = asyncio._get_running_loop() is self._loop
        with self._room:
            while not self._ended and self._full_since is not None:
                if on_loop:
                    if time.monotonic() - self._full_since <= PATIENCE_ON_LOOP:
                        return True
                    lost, _ = self._lost.get(line.flow_run_id, (0, line))
                    self._lost[line.flow_run_id] = (lost + 1, line)
                    return False
                self._room.wait(0.2)  # not for ever, so that whoever wants to stop the thread can
        return True

    def _tell_lost(self) -> None:
        """Say in the logs where lines are missing: on the loop, where they were lost."""
        for run_id, (lost, last) in self._lost.items():
            words = f"{lost} lines are missing here: the database could not take them in time"
            self._lines.append(LogRow(new_id(), run_id, None, last.timestamp, "WARNING", "prefectlite.log", words))
        self._lost.clear()


def _size(line: LogRow) -> int:
    return len(line.message) + _SIZE_OF_A_ROW
