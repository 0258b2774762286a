"""What tasks with `log_stdout=True` print: lines of their own in the run's log, as well as output."""

from __future__ import annotations

import codecs
import logging
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from prefectlite.executors.threads import end_if_abandoned

#: Longer lines become several.
MOST_OF_A_LINE = 64 * 1024
#: Bytes of one task run that are logged; of what it prints beyond that the log has the count.
MOST_OF_A_TASK = 16 * 1024 * 1024

_logger = logging.getLogger("prefectlite.TaskRunner")


class _Printing:
    """What one task prints, on its way from pieces to lines. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pieces: list[str] = []  # of the line that is being printed
        self._length = 0
        self._kept = self._left_out = 0
        self._ended = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def write(self, text: str) -> None:
        with self._lock:
            self._pieces.append(text)
            self._length += len(text)
            if "\n" not in text and self._length <= MOST_OF_A_LINE and not self._ended:
                return
            lines = self._lines()
        _log(lines)

    def write_bytes(self, data: Any) -> None:
        with self._lock:
            text = self._decoder.decode(bytes(data))
        self.write(text)

    def end(self) -> None:
        """Log what is left; what is still printed, by a thread that goes on, is logged as it comes."""
        with self._lock:
            self._ended = True
            self._pieces.append(self._decoder.decode(b"", True))
            lines = self._lines()
            left_out, self._left_out = self._left_out, 0
        _log([*lines, f"«{left_out:,} bytes more were printed and are not in the log»"] if left_out else lines)

    def _lines(self) -> list[str]:
        """The lines that are complete; what follows them is kept until it is, or is too long to wait."""
        lines = "".join(self._pieces).split("\n")
        rest = ""
        if not self._ended:
            rest = lines.pop()
            if full := len(rest) - len(rest) % MOST_OF_A_LINE:
                lines.append(rest[:full])
                rest = rest[full:]
        self._pieces, self._length = [rest], len(rest)
        return [part for line in lines if not line.isspace() for part in self._parts(line)]

    def _parts(self, line: str) -> Iterator[str]:
        if self._kept + len(line) > MOST_OF_A_TASK or len(line) > MOST_OF_A_LINE:
            for start in range(0, len(line), MOST_OF_A_LINE):
                part = line[start : start + MOST_OF_A_LINE]
                size = _size(part)
                if self._kept + size <= MOST_OF_A_TASK:
                    self._kept += size
                    yield part
                else:
                    self._left_out += size
        elif line:
            self._kept += _size(line)
            yield line


#: What the task prints whose code this is, if it has `log_stdout=True`.
_printing: ContextVar[_Printing | None] = ContextVar("prefectlite_printing", default=None)


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _log(lines: Iterable[str]) -> None:
    if not lines or not _logger.isEnabledFor(logging.INFO):
        return
    token = _printing.set(None)  # a handler that prints must not have that logged, and that, and that
    try:
        for line in lines:
            # Made by hand: `_logger.info` would look through the stack for who called, and find this module.
            # A lone surrogate, which no handler can write, is spelt out.
            text = line if line.isascii() else line.encode("utf-8", "backslashreplace").decode("utf-8")
            record = _logger.makeRecord(_logger.name, logging.INFO, "<stdout>", 0, text, (), None)
            record.printed = True
            _logger.handle(record)
    finally:
        _printing.reset(token)


class _Stdout:
    """Standard output that also feeds the logs of tasks which asked for it; in place while there is any such task."""

    users = 0
    lock = threading.Lock()

    def __init__(self, original: Any) -> None:
        self.original = original

    def write(self, text: str) -> int:
        printing = _printing.get()
        if printing is None:
            return self._pass_on(text)
        end_if_abandoned()
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        printing.write(text)
        try:
            return self._pass_on(text)
        except UnicodeEncodeError:  # a line that the log takes must not end the task because the terminal does not
            encoding = self.original.encoding or "utf-8"
            return self._pass_on(text.encode(encoding, "backslashreplace").decode(encoding))

    def _pass_on(self, text: str) -> int:
        return len(text) if self.original is None else self.original.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if self.original is not None:  # it was closed before this process began
            self.original.flush()

    @property
    def buffer(self) -> Any:
        return _Buffer(self.original.buffer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


class _Buffer:
    """The bytes beneath standard output, likewise."""

    def __init__(self, original: Any) -> None:
        self.original = original

    def write(self, data: Any) -> int:
        if (printing := _printing.get()) is not None:
            printing.write_bytes(data)
        return self.original.write(data)  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


def is_ours(stream: Any) -> bool:
    """Whether `stream` is what stands in the place of standard output while there are such tasks."""
    return isinstance(stream, _Stdout)


@contextmanager
def stdout_logged() -> Iterator[None]:
    """What is printed in this context, and in threads that carry it, is logged line by line, too."""
    printing = _Printing()
    token = _printing.set(printing)
    with _Stdout.lock:
        if not isinstance(sys.stdout, _Stdout):
            sys.stdout = _Stdout(sys.stdout)
        _Stdout.users += 1
    try:
        yield
    finally:
        with _Stdout.lock:
            _Stdout.users -= 1
            if not _Stdout.users and isinstance(sys.stdout, _Stdout):
                sys.stdout = sys.stdout.original
        printing.end()
        _printing.reset(token)
