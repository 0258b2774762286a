"""Notices code that blocks the event loop."""

from __future__ import annotations

import asyncio
import asyncio.events
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import Context
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from prefectlite.contexts import context

#: How often the loop is asked for a sign of life within the time it may be blocked for.
LOOKS = 4

_logger = logging.getLogger("prefectlite.watchdog")
_RUN_OF_HANDLE = asyncio.events.Handle._run.__code__
_OURS = str(Path(__file__).parents[1])
_MESSAGE = (
    "%s blocks the event loop, for %.1f s so far: nothing else in this process goes on meanwhile. "
    "Let it `await`, or write it as a plain function, which runs in a thread. It is at:\n%s"
)


class Blockage(NamedTuple):
    """Code that has kept the loop from everything else for `seconds`, and still does."""

    name: str  # of what blocks: "Task 'x' of flow run 'y'", or of the asyncio task where it belongs to no run
    task: asyncio.Task[Any] | None  # None: a callback
    stack: str  # as in a traceback, from the user's code on
    seconds: float


class Watchdog:
    """Warns, once each time, when one step of a coroutine blocks the running event loop for longer than `limit` seconds.

    Half as much again may pass before it does; time is the computer's, whatever clock the runs go by; 0 switches it off. The
    warning is logged to "prefectlite.watchdog" in the coroutine's own context, so that it is in its run's log, too; then
    `report`, if given, is called, in the same context. Both happen in the watchdog's thread, while the loop is blocked.

    It works inside `watching()` only. Otherwise its thread sleeps, and there is no timer.
    """

    def __init__(self, limit: float, report: Callable[[Blockage], None] | None = None) -> None:
        self._limit, self._report = limit, report
        self._users = 0
        self._wanted = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        clock_of = getattr(time, "pthread_getcpuclockid", None)
        self._cpu_clock: int | None = clock_of and clock_of(self._loop_thread)
        self._answered = True

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the loop at least until the end of the block, which is entered and left on the loop."""
        if self._limit <= 0 or self._closed.is_set():
            yield
            return
        self._users += 1
        if self._users == 1:
            self._wanted.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="prefectlite-watchdog", daemon=True)
            self._thread.start()
        try:
            yield
        finally:
            self._users -= 1
            if not self._users and not self._closed.is_set():
                self._wanted.clear()

    def close(self) -> None:
        """Let the thread go."""
        self._closed.set()
        self._wanted.set()

    # -- in the thread --------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        key: tuple[int, int] | None = None  # of the step that the loop is at
        since, reported = 0.0, False
        while not self._closed.is_set() and not self._loop.is_closed():
            self._wanted.wait()
            if self._answered:
                self._ask()
            asked, worked = time.monotonic(), self._worked()
            self._closed.wait(self._limit / LOOKS)
            now = time.monotonic()
            # Code that keeps the interpreter to itself does not let this thread look either, until it is too late.
            kept_away = now - asked > self._limit
            # … and then it matters whether it was the loop's code, not another thread's, or a sleep of the whole process.
            looks = self._worked() - worked > (now - asked) / 2 if kept_away else not self._answered
            step = self._look() if looks else None
            if step is None:
                key = None
                continue
            if step.key != key:
                key, since, reported = step.key, asked if kept_away else now, False
            if not reported and now - since > self._limit:
                reported = True
                self._warn(step, now - since)
            del step  # its frames

    def _ask(self) -> None:
        self._answered = False
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._answer)

    def _worked(self) -> float:
        """Seconds that the loop's thread has had a processor."""
        try:
            return time.monotonic() if self._cpu_clock is None else time.clock_gettime(self._cpu_clock)
        except OSError:  # the thread is gone
            return 0.0

    def _answer(self) -> None:
        self._answered = True

    def _look(self) -> _Step | None:
        """The step that the loop is at; None while it waits, or is between two."""
        frame = sys._current_frames().get(self._loop_thread)
        frames: list[FrameType] = []
        while frame is not None and frame.f_code is not _RUN_OF_HANDLE:
            frames.append(frame)
            frame = frame.f_back
        # The handle knows the context that its step runs in, which a task does not tell before Python 3.12.
        handle: Any = frame.f_locals.get("self") if frame is not None and frames else None
        return None if handle is None else _Step(frames, asyncio.current_task(self._loop), handle._context)

    def _warn(self, step: _Step, seconds: float) -> None:
        inside = step.context.copy()  # the original is entered, in the loop's thread
        found = Blockage(inside.run(_name, step.task), step.task, step.stack(), seconds)
        with suppress(Exception):
            inside.run(_logger.warning, _MESSAGE, found.name, seconds, found.stack)
        if self._report is not None:
            with suppress(Exception):
                inside.run(self._report, found)


class _Step:
    """What the loop is at: one step of a task, or a callback. Keeps its frames alive."""

    def __init__(self, frames: list[FrameType], task: asyncio.Task[Any] | None, context: Context) -> None:
        self._frames = frames  # the innermost first
        self.task, self.context = task, context
        self.key = (id(frames[-1]), id(task))

    def stack(self) -> str:
        """The lines of code it is at, as in a traceback, from the user's on."""
        frames = list(reversed(self._frames))
        users = next((n for n, frame in enumerate(frames) if not frame.f_code.co_filename.startswith(_OURS)), 0)
        lines = traceback.StackSummary.extract((frame, frame.f_lineno) for frame in frames[users:])
        return "".join(lines.format()).rstrip("\n")


def _name(task: asyncio.Task[Any] | None) -> str:
    """What runs in the current context, for a person."""
    label, run = context.get("task_full_name") or context.get("task_name"), context.get("flow_run_name")
    if label is not None:
        return f"Task '{label}' of flow run '{run}'"
    return f"The asyncio task {task.get_name()!r}" if task is not None else "A callback of the event loop"
