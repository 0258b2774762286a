"""Serializers: how a result's value becomes bytes, and is read back. Two are equal when type and configuration are.

`PickleSerializer` takes everything; what comes from a place others can write to is better read with `JSONSerializer`.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import io
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from prefectlite.lazily import lazily
from prefectlite.pickles import pickled

if TYPE_CHECKING:
    import json
else:
    json = lazily("json")

_COMPRESSION = "bz2, gzip, lzma, zlib"


class Serializer:
    """What subclasses are: `serialize(value) -> bytes` and `deserialize(bytes) -> value`."""

    def serialize(self, value: Any) -> bytes:
        """`value` as bytes."""
        raise NotImplementedError

    def deserialize(self, value: bytes) -> Any:
        """What `serialize` was given."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


class PickleSerializer(Serializer):
    """By cloudpickle, which takes functions and classes of scripts, too; base64 of a pickle is read as well."""

    def serialize(self, value: Any) -> bytes:
        return pickled(value)

    def deserialize(self, value: bytes) -> Any:
        try:
            return pickle.loads(value)
        except Exception as error:
            try:
                data = base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                raise error from None
            if not data:
                raise
            try:
                return pickle.loads(data)
            except Exception:
                raise error from None


class JSONSerializer(Serializer):
    """As JSON: what it cannot hold raises TypeError, tuples come back as lists."""

    def serialize(self, value: Any) -> bytes:
        return json.dumps(value).encode()

    def deserialize(self, value: bytes) -> Any:
        return json.loads(value)


class DateTimeSerializer(Serializer):
    """A datetime as ISO 8601; one without a time zone is taken to be in UTC."""

    def serialize(self, value: Any) -> bytes:
        if not isinstance(value, datetime):
            raise TypeError(f"DateTimeSerializer takes a datetime, not {value!r}")
        aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        text = aware.isoformat()
        return (text.removesuffix("+00:00") + "Z" if aware.tzinfo is UTC else text).encode()

    def deserialize(self, value: bytes) -> datetime:
        text = value if isinstance(value, str) else value.decode()
        read = datetime.fromisoformat(text)
        return read if read.tzinfo is not None else read.replace(tzinfo=UTC)


class PandasSerializer(Serializer):
    """A DataFrame in a format for which pandas has `to_<file_type>` and `read_<file_type>`, given these arguments."""

    def __init__(
        self,
        file_type: str,
        deserialize_kwargs: dict[str, Any] | None = None,
        serialize_kwargs: dict[str, Any] | None = None,
    ) -> None:
        pandas = importlib.import_module("pandas")
        for kind, owner, function in (("read", pandas, "read_"), ("write", pandas.DataFrame, "to_")):
            if not hasattr(owner, function + file_type):
                raise ValueError(f"pandas cannot {kind} {file_type!r}: it has no {function}{file_type}")
        self.file_type = file_type
        self.deserialize_kwargs = deserialize_kwargs or {}
        self.serialize_kwargs = serialize_kwargs or {}

    def serialize(self, value: Any) -> bytes:
        write = getattr(value, f"to_{self.file_type}")
        buffer = io.BytesIO()
        try:
            write(buffer, **self.serialize_kwargs)
        except TypeError:  # some formats are text
            text = io.StringIO()
            write(text, **self.serialize_kwargs)
            return text.getvalue().encode()
        return buffer.getvalue()

    def deserialize(self, value: bytes) -> Any:
        read = getattr(importlib.import_module("pandas"), f"read_{self.file_type}")
        return read(io.BytesIO(value), **self.deserialize_kwargs)


class CompressedSerializer(Serializer):
    """What another serializer makes, compressed by the module `format` (zlib, gzip, bz2, lzma) or by these two functions."""

    def __init__(
        self,
        serializer: Serializer,
        format: str | None = None,
        compress: Callable[..., bytes] | None = None,
        decompress: Callable[..., bytes] | None = None,
        compress_kwargs: dict[str, Any] | None = None,
        decompress_kwargs: dict[str, Any] | None = None,
    ) -> None:
        if format is not None and (compress is not None or decompress is not None):
            raise ValueError("You must specify either `format` or `compress`/`decompress`, but not both.")
        if format is not None:
            compress, decompress = _compression(format)
        if compress is None or decompress is None:
            raise ValueError("You must specify either `format` or `compress`/`decompress`.")
        self._serializer = serializer
        self._compress, self._decompress = compress, decompress
        self._compress_kwargs, self._decompress_kwargs = compress_kwargs or {}, decompress_kwargs or {}

    def serialize(self, value: Any) -> bytes:
        return self._compress(self._serializer.serialize(value), **self._compress_kwargs)

    def deserialize(self, value: bytes) -> Any:
        return self._serializer.deserialize(self._decompress(value, **self._decompress_kwargs))


def _compression(format: str) -> tuple[Callable[..., bytes], Callable[..., bytes]]:
    try:
        module = importlib.import_module(format)
    except ImportError as error:
        raise ImportError(
            f"Compression module for {format!r} is not installed. Did you mean to use one of {_COMPRESSION}?"
        ) from error
    if not (hasattr(module, "compress") and hasattr(module, "decompress")):
        raise ValueError(
            f"Given compression format {format!r} module does not have 'compress' and 'decompress' attributes. Pass these"
            f" functions manually instead if you intend to use a non-standard library, or use one of {_COMPRESSION}"
        )
    return module.compress, module.decompress
