"""Row ids: UUIDs of version 7 (RFC 9562 §5.7), so that new rows lie at the end of every index."""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections.abc import Iterator
from uuid import UUID

_lock = threading.Lock()
# A generator of our own: `random.seed()` in user code must not make two processes choose the same ids, and asking the
# operating system each time costs ten microseconds when threads compete for the interpreter.
_dice = random.Random()
# Of the last id: its time, all before its last 12 digits, and what counts these up.
_latest: tuple[int, str, Iterator[int]] = -1, "", itertools.count()


def _begin_anew() -> None:
    """In a forked child: the lock may be held by a thread it does not have, and its parent counts on from here, too."""
    global _lock, _latest
    _lock, _latest = threading.Lock(), (-1, "", itertools.count())
    _dice.seed()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def new_id() -> str:
    """A UUIDv7 as 36 characters, greater than every one this process made before.

    48 bits of milliseconds, then what is chosen at random in each millisecond and counted up from there (RFC 9562 §6.2,
    method 2): ids made in one burst still sort in the order they were made.
    """
    milliseconds, head, count = _latest
    now = time.time_ns() // 1_000_000
    if now > milliseconds:
        _, head, count = _begun(now)
    return f"{head}{next(count):012x}"  # counting needs no lock, which threads would hand to one another with every id


def _begun(now: int) -> tuple[int, str, Iterator[int]]:
    """The beginning of the ids of this millisecond."""
    global _latest
    with _lock:
        if now > _latest[0]:
            time_, version, variant = f"{now:012x}", 0x7000 | _dice.getrandbits(12), 0x8000 | _dice.getrandbits(14)
            head = f"{time_[:8]}-{time_[8:]}-{version:04x}-{variant:04x}-"
            _latest = now, head, itertools.count(_dice.getrandbits(47))  # of 48: it never runs over
        return _latest


def is_id(text: str) -> bool:
    """Whether `text` is a UUID in its canonical 36-character form, in lower or upper case."""
    try:
        return str(UUID(text)) == text.lower()
    except (ValueError, AttributeError, TypeError):
        return False
