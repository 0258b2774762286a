"""States as the API's callers write them: JSON objects with a `type` and what belongs to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from prefectlite.errors import BadRequest
from prefectlite.state import State
from prefectlite.states import BY_NAME

MAX_BYTES = 1_000_000
MAX_DEPTH = 8


def state_of(value: Any) -> State:
    """The state that `value` describes: `{"type": "Scheduled", "message": "…", "start_time": "2030-01-31T12:00:00Z"}`.

    `value` may also be a text that holds such an object. What Prefect's clients add and the record does not keep (the
    result's location, cached inputs, versions) is ignored. Raises BadRequest, naming the field.
    """
    value = json_object(value, "state")
    if len(msgspec.json.encode(value)) > MAX_BYTES:
        raise BadRequest("State payload is too large.")  # in the words that Prefect's clients know
    return _state(value, "state", 0)


def json_object(value: Any, path: str) -> dict[str, Any]:
    """`value`, or the object that it holds as text. Raises BadRequest for anything else."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadRequest(f"{path}: the text is not JSON: {error}") from None
    if isinstance(value, dict):
        return value
    raise BadRequest(f"{path}: an object is expected, got {_kind(value)}")


def _state(value: Mapping[str, Any], path: str, depth: int) -> State:
    name = value.get("type")
    cls = BY_NAME.get(name) if isinstance(name, str) else None
    if cls is None or cls is State:
        known = ", ".join(sorted(set(BY_NAME) - {"State"}))
        raise BadRequest(f"{path}.type: {name!r} is no state; known are {known}")
    message = value.get("message")
    if message is not None and not isinstance(message, str):
        raise BadRequest(f"{path}.message: a text is expected, got {_kind(message)}")
    context = value.get("context")
    fields: dict[str, Any] = {"context": json_object(context, f"{path}.context") if context is not None else None}
    for detail in cls.details:
        given = value.get(detail)
        if given is None:
            continue
        here = f"{path}.{detail}"
        if detail == "state":
            if depth >= MAX_DEPTH:
                raise BadRequest(f"{here}: states may be nested {MAX_DEPTH} deep")
            fields[detail] = _state(json_object(given, here), here, depth + 1)
        else:
            fields[detail] = _DETAILS[detail](given, here)
    return cls(message, **fields)


def _moment(value: Any, path: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise BadRequest(f"{path}: {value!r} is no moment; write it as 2030-01-31T12:00:00+00:00") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _count(value: Any, path: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31:
        return value
    raise BadRequest(f"{path}: a whole number from 0 is expected, got {value!r}")


_DETAILS: dict[str, Callable[[Any, str], Any]] = {
    "start_time": _moment,
    "run_count": _count,
    "loop_count": _count,
    "n_map_states": _count,
    "hashed_inputs": json_object,
    "cached_parameters": json_object,
    "cached_result_expiration": _moment,
}
_KINDS = {type(None): "null", bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), type(value).__name__)
