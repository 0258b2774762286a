"""What this process has written lately."""

from __future__ import annotations

import threading
import time


class Recent:
    """Names by digest, remembered for so many seconds of a clock that stands still with the machine; used by any thread."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._added: dict[bytes, tuple[float, bytes]] = {}  # the oldest first
        self._changing = threading.Lock()

    def add(self, digest: bytes, name: bytes) -> None:
        """What `digest` stands for is written now, under `name`."""
        with self._changing:
            now = time.monotonic()
            self._added.pop(digest, None)
            self._added[digest] = now, name
            while self._added[oldest := next(iter(self._added))][0] < now - self._seconds:
                del self._added[oldest]

    def get(self, digest: bytes, seconds: float | None = None) -> bytes | None:
        """The name it was written under in the last `seconds`, or in all that are remembered."""
        with self._changing:
            when, name = self._added.get(digest, (float("-inf"), b""))
        return name if self._is_since(when, seconds) else None

    def names(self) -> set[bytes]:
        """All that are remembered."""
        with self._changing:
            return {name for when, name in self._added.values() if self._is_since(when, None)}

    def _is_since(self, when: float, seconds: float | None) -> bool:
        return when > time.monotonic() - (self._seconds if seconds is None else seconds)
