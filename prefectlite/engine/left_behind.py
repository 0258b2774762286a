"""What tasks do to the process they share with everybody: noticed when their code has ended.

Only what is cheap to see is looked at: the working directory and `sys.stdout`. It is not put back, because at the same
time other tasks may have changed it for themselves. The environment, the umask and the locale are not watched, and signal
handlers cannot be set in worker threads. A task that needs a process of its own gets one from `ProcessExecutor`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import traceback
from contextlib import suppress
from typing import Any, NamedTuple, NoReturn

from prefectlite.engine.outcomes import users_part
from prefectlite.engine.printed import is_ours

_logger = logging.getLogger("prefectlite.TaskRunner")


class Shared(NamedTuple):
    """What tasks find, and share."""

    directory: str | None
    stdout: Any


class Watch:
    """Looks at what plain tasks share when some have ended: once in a turn of the loop, however many that were.

    Looking costs two hand-overs of the interpreter between threads, so each task for itself would pay too much for it.
    """

    def __init__(self) -> None:
        self._at_work = 0
        self._ended: list[str] = []
        self._before = Shared(None, None)
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self) -> None:
        """A task begins."""
        if not self._at_work and not self._ended:  # between tasks the application may do what it likes
            self._before, self._loop = _shared_now(), asyncio.get_running_loop()
        self._at_work += 1

    def end(self, label: str) -> None:
        """The task `label` has ended."""
        self._at_work -= 1
        if self._loop is None or self._loop.is_closed():
            return  # it ends because its loop did
        if not self._ended:
            self._loop.call_soon(self._look)
        self._ended.append(label)

    def _look(self) -> None:
        who, before, now = _named(self._ended), self._before, _shared_now()
        self._ended, self._before = [], now
        if now.directory != before.directory:
            _logger.warning(
                "%s found the working directory %s, and leaves the process in %s: all tasks share it. Use"
                " contextlib.chdir or executor=ProcessExecutor() (a task that ran at the same time may have done it, too)",
                who,
                before.directory,
                now.directory,
            )
        if now.stdout is not before.stdout and not is_ours(now.stdout) and not is_ours(before.stdout):
            _logger.warning(
                "%s leaves another sys.stdout behind, which all tasks share: use `contextlib.redirect_stdout`, or"
                " executor=ProcessExecutor() (a task that ran at the same time may have done it, too)",
                who,
            )


def _named(labels: list[str]) -> str:
    more = f" (or one of {len(labels) - 1:,} more that ended then)" if len(labels) > 1 else ""
    return f"Task '{labels[0]}'{more}"


def _shared_now() -> Shared:
    try:
        directory = os.getcwd()  # noqa: PTH109 - Path.cwd() costs ten times as much
    except OSError:  # it was deleted
        directory = None
    return Shared(directory, sys.stdout)


def end_child(error: BaseException | None = None) -> NoReturn:
    """End a process that user code forked, when its code has ended there: the run, and the database, are its parent's."""
    code: Any = 0
    if isinstance(error, SystemExit):
        code = 0 if error.code is None else error.code if isinstance(error.code, int) else 1
    elif error is not None:
        traceback.print_exception(error.with_traceback(users_part(error.__traceback__)))
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code & 0xFF)
