"""Stopping Python code in another thread, as far as that is possible."""

from __future__ import annotations

import ctypes
import sys
from types import CodeType, FrameType


class Interrupted(BaseException):
    """Raised inside a job that was abandoned, at its next Python instruction."""


def interrupt(thread: int, outermost: CodeType) -> bool:
    """Raise Interrupted in the thread with this number at its next instruction; False if that would be harmful just now.

    `outermost` is the code that called what is to be interrupted.
    """
    if not _is_harmless(sys._current_frames().get(thread), outermost):
        return False
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(Interrupted))
    return True


def _is_harmless(frame: FrameType | None, outermost: CodeType) -> bool:
    """Not where the code that the user's code has called is ours, or `logging`'s, or the import system's: these hold locks,
    and an exception between taking one and the `try` that releases it would leave it taken for ever.
    """
    if frame is not None and frame.f_code.co_filename.startswith("<frozen importlib"):
        return False
    ours = False
    while frame is not None and frame.f_code is not outermost:
        room = str(frame.f_globals.get("__name__")).partition(".")[0]
        if room == "logging" or (ours and room != "prefectlite"):
            return False
        ours = ours or room == "prefectlite"
        frame = frame.f_back
    return True
