"""What a pause says beside its reason: until when it lasts, what happens then, and what whoever ends it has to give.

It lies in the context of a state Paused, as `{"pause": {"expires": …, "then": "fail", "input": {…}}}`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from prefectlite.clock import from_micros, to_micros
from prefectlite.errors import BadRequest
from prefectlite.records import StateRecord, context_of
from prefectlite.states import Cancelling, Failed, Paused, Resume, State

#: The member of a context in which a pause lies, and the one in which lies what people gave who ended pauses.
PAUSE, ANSWERS = "pause", "_answers"
#: What may happen when nobody ends a pause in time.
ENDS = ("fail", "cancel", "resume")


class Pause(msgspec.Struct, frozen=True, omit_defaults=True):
    """`expires` is in ISO 8601, `then` one of ENDS, `input` the JSON schema of what is to be given."""

    expires: str | None = None
    then: str = "fail"
    input: dict[str, Any] | None = None

    @property
    def end(self) -> int | None:
        """When nobody is waited for any more, in microseconds."""
        return None if self.expires is None else to_micros(datetime.fromisoformat(self.expires))


def new_pause(expires: datetime | None, then: str | None, schema: dict[str, Any] | None = None) -> Pause:
    """Raises BadRequest for a `then` that nobody knows, or that never comes."""
    if then is not None and then not in ENDS:
        raise BadRequest(f"then: {then!r} is not one of {', '.join(ENDS)}")
    if then is not None and expires is None:
        raise BadRequest("then: say with expires when that is to happen")
    return Pause(None if expires is None else expires.isoformat(), then or "fail", schema)


def paused(reason: str, pause: Pause) -> Paused:
    """The state of a run that is paused; with a start_time where it goes on by itself then."""
    state = Paused(reason)
    if pause.expires is not None and pause.then == "resume":
        state.start_time = datetime.fromisoformat(pause.expires)
    if document := document_of(pause):
        state.context = {PAUSE: document}
    return state


def document_of(pause: Pause) -> dict[str, Any]:
    """`pause` as it lies in the context of a state."""
    document: dict[str, Any] = msgspec.to_builtins(pause)
    return document


def pause_in(context: dict[str, Any]) -> Pause:
    """The pause that lies in the context of a state; one that says nothing, if none does."""
    try:
        return msgspec.convert(context.get(PAUSE) or {}, Pause)
    except msgspec.ValidationError:  # a context of somebody else's
        return Pause()


def pause_of(record: StateRecord) -> Pause:
    """What a state Paused in the record says; a start_time of a client's own is when it goes on."""
    found = pause_in(context_of(record.details))
    if found.expires is None and record.start_time is not None:
        return Pause(from_micros(record.start_time).isoformat(), "resume", found.input)
    return found


def expired(pause: Pause, now: datetime) -> State:
    """What a flow run is to become, `now`, that nobody resumed in time."""
    words = f"Nobody resumed it until {pause.expires}"
    if pause.then == "resume":
        return Resume(f"{words}: it goes on by itself", start_time=now)
    return Cancelling(words) if pause.then == "cancel" else Failed(words)


def words_of(deed: str, by: str, reason: str | None) -> str:
    """For people: `Resumed by ann: the numbers are right`."""
    return f"{deed} by {by}" + (f": {reason}" if reason else "")
