"""What happens in a run's log: lines of Python's logging and, where a task asks for it, of standard output."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

from prefectlite.clock import Clock, to_micros
from prefectlite.contexts import active_log, context
from prefectlite.ids import new_id
from prefectlite.orchestrator.protocols import RunLog
from prefectlite.records import LogRow

#: True inside a task with `log_stdout=True`.
_captures_stdout: ContextVar[bool] = ContextVar("prefectlite_captures_stdout", default=False)


class LogSink:
    """The log of the run that is current in a context."""

    def __init__(self, run_log: RunLog, clock: Clock, flow_run_id: str) -> None:
        self._run_log, self._clock, self._flow_run_id = run_log, clock, flow_run_id

    def line(self, level: str, name: str, message: str) -> None:
        """Add a line, attributed to the task run that is current. From any thread."""
        now = to_micros(self._clock.now())
        row = LogRow(new_id(), self._flow_run_id, context.get("task_run_id"), now, level, name, _clean(message))
        self._run_log.write(row)


class RunLogHandler(logging.Handler):
    """Sends records that are made inside a run to that run's log."""

    def emit(self, record: logging.LogRecord) -> None:
        sink = active_log.get()
        if sink is None:
            return
        try:
            sink.line(record.levelname, record.name, self.format(record))
        except Exception:
            sink.line(record.levelname, record.name, f"«unformattable» {record.msg!r:.200} {type(record.args).__name__}")


class _Stdout:
    """Standard output that also feeds the log of tasks which asked for it; in place while there is any such task."""

    users = 0

    def __init__(self, original: TextIO) -> None:
        self.original = original

    def write(self, text: str) -> int:
        if _captures_stdout.get() and isinstance(text, str) and text.strip():
            sink = active_log.get()
            if sink is not None:
                sink.line("INFO", "prefectlite.stdout", text.rstrip("\n"))
        return self.original.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


@contextmanager
def stdout_logged() -> Iterator[None]:
    """What is printed in this context, and in threads that carry it, is logged, too. On the loop's thread only."""
    token = _captures_stdout.set(True)
    if not isinstance(sys.stdout, _Stdout):
        sys.stdout = _Stdout(sys.stdout)
    _Stdout.users += 1
    try:
        yield
    finally:
        _Stdout.users -= 1
        if not _Stdout.users and isinstance(sys.stdout, _Stdout):
            sys.stdout = sys.stdout.original
        _captures_stdout.reset(token)


@contextmanager
def logging_installed(level: str) -> Iterator[None]:
    """Python's logging feeds the runs' logs inside this block, and warnings go to standard error if they go nowhere else."""
    logger = logging.getLogger("prefectlite")
    handlers: list[logging.Handler] = [RunLogHandler()]
    handlers[0].setFormatter(logging.Formatter("%(message)s"))
    if not logger.hasHandlers():
        console = logging.StreamHandler()
        console.setLevel(logging.WARNING)
        console.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S"))
        handlers.append(console)
    before = logger.level
    for handler in handlers:
        logger.addHandler(handler)
    if before == logging.NOTSET:
        logger.setLevel(level)
    try:
        yield
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
        logger.setLevel(before)


def _clean(message: str) -> str:
    # NUL and lone surrogates are the two kinds of character that databases refuse.
    return message.replace("\x00", "␀").encode("utf-8", "backslashreplace").decode("utf-8")
