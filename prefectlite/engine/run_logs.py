"""What happens in a run's log: lines of Python's logging, also of the loggers of others that the settings name."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefectlite.clock import Clock
from prefectlite.contexts import active_log, active_mask, current_values
from prefectlite.engine.printed import stdout_logged as stdout_logged
from prefectlite.engine.units import Unit
from prefectlite.executors.threads import end_if_abandoned
from prefectlite.ids import new_id
from prefectlite.loggers import ENGINE_NAMES, ROOT_NAME, get_logger
from prefectlite.masks import Mask, masked
from prefectlite.orchestrator.protocols import RunLog
from prefectlite.records import LogRow
from prefectlite.settings import Settings
from prefectlite.shown import printable_lines, shortened
from prefectlite.states import State

#: Longer messages become several lines, up to so many bytes in all.
MOST_OF_A_LINE, MOST_OF_A_MESSAGE = 64 * 1024, 16 * 1024 * 1024
#: With what was logged before it, that is one line.
_MOST_OF_A_TRACEBACK = MOST_OF_A_LINE - 4 * 1024
#: The format of a formatter that was given none.
_ONLY_THE_MESSAGE = "%(message)s"
#: What every record made in a run tells about it, where there is something to tell.
_OF_THE_RUN = ("flow_name", "flow_run_id", "task_name", "task_slug", "task_run_id")
_logger = logging.getLogger("prefectlite.TaskRunner")


def task_begun(unit: Unit) -> None:
    """Say that a pass of `unit` begins."""
    _logger.info("Task '%s': Starting task run...", unit.label)


def task_ended(unit: Unit, state: State) -> None:
    """Say in which state the pass of `unit` ended."""
    _logger.info("Task '%s': Finished task run for task with final state: '%s'", unit.label, state.name)


def is_heard() -> bool:
    """Whether anybody takes what the engine says below WARNING: our own handlers do not, unless asked for everything.

    Making records that nobody takes would cost a task that does little half its time.
    """
    if not _logger.isEnabledFor(logging.INFO):
        return False
    if _logger.isEnabledFor(logging.DEBUG):
        return True
    logger: logging.Logger | None = _logger
    while logger is not None:
        for handler in logger.handlers:
            if not isinstance(handler, _OURS):
                return True
        logger = logger.parent if logger.propagate else None
    return False


class LogSink:
    """The log of the run that is current in a context."""

    def __init__(self, run_log: RunLog, clock: Clock, flow_run_id: str) -> None:
        self._run_log, self._clock, self._flow_run_id = run_log, clock, flow_run_id

    def line(self, level: str, name: str, message: str) -> None:
        """Add a line, attributed to the task run that is current. From any thread."""
        task_run_id, now = current_values().get("task_run_id"), self._clock.micros()
        row = LogRow(new_id(), self._flow_run_id, task_run_id, now, level, name, _clean(masked(message)))
        self._run_log.write(row)


class _Formatter(logging.Formatter):
    """Says what it can of records that cannot be formatted, and keeps head and tail of tracebacks that nobody would read."""

    def format(self, record: logging.LogRecord) -> str:
        try:
            if self._fmt == _ONLY_THE_MESSAGE and not (record.exc_info or record.exc_text or record.stack_info):
                record.message = message = record.getMessage()  # as nearly always
                return message
            return super().format(record)
        except Exception:
            told = logging.makeLogRecord({**record.__dict__, "msg": _unformattable(record), "args": None})
            return super().format(told)

    def formatException(self, ei: Any) -> str:
        try:
            return shortened(super().formatException(ei), _MOST_OF_A_TRACEBACK)
        except Exception:  # the user's exceptions are asked
            return f"{type(ei[1]).__name__} (its traceback cannot be told)"


class _ForPeople(_Formatter):
    """Spells control characters out, and indents what follows a line break: no line looks like one of another record."""

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record), "  ")


class RunLogHandler(logging.Handler):
    """Sends records that are made inside a run to that run's log, and has every record say in which run it was made.

    It stands first among the handlers of a logger, so that the others find those attributes. A record factory, which is the
    other way to have them everywhere, belongs to the whole process, and so to the application that this is a guest in.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(_Formatter())
        self.attributes: tuple[str, ...] = ()  # further values of the context that records carry, be they None

    def handle(self, record: logging.LogRecord) -> bool:
        """Without the lock that handlers have: a thread may have to wait for the database, and the loop must not with it."""
        self._attribute(record)
        self.emit(record)
        return True

    def _attribute(self, record: logging.LogRecord) -> None:
        values, attributes = current_values(), record.__dict__
        for name in _OF_THE_RUN:
            if value := values.get(name):
                attributes.setdefault(name, value)
        for name in self.attributes:
            attributes.setdefault(name, values.get(name))

    def emit(self, record: logging.LogRecord) -> None:
        end_if_abandoned()
        mask: Mask | None = active_mask.get()
        if mask is not None and not mask.is_empty:
            self._hide(record, mask)
        sink = active_log.get()
        if sink is None or not _is_stored(record) or "in_run_log" in record.__dict__:
            return
        record.in_run_log = True  # it comes again where this stands on the logger's parent, too
        message = self.format(record)
        for part in [message] if len(message) <= MOST_OF_A_LINE else _parts(message):
            sink.line(record.levelname, record.name, part)

    def _hide(self, record: logging.LogRecord, mask: Mask) -> None:
        """Hide secrets from all handlers that are still to come, too."""
        text = self.format(record)
        if (hidden := mask.hide(text)) != text:
            record.msg, record.args, record.message = hidden, None, hidden
            record.exc_info = record.exc_text = record.stack_info = None


