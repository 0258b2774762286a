"""Standard output whose reader may go away, or whose disk may be full: the run goes on, in silence."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click


class PatientOutput:
    """A text stream that says once, on standard error, when it cannot be written to, and is silent from then on.

    What tasks print goes through it, too: that nobody reads it is no reason for them to fail.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """As of any text stream; what cannot be written is lost."""
        try:
            return int(self._stream.write(text))
        except UnicodeEncodeError:
            encoding = self._stream.encoding or "ascii"
            return self.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except OSError as error:
            self._fall_silent(error)
            return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """As of any text stream."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """As of any text stream."""
        try:
            self._stream.flush()
        except OSError as error:
            self._fall_silent(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _fall_silent(self, error: OSError) -> None:
        if not isinstance(error, BrokenPipeError):  # who closes a pipe, as `| head` does, has seen enough
            click.echo(
                f"Error: standard output cannot be written to ({error.strerror}); the run goes on without it", err=True
            )
        # The descriptor itself, because what is buffered is written later, and other code writes to it directly.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        with suppress(OSError):
            self._stream.flush()


@contextmanager
def patient_stdout() -> Iterator[None]:
    """Standard output is patient inside this block."""
    before = sys.stdout
    if before is None:  # it was closed before this process began
        yield
        return
    sys.stdout = PatientOutput(before)
    try:
        yield
        sys.stdout.flush()
    finally:
        sys.stdout = before


def open_the_standard_descriptors() -> None:
    """Let 0, 1 and 2 be something: the next file to be opened, such as a database, must not become standard output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
