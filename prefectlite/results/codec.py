"""Values as bytes and back: plain ones as MessagePack, everything else by cloudpickle."""

from __future__ import annotations

import pickle
from typing import Any

import msgspec

from prefectlite.errors import SerializationError
from prefectlite.pickles import pickled
from prefectlite.records import ResultRecord

NONE = ResultRecord("none", None)
#: The task ended, but its value is not in the record: it must be computed again when a resumed run needs it.
ABSENT = ResultRecord("absent", None)
#: The value None where the record may hold an earlier one.
NONE_INSTEAD = ResultRecord("msgpack", b"\xc0")
#: The run ended by a signal of its state's own, without another result: the state says all there is to know of it.
SIGNAL = ResultRecord("signal", None)
# Exactly these types come back from MessagePack as they went in; a tuple or an enum would not.
_PLAIN = (int, str, float, bool, bytes)
_SMALL = 10_000
_LARGEST_INT = 2**63


def is_cheap(value: Any) -> bool:
    """Whether `encode(value)` takes so little time that it may happen on the event loop."""
    kind = type(value)
    return value is None or kind in (int, float, bool) or (kind in (str, bytes) and len(value) < _SMALL)


def encode(value: Any, limit: int) -> ResultRecord:
    """`value` as the record keeps it. Raises SerializationError if it cannot be written down or exceeds `limit` bytes."""
    if value is None:
        return NONE
    if type(value) in _PLAIN and not (type(value) is int and not -_LARGEST_INT <= value < _LARGEST_INT):
        try:
            return _bounded("msgpack", msgspec.msgpack.encode(value), limit)
        except UnicodeEncodeError:
            pass  # a lone surrogate: pickle keeps it
    try:
        data = pickled(value)
    except Exception as error:
        raise SerializationError(f"a value of type {type(value).__qualname__} cannot be written down: {error}") from error
    return _bounded("cloudpickle", data, limit)


def decode(record: ResultRecord) -> Any:
    """The value that `record` was made of. Raises SerializationError if it cannot be read back, or is absent."""
    if record.encoding == "none":
        return None
    try:
        if record.data is not None and record.encoding == "msgpack":
            return msgspec.msgpack.decode(record.data)
        if record.data is not None and record.encoding == "cloudpickle":
            return pickle.loads(record.data)
    except Exception as error:
        raise SerializationError(f"a recorded value cannot be read back: {type(error).__name__}: {error}") from error
    raise SerializationError(f"the value was not recorded ({record.encoding})")


def _bounded(encoding: str, data: bytes, limit: int) -> ResultRecord:
    if len(data) > limit:
        raise SerializationError(f"the value takes {len(data):,} bytes and the limit is {limit:,} (max_result_bytes)")
    return ResultRecord(encoding, data)
