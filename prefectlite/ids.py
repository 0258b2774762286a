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
_last = -1
_LOW = (1 << 61) - 1


def _begin_anew() -> None:
    """In a forked child: the lock may be held by a thread it does not have, and its parent counts on from `_last`, too."""
    global _lock, _last
    _lock, _last = threading.Lock(), -1
    _dice.seed()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def new_id() -> str:
    """A UUIDv7 as 36 characters, greater than every one this process made before.

    48 bits of milliseconds, then a counter that starts at random in each millisecond (RFC 9562 §6.2, method 2): ids made in
    one burst still sort in the order they were made.
    """
    global _last
    milliseconds = time.time_ns() // 1_000_000
    with _lock:
        if milliseconds > _last >> 80:
            # 12 bits between the version and the variant, and 61 of the 62 after it: the counter never runs over.
            dice = _dice.getrandbits(73)
            _last = milliseconds << 80 | 0x7 << 76 | dice >> 61 << 64 | 0b10 << 62 | dice & _LOW
        else:
            _last += 1
        value = _last
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_id(text: str) -> bool:
    """Whether `text` is a UUID in its canonical 36-character form, in lower or upper case."""
    try:
        return str(UUID(text)) == text.lower()
    except (ValueError, AttributeError, TypeError):
        return False
