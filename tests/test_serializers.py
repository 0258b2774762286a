from __future__ import annotations

import base64
import gzip
import math
import pickle
import threading
import zlib
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import cloudpickle
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefectlite.serializers import (
    CompressedSerializer,
    DateTimeSerializer,
    JSONSerializer,
    PandasSerializer,
    PickleSerializer,
    Serializer,
)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
JSON, PICKLE = JSONSerializer(), PickleSerializer()


@given(values)
@pytest.mark.parametrize("serializer", [PICKLE, JSON, CompressedSerializer(JSON, "zlib")], ids=["pickle", "json", "zlib"])
def test_values_come_back(serializer: Serializer, value: Any) -> None:
    data = serializer.serialize(value)
    assert isinstance(data, bytes)
    assert serializer.deserialize(data) == value


def test_pickle_takes_functions() -> None:
    assert PICKLE.deserialize(PICKLE.serialize(lambda x: x + 1))(1) == 2
    with pytest.raises(TypeError, match="cannot pickle"):
        PICKLE.serialize(threading.Lock())


def test_base64_of_a_pickle_is_read() -> None:
    data = base64.b64encode(cloudpickle.dumps([3]))
    assert PICKLE.deserialize(data) == PICKLE.deserialize(data.decode()) == [3]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"", EOFError), (b"xx", pickle.UnpicklingError), (b"xxxx", pickle.UnpicklingError), (b"\xff", pickle.UnpicklingError)],
)
def test_what_is_no_pickle_is_its_own_error(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        PICKLE.deserialize(data)


def test_json() -> None:
    assert JSON.serialize({"a": [1, 2.5, None], "b": "é"}) == b'{"a": [1, 2.5, null], "b": "\\u00e9"}'
    assert JSON.deserialize(JSON.serialize((1, {2: 3}))) == [1, {"2": 3}]
    assert math.isnan(JSON.deserialize(JSON.serialize(math.nan)))
    assert JSON.deserialize("3") == 3  # type: ignore[arg-type]
    for value in (object(), datetime.now(UTC), b"x"):
        with pytest.raises(TypeError, match="is not JSON serializable"):
            JSON.serialize(value)
    with pytest.raises(ValueError, match="Expecting value"):
        JSON.deserialize(b"")


def test_datetimes() -> None:
    serializer = DateTimeSerializer()
    assert serializer.serialize(datetime(2020, 1, 1, tzinfo=UTC)) == b"2020-01-01T00:00:00Z"
    assert serializer.serialize(datetime(2020, 1, 1)) == b"2020-01-01T00:00:00Z"
    east = datetime(2020, 1, 1, 12, 30, 1, 5, tzinfo=timezone(timedelta(hours=9)))
    assert serializer.deserialize(serializer.serialize(east)) == east
    assert serializer.deserialize(b"2020-01-01").tzinfo is UTC
    for value in ("2020-01-01", None, east.date()):
        with pytest.raises(TypeError, match="takes a datetime"):
            serializer.serialize(value)
    with pytest.raises(ValueError, match="isoformat"):
        serializer.deserialize(b"x")


def test_what_is_equal() -> None:
    assert PickleSerializer() == PickleSerializer() != JSONSerializer()
    assert PandasSerializer("csv") == PandasSerializer("csv", {}, {}) != PandasSerializer("json")
    assert PandasSerializer("csv") != PandasSerializer("csv", serialize_kwargs={"index": False})
    assert CompressedSerializer(JSON, "zlib") == CompressedSerializer(JSON, "zlib", compress_kwargs={})
    assert CompressedSerializer(JSON, "zlib") == CompressedSerializer(
        JSON, compress=zlib.compress, decompress=zlib.decompress
    )
    assert CompressedSerializer(JSON, "zlib") != CompressedSerializer(PICKLE, "zlib")
    assert CompressedSerializer(JSON, "zlib") != CompressedSerializer(JSON, "zlib", compress_kwargs={"level": 9})
    assert pickle.loads(pickle.dumps(CompressedSerializer(JSON, "gzip"))) == CompressedSerializer(JSON, "gzip")
    with pytest.raises(TypeError, match="unhashable"):
        hash(JSON)


@pytest.mark.parametrize(
    ("file_type", "reading", "writing"),
    [("csv", {"index_col": 0}, {}), ("csv", {}, {"index": False}), ("json", {}, {}), ("pickle", {}, {})],
)
def test_frames(file_type: str, reading: dict[str, Any], writing: dict[str, Any]) -> None:
    frame = pd.DataFrame({"one": [1, 2], "two": ["a", "é"]})
    serializer = PandasSerializer(file_type, reading, writing)
    assert serializer.deserialize(serializer.serialize(frame)).equals(frame)


@pytest.mark.parametrize(("file_type", "can"), [("nope", "read"), ("clipboard_", "read"), ("fwf", "write")])
def test_formats_that_pandas_does_not_know(file_type: str, can: str) -> None:
    with pytest.raises(ValueError, match=f"pandas cannot {can} '{file_type}'"):
        PandasSerializer(file_type)


@pytest.mark.parametrize("format", ["zlib", "gzip", "bz2", "lzma"])
def test_compression(format: str) -> None:
    serializer = CompressedSerializer(PICKLE, format)
    data = serializer.serialize([1] * 10_000)
    assert len(data) < 1_000
    assert serializer.deserialize(data) == [1] * 10_000


def test_compression_by_functions_and_with_arguments() -> None:
    by_hand = CompressedSerializer(JSON, compress=gzip.compress, decompress=gzip.decompress, compress_kwargs={"mtime": 0})
    assert by_hand.serialize([1]) == gzip.compress(b"[1]", mtime=0)
    assert by_hand.deserialize(gzip.compress(b"[1]")) == [1]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "must specify either `format` or `compress`/`decompress`.$"),
        ({"compress": len}, ValueError, "must specify either `format` or `compress`/`decompress`.$"),
        ({"decompress": len}, ValueError, "must specify either `format` or `compress`/`decompress`.$"),
        ({"format": "zlib", "compress": len}, ValueError, "but not both"),
        ({"format": "zlib", "decompress": len}, ValueError, "but not both"),
        (
            {"format": "nolib"},
            ImportError,
            "Compression module for 'nolib' is not installed. Did you mean to use one of bz2",
        ),
        ({"format": "os"}, ValueError, "'os' module does not have 'compress' and 'decompress' attributes"),
    ],
)
def test_compressions_that_are_none(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        CompressedSerializer(JSON, **arguments)
