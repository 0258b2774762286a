"""Values as bytes and back: plain ones as MessagePack, everything else by cloudpickle."""

from __future__ import annotations

import io
import pickle
from collections.abc import AsyncGenerator, Awaitable, Generator
from typing import Any

import msgspec

from prefectlite.errors import SerializationError
from prefectlite.pickles import pickled
from prefectlite.records import ResultRecord
from prefectlite.shown import told

NONE = ResultRecord("none", None)
#: The task ended, but its value is not in the record: it must be computed again when a resumed run needs it.
ABSENT = ResultRecord("absent", None)
#: The value None where the record may hold an earlier one.
NONE_INSTEAD = ResultRecord("msgpack", b"\xc0")
#: The run ended by a signal of its state's own, without another result: the state says all there is to know of it.
SIGNAL = ResultRecord("signal", None)
# Exactly these types come back from MessagePack as they went in, and lists of them; a tuple or an enum would not.
_PLAIN = frozenset((int, str, float, bool, bytes, type(None)))
_NUMBERS = frozenset((int, float, bool, type(None)))
_SMALL = 10_000
_FEW = 100


def is_cheap(value: Any) -> bool:
    """Whether `encode(value)` takes so little time that it may happen on the event loop."""
    if type(value) is list:
        return len(value) <= _FEW and all(_is_cheap(item, _SMALL // _FEW) for item in value)
    return _is_cheap(value, _SMALL)


def _is_cheap(value: Any, most: int) -> bool:
    kind = type(value)
    return kind in _NUMBERS or (kind in (str, bytes) and len(value) < most)


def encode(value: Any, limit: int) -> ResultRecord:
    """`value` as the record keeps it. Raises SerializationError if it cannot be written down or exceeds `limit` bytes."""
    if value is None:
        return NONE
    if type(value) in _PLAIN or (type(value) is list and _PLAIN.issuperset(map(type, value))):
        try:
            return _bounded("msgpack", msgspec.msgpack.encode(value), limit)
        except (UnicodeEncodeError, OverflowError):
            pass  # a lone surrogate, a huge number: pickle keeps them
    if (mistake := _mistake(value)) is not None:
        raise SerializationError(f"a value of type {type(value).__qualname__} cannot be written down: {mistake}")
    try:
        data = pickled(value)
    except (Exception, SystemExit, KeyboardInterrupt, GeneratorExit) as error:  # the value is asked how
        raise SerializationError(
            f"a value of type {type(value).__qualname__} cannot be written down: {told(error, str)}"
        ) from error
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
    except (Exception, SystemExit, KeyboardInterrupt, GeneratorExit) as error:
        raise SerializationError(f"a recorded value cannot be read back: {type(error).__name__}: {error}") from error
    raise SerializationError(f"the value was not recorded ({record.encoding})")


def _mistake(value: Any) -> str | None:
    """What was probably meant, where `value` can be used once and by one only, or stands for what is not there yet."""
    if isinstance(value, io.IOBase):  # cloudpickle would take the whole of a file that is being read
        return "it is of use in this process only: did you mean to return its path, or what is in it?"
    if isinstance(value, AsyncGenerator):
        return "it gives its values once: did you forget [item async for item in …]?"
    if isinstance(value, Generator):
        return "it gives its values once: did you forget list(…)?"
    if isinstance(value, Awaitable):
        return "it stands for a value that is not there yet: did you forget `await`?"
    return None


def _bounded(encoding: str, data: bytes, limit: int) -> ResultRecord:
    if len(data) > limit:
        raise SerializationError(f"the value takes {len(data):,} bytes and the limit is {limit:,} (max_result_bytes)")
    return ResultRecord(encoding, data)