def _is_for_people(record: logging.LogRecord) -> bool:
    """Whether the terminal should show it: not what it shows anyway, nor, unless asked for, that all goes well."""
    if "printed" in record.__dict__ or (_unshown and active_log.get() is not None):
        return False
    return _is_stored(record) or get_logger().getEffectiveLevel() <= logging.DEBUG


def _is_stored(record: logging.LogRecord) -> bool:
    # What the engine says below WARNING is in the record as states.
    return record.levelno >= logging.WARNING or record.name not in ENGINE_NAMES or "printed" in record.__dict__


class _Console(logging.StreamHandler[Any]):
    """Standard error, where nobody else shows records."""


class _Place:
    """A logger with our handlers on it, for as long as any session wants them there."""

    def __init__(self, name: str, settings: Settings, console_wanted: bool) -> None:
        self._logger = logging.getLogger(name)
        self.sessions = 0
        self._handlers: list[logging.Handler] = [_handler]
        if console_wanted and not self._logger.hasHandlers():
            console = _Console()
            console.addFilter(_is_for_people)
            console.setFormatter(_ForPeople(settings.log_format, settings.log_datefmt))
            self._logger.addHandler(console)
            self._handlers.append(console)
        self._logger.addHandler(_handler)
        self._logger.handlers.sort(key=lambda handler: handler is not _handler)
        self._level = logging.getLevelName(settings.log_level)
        self._is_our_level = self._logger.level == logging.NOTSET
        if self._is_our_level:
            self._logger.setLevel(self._level)

    def leave(self) -> None:
        for handler in self._handlers:
            self._logger.removeHandler(handler)
        if self._is_our_level and self._logger.level == self._level:  # else somebody has set one since
            self._logger.setLevel(logging.NOTSET)


_OURS = (RunLogHandler, _Console)
_handler = RunLogHandler()
_unshown = 0
_places: dict[str, _Place] = {}
_lock = threading.Lock()


@contextmanager
def runs_unshown() -> Iterator[None]:
    """In this block standard error does not show what is logged in runs; their logs have it."""
    global _unshown
    _unshown += 1
    try:
        yield
    finally:
        _unshown -= 1


def shows_runs() -> bool:
    """Whether standard error shows what is logged in runs."""
    return not _unshown


@contextmanager
def logging_installed(settings: Settings) -> Iterator[None]:
    """Python's logging feeds the runs' logs inside this block, and goes to standard error if it goes nowhere else.

    Several sessions of a process share what is installed, and the first decides on level and format.
    """
    names = dict.fromkeys((*settings.extra_loggers, ROOT_NAME))
    with _lock:
        console_wanted = not get_logger().hasHandlers()  # else somebody shows them: the application, or `prefectlite run`
        for name in names:
            if name not in _places:
                _places[name] = _Place(name, settings, console_wanted)
            _places[name].sessions += 1
        _handler.attributes = tuple(dict.fromkeys((*_handler.attributes, *settings.log_attributes)))
    try:
        yield
    finally:
        with _lock:
            for name in names:
                _places[name].sessions -= 1
                if not _places[name].sessions:
                    _places.pop(name).leave()
            if not _places:
                _handler.attributes = ()


def _parts(message: str) -> Iterator[str]:
    for start in range(0, min(len(message), MOST_OF_A_MESSAGE), MOST_OF_A_LINE):
        yield message[start : start + MOST_OF_A_LINE]
    if left_out := message[MOST_OF_A_MESSAGE:].encode("utf-8", "surrogatepass"):
        yield f"«{len(left_out):,} bytes more of this message are not in the log»"


def _unformattable(record: logging.LogRecord) -> str:
    arguments = record.args if isinstance(record.args, tuple) else (record.args,)
    kinds = ", ".join(type(argument).__name__ for argument in arguments)
    try:
        message = f"{record.msg!r:.200}"
    except Exception:
        message = type(record.msg).__name__
    return f"«unformattable» {message} with {kinds or 'nothing'}"


def _clean(message: str) -> str:
    # NUL and lone surrogates are the two kinds of character that databases refuse.
    if message.isascii() and "\x00" not in message:
        return message
    return message.replace("\x00", "␀").encode("utf-8", "backslashreplace").decode("utf-8")
