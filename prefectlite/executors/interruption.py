"""Stopping Python code in another thread, as far as that is possible."""

from __future__ import annotations

import ctypes
import sys
from types import CodeType, FrameType
from typing import Any

_TAKING_LOCKS = ("acquire", "release", "handle", "_acquireLock", "_releaseLock")


class Interrupted(BaseException):
    """Raised inside a job that was abandoned, at its next Python instruction."""


def interrupt(thread: int, outermost: CodeType) -> bool:
    """Raise Interrupted in the thread with this number at its next instruction; False if that would be harmful just now.

    Nothing is raised in a thread that is on its way out. `outermost` is the code that called what is to be interrupted.
    """
    if _is_leaving(thread):
        return True
    if not _is_harmless(sys._current_frames().get(thread), outermost):
        return False
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(Interrupted))
    return True


def _is_leaving(thread: int) -> bool:
    """Whether the thread is in an `except` or `finally` that Interrupted led to: cleaning up is left in peace."""
    current: Any = sys._current_exceptions().get(thread)
    error: BaseException | None = current[1] if isinstance(current, tuple) else current  # a tuple before Python 3.12
    while error is not None and not isinstance(error, Interrupted):
        error = error.__context__
    return error is not None


def _is_harmless(frame: FrameType | None, outermost: CodeType) -> bool:
    """Whether an exception may be raised at `frame`; it will be, at this very place, before the thread does anything else.

    Not while it takes a lock of `logging`'s or of the import system's: that would stay taken for ever. And not while it is
    in our own code, called by the user's.
    """
    if frame is None:
        return True
    innermost = frame.f_code
    if innermost.co_filename.startswith("<frozen importlib"):
        return False
    if innermost.co_name in _TAKING_LOCKS and _room(frame) == "logging":
        return False
    ours = False
    while frame is not None and frame.f_code is not outermost:
        if _room(frame) == "prefectlite":
            ours = True
        elif ours:
            return False
        frame = frame.f_back
    return True


def _room(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]
