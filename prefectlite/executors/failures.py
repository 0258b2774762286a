"""What a task raised in another process, as itself or, where it cannot be pickled, as a stand-in."""

from __future__ import annotations

import builtins
import pickle
import traceback
from types import TracebackType
from typing import Any, NamedTuple

from prefectlite.executors.channel import pickled


class WorkerTraceback(Exception):
    """The cause of an error that came from a worker process: where it was raised there, as text."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class Failure(NamedTuple):
    """What travels of an exception."""

    pickled: bytes | None
    name: str
    bases: tuple[str, ...]  # built-in ones, the nearest first
    text: str
    shown: str
    trace: str


def failure(error: BaseException, since: TracebackType | None) -> Failure:
    """`error` as it travels; its traceback is told from `since` on."""
    bases = tuple(kind.__name__ for kind in type(error).__mro__ if getattr(builtins, kind.__name__, None) is kind)
    trace = "".join(traceback.format_exception(type(error), error, since or error.__traceback__))
    return Failure(_pickled(error), type(error).__name__, bases[:-1], _told(str, error), _told(repr, error), trace)


def restored(failed: Failure) -> BaseException:
    """The exception itself, or a stand-in of the same name, with the worker's traceback as its cause."""
    try:
        error = pickle.loads(failed.pickled or b"")
    except BaseException:  # such as a class whose `__init__` wants more than `args` has
        error = None
    if not isinstance(error, BaseException):
        error = stand_in(failed.name, failed.bases, failed.text, failed.shown)
    told: BaseException = error
    told.__cause__ = WorkerTraceback(failed.trace)
    return told


def stand_in(name: str, bases: tuple[str, ...], text: str, shown: str) -> BaseException:
    """An exception of a new class `name` below the first built-in one of `bases` that can be derived from, saying `text`."""
    for base in bases:
        try:
            kind: Any = type(name, (getattr(builtins, base),), {"__module__": "worker"} | _SPEECH)
            error: BaseException = kind.__new__(kind)
        except TypeError:
            continue
        error.args = (text,)
        error.__dict__["_told"] = (name, bases, text, shown)
        return error
    return RuntimeError(f"{name}: {text}")


def _say(self: Any) -> str:
    return str(self._told[2])


def _show(self: Any) -> str:
    return str(self._told[3])


def _again(self: Any) -> Any:
    return stand_in, self._told


_SPEECH = {
    "__str__": _say,
    "__repr__": _show,
    "__reduce__": _again,
    "__doc__": "Stands for an exception of a worker process.",
}


def _pickled(error: BaseException) -> bytes | None:
    try:
        return pickled(error)
    except BaseException:  # the user's code is asked how
        return None


def _told(how: Any, error: BaseException) -> str:
    try:
        return str(how(error))
    except BaseException:
        return f"{type(error).__name__} (its text cannot be told)"
