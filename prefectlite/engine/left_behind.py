"""What tasks do to the process they share with everybody: noticed when their code has ended.

Only what is cheap to see is looked at: the working directory and `sys.stdout`. It is not put back, because at the same
time other tasks may have changed it for themselves. The environment, the umask and the locale are not watched, and signal
handlers cannot be set in worker threads. A task that needs a process of its own gets one from `ProcessExecutor`.
"""

from __future__ import annotations

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
    """What of the process a task found when it began."""

    process: int
    directory: str | None
    stdout: Any


def shared_now() -> Shared:
    """What there is now."""
    try:
        directory = os.getcwd()  # noqa: PTH109 - every plain task pays for it, and Path.cwd() costs ten times as much
    except OSError:  # it was deleted
        directory = None
    return Shared(os.getpid(), directory, sys.stdout)


def check(label: str, before: Shared) -> None:
    """Warn of what is not any more as it was when the task `label` began."""
    now = shared_now()
    if now.directory != before.directory:
        _logger.warning(
            "Task '%s' found the working directory %s, and leaves the process in %s: all tasks share it. Use"
            " `contextlib.chdir`, or executor=ProcessExecutor() (a task that ran at the same time may have done it, too)",
            label,
            before.directory,
            now.directory,
        )
    if now.stdout is not before.stdout and not is_ours(now.stdout) and not is_ours(before.stdout):
        _logger.warning(
            "Task '%s' leaves another sys.stdout behind, which all tasks share: use `contextlib.redirect_stdout`, or"
            " executor=ProcessExecutor() (a task that ran at the same time may have done it, too)",
            label,
        )


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
