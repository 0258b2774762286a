from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import math
import threading
import uuid
from collections import OrderedDict, namedtuple
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefectlite import states
from prefectlite.errors import SerializationError
from prefectlite.records import ResultRecord
from prefectlite.results.codec import ABSENT, NONE, decode, encode, is_cheap
from prefectlite.signals import FAIL

LIMIT = 1_000_000
Point = namedtuple("Point", "x y")


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Mode(enum.StrEnum):
    FAST = "fast"


class Text(str):
    __slots__ = ()


@dataclasses.dataclass
class Box:
    inside: Any


class Unreadable:
    """Can be written down, and raises when it is read back."""

    def __reduce__(self) -> Any:
        return int, ("not a number",)


SURROGATES = st.text(st.characters(categories=("Cs", "L", "Cc")), max_size=5)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**66), 2**66)
    | st.floats()
    | st.text()
    | SURROGATES
    | st.binary()
    | st.complex_numbers()
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.datetimes(timezones=st.none() | st.just(datetime.UTC))
    | st.dates()
    | st.timedeltas()
    | st.uuids()
    | st.sampled_from([Colour.RED, Level.LOW, Mode.FAST, Text("x"), Ellipsis, range(3), int, len])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.integers() | SURROGATES | st.tuples(st.integers()), inner, max_size=3)
        | st.frozensets(st.integers() | SURROGATES, max_size=3)
        | st.builds(Point, inner, inner)
        | st.builds(Box, inner)
    ),
    max_leaves=8,
)


