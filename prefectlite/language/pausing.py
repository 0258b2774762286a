"""Pausing a run from inside of a task."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeVar, overload

import msgspec

from prefectlite.clock import current_time
from prefectlite.contexts import context
from prefectlite.errors import FlowError
from prefectlite.pauses import ANSWERS, Pause, document_of, new_pause
from prefectlite.pauses import PAUSE as PLACE
from prefectlite.signals import PAUSE

T = TypeVar("T")
_MESSAGE = "Pause signal raised during task execution."


@overload
def pause_task(
    message: str | None = None,
    duration: timedelta | None = None,
    *,
    input: None = None,
    expires: timedelta | None = None,
    then: str | None = None,
) -> None: ...


@overload
def pause_task(
    message: str | None = None,
    duration: None = None,
    *,
    input: type[T],
    expires: timedelta | None = None,
    then: str | None = None,
) -> T: ...


def pause_task(
    message: str | None = None,
    duration: timedelta | None = None,
    *,
    input: Any = None,
    expires: timedelta | None = None,
    then: str | None = None,
) -> Any:
    """Pause the task that calls this until a person resumes it, or for `duration`; then it runs anew, and passes here.

    With an `input`, a type that msgspec knows, whoever resumes it has to give a value of that type, which is returned here.
    If nobody has come when the time `expires` is over, the task fails, or what `then` says: "cancel" or "resume" it.
    Raises the signal PAUSE, unless the task has been resumed; FlowError for what cannot be asked for.
    """
    answers = context.get("resume_inputs")
    if input is not None and answers is not None and answers.has_next:
        try:
            return answers.take(input)
        except msgspec.ValidationError as error:  # what a JSON schema cannot say
            message = f"{message or _MESSAGE} What was given last is not as asked for: {error}"
    elif input is None and context.get("resume"):
        return None
    if duration is not None and (input is not None or expires is not None):
        raise FlowError("pause_task: after `duration` the task goes on by itself: it takes no input and does not expire")
    now = current_time()
    pause = new_pause(None if expires is None else now + expires, then, None if input is None else _schema(input))
    signal = PAUSE(message or _MESSAGE, start_time=None if duration is None else now + duration)
    if pause != Pause():
        signal.state.context[PLACE] = document_of(pause)
    if answers is not None:
        signal.state.context[ANSWERS] = answers.taken  # nobody is asked the same again
    raise signal


def _schema(type_: Any) -> dict[str, Any]:
    try:
        return msgspec.json.schema(type_)
    except TypeError as error:
        raise FlowError(f"pause_task: nobody can be asked for {type_!r}: {error}") from None


class Answers:
    """What people gave to the pauses of one task run, in their order. Each pass through the task takes them anew."""

    def __init__(self, given: list[Any]) -> None:
        self._given, self._next = given, 0

    @property
    def has_next(self) -> bool:
        """Whether the next pause was answered."""
        return self._next < len(self._given)

    @property
    def taken(self) -> list[Any]:
        """The answers that were taken so far."""
        return self._given[: self._next]

    def take(self, type_: Any) -> Any:
        """The answer to the next pause, as a value of this type. Raises ValidationError if it is none, and leaves it."""
        value = msgspec.convert(self._given[self._next], type_)
        self._next += 1
        return value
