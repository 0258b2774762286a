"""Cache validators: functions that decide whether an earlier result of a task may stand for a new run of it.

Each is `(state, inputs, parameters) -> bool`: the Cached state, and of the new run the task's arguments and the flow's
parameters. All refuse what has expired.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prefectlite.clock import current_time
from prefectlite.states import Cached

Validator = Callable[[Cached, Mapping[str, Any], Mapping[str, Any] | None], bool]


def never_use(state: Cached, inputs: Mapping[str, Any], parameters: Mapping[str, Any] | None) -> bool:
    """Uses nothing (the default of tasks without `cache_for`)."""
    return False


def duration_only(state: Cached, inputs: Mapping[str, Any], parameters: Mapping[str, Any] | None) -> bool:
    """Uses whatever has not expired; without an expiration, for ever (the default of tasks with `cache_for`)."""
    return state.cached_result_expiration is None or state.cached_result_expiration > current_time()


def all_inputs(state: Cached, inputs: Mapping[str, Any], parameters: Mapping[str, Any] | None) -> bool:
    """Uses what was made of equal arguments."""
    return duration_only(state, inputs, parameters) and _same_inputs(state, inputs, {*inputs, *_known_inputs(state)})


def all_parameters(state: Cached, inputs: Mapping[str, Any], parameters: Mapping[str, Any] | None) -> bool:
    """Uses what was made by a run of the flow with equal parameters."""
    return duration_only(state, inputs, parameters) and state.cached_parameters == parameters


def partial_inputs_only(validate_on: Iterable[str] | None = None) -> Validator:
    """A validator that uses what was made of equal values of these arguments; of none, whatever has not expired."""
    names = _names(validate_on)

    def validate(state: Cached, inputs: Mapping[str, Any], parameters: Mapping[str, Any] | None) -> bool:
        return duration_only(state, inputs, parameters) and _same_inputs(state, inputs, names)

    validate.__name__ = validate.__qualname__ = "partial_inputs_only"
    return validate


def partial_parameters_only(validate_on: Iterable[str] | None = None) -> Validator:
    """A validator that uses what was made with equal values of these parameters; of none, whatever has not expired."""
    names = _names(validate_on)

    def validate(state: Cached, inputs: Mapping[str, Any], parameters: Mapping[str, Any] | None) -> bool:
        cached, given = state.cached_parameters or {}, parameters or {}
        return duration_only(state, inputs, parameters) and all(cached.get(name) == given.get(name) for name in names)

    validate.__name__ = validate.__qualname__ = "partial_parameters_only"
    return validate


def _names(validate_on: Iterable[str] | None) -> frozenset[str]:
    return frozenset([validate_on] if isinstance(validate_on, str) else validate_on or ())


def _known_inputs(state: Cached) -> Mapping[str, Any]:
    return state.cached_inputs if state.hashed_inputs is None else state.hashed_inputs


def _same_inputs(state: Cached, inputs: Mapping[str, Any], names: Iterable[str]) -> bool:
    known = _known_inputs(state)
    if any((name in known) != (name in inputs) for name in names):
        return False
    shared = [name for name in names if name in known]
    if state.hashed_inputs is None:
        return all(hashed(known[name]) == hashed(inputs[name]) for name in shared)
    return all(known[name] == hashed(inputs[name]) for name in shared)


def hashed(value: Any) -> str:
    """A hash that equal values share, in whichever process and however their sets and dicts are ordered.

    Of values that cannot be written down, each gets a hash that nothing else ever has.
    """
    digest = hashlib.blake2b(digest_size=16)
    try:
        _feed(digest.update, value)
    except RecursionError:  # it contains itself, or is very deep
        digest = hashlib.blake2b(b"deep", digest_size=16)
        digest.update(_pickled(value))
    return digest.hexdigest()


def _feed(update: Callable[[bytes], None], value: Any) -> None:
    # Exact types only: a subclass may mean something else by the same content. Lengths keep neighbours apart.
    kind = type(value)
    if value is None or kind in (bool, int, float, complex):
        update(f"{kind.__name__}:{value!r};".encode())
    elif kind is str or kind is bytes:
        data = value if kind is bytes else value.encode("utf-8", "surrogatepass")
        update(f"{kind.__name__}:{len(data)}:".encode())
        update(data)
    elif kind is list or kind is tuple:
        update(f"{kind.__name__}:{len(value)}:".encode())
        for item in value:
            _feed(update, item)
    elif kind is set or kind is frozenset:
        update(f"{kind.__name__}:{len(value)}:".encode())
        for digest in sorted(map(hashed, value)):
            update(digest.encode())
    elif kind is dict:
        update(f"dict:{len(value)}:".encode())
        for digest, item in sorted(((hashed(key), item) for key, item in value.items()), key=lambda pair: pair[0]):
            update(digest.encode())
            _feed(update, item)
    else:
        data = _pickled(value)
        update(f"object:{len(data)}:".encode())
        update(data)


def _pickled(value: Any) -> bytes:
    import cloudpickle  # noqa: PLC0415 - most arguments are plain

    try:
        data: bytes = cloudpickle.dumps(value)
    except Exception:
        return uuid.uuid4().bytes
    return data