def same(one: Any, other: Any) -> bool:
    """Equal, of the same type all the way down, and NaN is NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return math.copysign(1, one) == math.copysign(1, other) and (one == other or (one != one and other != other))
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    if isinstance(one, Box):
        return same(one.inside, other.inside)
    return bool(one == other)


@settings(deadline=None)
@given(VALUES)
def test_any_value_survives(value: Any) -> None:
    record = encode(value, LIMIT)
    assert type(record.data) is (type(None) if value is None else bytes)
    assert same(decode(record), value)


@pytest.mark.parametrize(
    ("value", "encoding"),
    [
        (None, "none"),
        (0, "msgpack"),
        (True, "msgpack"),
        (2**63 - 1, "msgpack"),
        (-(2**63), "msgpack"),
        (2**63, "msgpack"),
        (2**64, "cloudpickle"),
        (-(2**63) - 1, "cloudpickle"),
        (10**400, "cloudpickle"),
        (math.nan, "msgpack"),
        (-math.inf, "msgpack"),
        (-0.0, "msgpack"),
        ("", "msgpack"),
        ("ü👋\0\n", "msgpack"),
        ("\ud800", "cloudpickle"),
        (b"\0\xff", "msgpack"),
        (bytearray(b"\0\xff"), "cloudpickle"),
        ([1, None, "a", b"b", 1.5, True], "msgpack"),
        ([[1]], "cloudpickle"),
        ([2**64], "cloudpickle"),
        (["\ud800"], "cloudpickle"),
        ([Level.LOW], "cloudpickle"),
        ((1,), "cloudpickle"),
        ({"a": 1}, "cloudpickle"),
        ({1, 2}, "cloudpickle"),
        (Level.LOW, "cloudpickle"),
        (Mode.FAST, "cloudpickle"),
        (Text("x"), "cloudpickle"),
        (OrderedDict(a=1), "cloudpickle"),
        (PurePosixPath("/x"), "cloudpickle"),
        (uuid.UUID(int=1), "cloudpickle"),
        (fractions.Fraction(1, 3), "cloudpickle"),
        (decimal.Decimal("1.10"), "cloudpickle"),
    ],
)
def test_how_values_are_kept(value: Any, encoding: str) -> None:
    record = encode(value, LIMIT)
    assert record.encoding == encoding
    assert same(decode(record), value)


def test_functions_and_classes_made_here_survive() -> None:
    base = 40
    assert decode(encode(lambda x: base + x, LIMIT))(2) == 42

    class Local:
        def __init__(self, x: int) -> None:
            self.x = x

    assert decode(encode(Local(5), LIMIT)).x == 5


def test_exceptions_signals_and_states_survive() -> None:
    error = decode(encode(ValueError("a", 1), LIMIT))
    assert (type(error), error.args) == (ValueError, ("a", 1))
    signal = decode(encode(FAIL("no", result=3), LIMIT))
    assert (type(signal), signal.state.message, signal.state.result) == (FAIL, "no", 3)
    assert decode(encode(states.Success("yes", [1]), LIMIT)) == states.Success("yes", [1])
    assert not decode(encode(states.Running(), LIMIT)).has_result


def test_a_value_that_holds_itself_survives() -> None:
    itself: list[Any] = []
    itself.append(itself)
    restored = decode(encode(itself, LIMIT))
    assert restored[0] is restored


def test_none_is_told_from_what_is_absent() -> None:
    assert encode(None, 0) == NONE
    assert decode(NONE) is None
    with pytest.raises(SerializationError, match=r"the value was not recorded \(absent\)"):
        decode(ABSENT)


class Deep:
    def __reduce__(self) -> Any:
        raise RecursionError("too deep")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (threading.Lock(), "lock"),
        ([threading.Lock()], "list"),
        (Deep(), "Deep"),
    ],
)
def test_what_cannot_be_written_names_its_type(value: Any, kind: str) -> None:
    with pytest.raises(SerializationError, match=f"^a value of type {kind} cannot be written down: ") as caught:
        encode(value, LIMIT)
    assert (caught.value.__cause__ is not None) is (kind != "generator"), "a mistake is known before it is tried"
    assert isinstance(caught.value, TypeError)


def test_what_is_of_use_once_only_says_what_was_meant() -> None:
    with pytest.raises(SerializationError, match=r"^a value of type generator cannot be written down: .* list\(…\)\?"):
        encode((x for x in [1]), LIMIT)


@pytest.mark.parametrize("value", ["x" * 100, b"x" * 100, list(range(100)), "\udcff" * 100])
def test_the_limit_is_on_the_bytes(value: Any) -> None:
    size = len(encode(value, LIMIT).data or b"")
    assert decode(encode(value, size)) == value
    with pytest.raises(SerializationError) as caught:
        encode(value, size - 1)
    assert str(caught.value) == f"the value takes {size:,} bytes and the limit is {size - 1:,} (max_result_bytes)"


@pytest.mark.parametrize(
    "record",
    [
        ResultRecord("msgpack", b""),
        ResultRecord("msgpack", b"\xc1"),
        ResultRecord("cloudpickle", b""),
        ResultRecord("cloudpickle", b"not a pickle"),
        encode([1, 2, 3], LIMIT).__class__("cloudpickle", (encode([1, 2, 3], LIMIT).data or b"")[:-3]),
        ResultRecord("cloudpickle", b"cno_such_module\nthing\n."),
        encode(Unreadable(), LIMIT),
    ],
)
def test_what_cannot_be_read_back_says_so(record: ResultRecord) -> None:
    with pytest.raises(SerializationError, match=r"a recorded value cannot be read back: \w+: ") as caught:
        decode(record)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    "record", [ResultRecord("parquet", b"PAR1"), ResultRecord("msgpack", None), ResultRecord("cloudpickle", None)]
)
def test_another_encoding_is_named(record: ResultRecord) -> None:
    with pytest.raises(SerializationError, match=rf"the value was not recorded \({record.encoding}\)"):
        decode(record)


@pytest.mark.parametrize(
    ("value", "cheap"),
    [
        (None, True),
        (1, True),
        (1.5, True),
        (True, True),
        ("x" * 9_999, True),
        (b"x" * 9_999, True),
        ("x" * 10_000, False),
        (b"x" * 10_000, False),
        ([], True),
        ([1, None, "a"], True),
        ([[1]], False),
        ([1] * 101, False),
        (["a" * 100], False),
        (Level.LOW, False),
        (Text(""), False),
        (Box(1), False),
    ],
)
def test_what_may_be_written_on_the_loop(value: Any, cheap: bool) -> None:
    assert is_cheap(value) is cheap


def test_functions_that_use_the_context_are_kept() -> None:
    from prefectlite import context

    def name() -> Any:
        return context.get("task_name")

    record = encode(name, 100_000)
    with context(task_name="reader"):
        assert decode(record)() == "reader"
