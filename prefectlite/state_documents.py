"""States as JSON objects and back, in the shape Prefect 1.x gives them; values of results stay out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from prefectlite.errors import SerializationError
from prefectlite.shown import told
from prefectlite.version import __version__

if TYPE_CHECKING:
    from prefectlite.state import State

_MOMENTS = ("start_time", "cached_result_expiration")
_LISTED = 1_000_000  # children whose unknown states are listed one by one; beyond that, their number has to do
_COUNTS = ("run_count", "loop_count", "n_map_states")


def document_of(state: State) -> dict[str, Any]:
    """`state` as a JSON object. What JSON has no word for is shown by its repr."""
    document = {
        "type": state.name,
        "message": None if state.message is None else str(state.message),
        "context": _plain(state.context),
        "cached_inputs": {},
        "__version__": __version__,
    }
    if not state.is_mapped():
        kind = {"type": "Result", "location": None} if state.has_result else {"type": "NoResultType"}
        document["_result"] = {**kind, "__version__": __version__}
    for name in type(state).details:
        value = getattr(state, name)
        if isinstance(value, datetime):
            document[name] = value.isoformat()
        elif name == "state":
            document[name] = None if value is None else document_of(value)
        else:
            document[name] = _plain(value)
    return document


def state_of(document: Mapping[str, Any], cls: type[State], nested: Callable[[Mapping[str, Any]], State]) -> State:
    """The state of class `cls` that `document` describes; `nested` reads the one inside of it. Unknown fields are ignored.

    Raises SerializationError, naming the field, for what cannot be read.
    """
    message, context = document.get("message"), document.get("context") or {}
    if message is not None and not isinstance(message, str):
        raise SerializationError(f"the message of a {cls.__name__} state must be a text, not {message!r}")
    if not isinstance(context, Mapping):
        raise SerializationError(f"the context of a {cls.__name__} state must be an object, not {context!r}")
    fields = {name: document[name] for name in cls.details if document.get(name) is not None}
    for name, value in fields.items():
        if name in _MOMENTS:
            fields[name] = _moment(cls, name, value)
        elif name in _COUNTS and (isinstance(value, bool) or not isinstance(value, int)):
            raise SerializationError(f"the {name} of a {cls.__name__} state must be a whole number, not {value!r}")
        elif name == "state":
            fields[name] = nested(value)
    if 0 < fields.get("n_map_states", 0) <= _LISTED:
        fields["map_states"] = [None] * fields["n_map_states"]
    state = cls(message, **fields)
    state.context = dict(context)  # and nothing of what is current where it is read
    return state


def _moment(cls: type[State], name: str, value: Any) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise SerializationError(f"the {name} of a {cls.__name__} state must be an ISO 8601 moment, not {value!r}") from None


def _plain(value: Any) -> Any:
    try:
        return msgspec.json.decode(msgspec.json.encode(value, enc_hook=told))
    except (TypeError, ValueError, OverflowError, RecursionError):  # keys that are no texts, texts that are not UTF-8
        return told(value)
