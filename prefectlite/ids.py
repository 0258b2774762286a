"""Row ids: UUIDs of version 7 (RFC 9562 §5.7), so that new rows lie at the end of every index."""

from __future__ import annotations

import os
import random
import threading
import time
from uuid import UUID

_lock = threading.Lock()
# A generator of our own: `random.seed()` in user code must not make two processes choose the same ids, and asking the
# operating system each time costs ten microseconds when threads compete for the interpreter.
_dice = random.Random()
_last = 0


def _begin_anew() -> None:
    """In a forked child: the lock may be held by a thread it does not have, and its parent counts on from `_last`, too."""
    global _lock, _last
    _lock, _last = threading.Lock(), 0
    _dice.seed()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def new_id() -> str:
    """A UUIDv7 as 36 characters, greater than every one this process made before.

    48 bits of milliseconds, then a 74-bit counter that starts at random in each millisecond (RFC 9562 §6.2, method 2):
    ids made in one burst still sort in the order they were made.
    """
    global _last
    fresh = time.time_ns() // 1_000_000 << 74 | _dice.getrandbits(63)
    with _lock:
        _last = value = fresh if fresh > _last else _last + 1
    high, low = value >> 62, value & 0x3FFF_FFFF_FFFF_FFFF
    text = f"{high >> 12 << 16 | 0x7000 | high & 0xFFF:016x}{low | 1 << 63:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_id(text: str) -> bool:
    """Whether `text` is a UUID in its canonical 36-character form, in lower or upper case."""
    try:
        return str(UUID(text)) == text.lower()
    except (ValueError, AttributeError, TypeError):
        return False
