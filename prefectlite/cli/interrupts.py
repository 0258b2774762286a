"""Ctrl-C for `prefectlite run`: once, and the run is cancelled; twice, and the process is gone."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_GONE = 130


@contextmanager
def interrupts(first: Callable[[], Any], last_words: Callable[[], None]) -> Iterator[None]:
    """Inside this block the first SIGINT or SIGTERM calls `first()`, and a second one ends the process.

    Not by the event loop, which a coroutine may be blocking; so `first` is called in the midst of other code, and should do
    no more than to ask for something. What was acknowledged by then is in the record, and the run can be taken up again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            with suppress(Exception):
                last_words()
            os._exit(_GONE)
        asked = True
        first()

    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
