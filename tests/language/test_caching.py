"""Cache validators, and the hashes they compare arguments by."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from enum import Enum, IntEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefectlite import cache_validators
from prefectlite.clock import active_clock
from prefectlite.language.caching import (
    all_inputs,
    all_parameters,
    duration_only,
    hashed,
    never_use,
    partial_inputs_only,
    partial_parameters_only,
)
from prefectlite.states import Cached
from tests.conftest import HeldClock

PAST, FUTURE = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=1)


def cached(expiration: datetime | None = None, **fields: Any) -> Cached:
    return Cached(cached_result_expiration=expiration, **fields)


EVERYTHING = [
    never_use,
    duration_only,
    all_inputs,
    all_parameters,
    partial_inputs_only(),
    partial_parameters_only(),
    partial_inputs_only(["x"]),
    partial_parameters_only(["p"]),
]


@pytest.mark.parametrize("validate", EVERYTHING)
def test_only_what_has_not_expired_is_used(validate: Any) -> None:
    fields = {"hashed_inputs": {"x": hashed(1)}, "cached_parameters": {"p": 1}}
    assert not validate(cached(PAST, **fields), {"x": 1}, {"p": 1})
    for expiration in (FUTURE, None):
        assert validate(cached(expiration, **fields), {"x": 1}, {"p": 1}) == (validate is not never_use)


def test_the_clock_of_the_run_decides_what_has_expired() -> None:
    clock = HeldClock()
    token = active_clock.set(clock)
    try:
        state = cached(clock.now() + timedelta(hours=1))
        assert duration_only(state, {}, {})
        clock.advance(3600)
        assert not duration_only(state, {}, {})
    finally:
        active_clock.reset(token)


@pytest.mark.parametrize(
    ("inputs", "used"),
    [
        ({"x": 1, "y": [2]}, True),
        ({"y": [2], "x": 1}, True),
        ({"x": 1, "y": [3]}, False),
        ({"x": 1}, False),
        ({"x": 1, "y": [2], "z": 3}, False),
        ({}, False),
    ],
)
def test_all_inputs(inputs: dict[str, Any], used: bool) -> None:
    values = {"x": 1, "y": [2]}
    assert all_inputs(cached(hashed_inputs={k: hashed(v) for k, v in values.items()}), inputs, {}) is used
    assert all_inputs(cached(cached_inputs=values), inputs, {}) is used


def test_hashes_come_before_values() -> None:
    assert not all_inputs(cached(hashed_inputs={"x": "other"}, cached_inputs={"x": 1}), {"x": 1}, {})
    assert all_inputs(cached(hashed_inputs={}), {}, {})
    assert not all_inputs(cached(hashed_inputs={}), {"x": 1}, {})
    assert all_inputs(cached(), {}, {})
    assert not all_inputs(cached(), {"x": 1}, {})


@pytest.mark.parametrize(
    ("names", "inputs", "used"),
    [
        (None, {"x": 5}, True),
        ([], {"x": 5}, True),
        (["x"], {"x": 1, "y": 3}, True),
        (["y"], {"x": 1, "y": 3}, False),
        (["x", "y"], {"x": 1, "y": 2, "z": 3}, True),
        (["x", "y"], {"x": 1, "y": 3}, False),
        (["z"], {"x": 1, "y": 2}, True),
        (["z"], {"x": 1, "y": 2, "z": 3}, False),
        (["x"], {}, False),
        ("x", {"x": 1, "y": 3}, True),
        (iter(["x"]), {"x": 2}, False),
    ],
)
def test_partial_inputs(names: Any, inputs: dict[str, Any], used: bool) -> None:
    validate = partial_inputs_only(names)
    for _ in range(2):
        assert validate(cached(hashed_inputs={"x": hashed(1), "y": hashed(2)}), inputs, {}) is used
        assert validate(cached(cached_inputs={"x": 1, "y": 2}), inputs, {}) is used


@pytest.mark.parametrize(
    ("parameters", "used"), [({"p": 1, "q": 2}, True), ({"p": 1}, False), ({"p": 1, "q": 3}, False), (None, False)]
)
def test_all_parameters(parameters: Any, used: bool) -> None:
    assert all_parameters(cached(cached_parameters={"p": 1, "q": 2}), {}, parameters) is used
    assert not all_parameters(cached(), {}, {})


@pytest.mark.parametrize(
    ("names", "parameters", "used"),
    [
        (None, {"p": 5}, True),
        (["p"], {"p": 1, "q": 5}, True),
        (["q"], {"p": 1, "q": 5}, False),
        (["p", "q"], {"p": 1, "q": 2}, True),
        (["r"], {}, True),
        ("p", {"p": 1}, True),
        (["p"], None, False),
    ],
)
def test_partial_parameters(names: Any, parameters: Any, used: bool) -> None:
    assert partial_parameters_only(names)(cached(cached_parameters={"p": 1, "q": 2}), {}, parameters) is used
    assert not partial_parameters_only(["p"])(cached(), {}, {"p": 1})
    assert partial_parameters_only(["p"])(cached(), {}, {})


def test_they_are_where_users_look_for_them() -> None:
    for name in cache_validators.__all__:
        assert getattr(cache_validators, name).__name__ == name
    assert partial_inputs_only(["x"]).__name__ == "partial_inputs_only"


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.datetimes(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
        | st.frozensets(st.integers() | st.text(max_size=3), max_size=4)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(VALUES)
def test_a_value_and_its_copy_have_one_hash(value: Any) -> None:
    import copy

    assert hashed(value) == hashed(copy.deepcopy(value))


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=3) | st.integers(), VALUES, max_size=5), st.randoms())
def test_the_order_of_a_dict_does_not_matter(value: dict[Any, Any], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert hashed(dict(items)) == hashed(value)


@settings(deadline=None)
@given(VALUES, VALUES)
def test_different_values_have_different_hashes(one: Any, other: Any) -> None:
    if repr(one) != repr(other) and one != other:
        assert hashed(one) != hashed(other)


class Colour(Enum):
    RED = 1


class Number(IntEnum):
    ONE = 1


class Text(str):
    pass


@pytest.mark.parametrize(
    "values",
    [
        [1, 1.0, True, "1", b"1", Number.ONE, 1 + 0j],
        [None, "None", [], (), set(), {}, frozenset(), OrderedDict()],
        [0, False, -0.0, 0.0, ""],
        [["a", "b"], ["ab"], ["a", ["b"]], [["a"], "b"], ("a", "b")],
        [{"a": 1}, {"a": "1"}, [("a", 1)], {("a", 1)}],
        ["x", Text("x"), Colour.RED],
        [{1: 2, 3: 4}, {1: 4, 3: 2}],
    ],
)
def test_what_looks_alike_is_told_apart(values: list[Any]) -> None:
    assert len({hashed(value) for value in values}) == len(values)


def test_a_hash_is_a_short_text() -> None:
    assert isinstance(hashed([1] * 10_000), str)
    assert len(hashed([1] * 10_000)) == 32


def test_objects_go_by_their_content() -> None:
    assert hashed(ValueError("x")) == hashed(ValueError("x"))
    assert hashed(ValueError("x")) != hashed(ValueError("y"))
    assert hashed("\udcff") == hashed("\udcff")


def test_what_cannot_be_written_down_is_never_found_again() -> None:
    lock = threading.Lock()
    assert hashed(lock) != hashed(lock)
    assert hashed([1, {"x": lock}]) != hashed([1, {"x": lock}])
    assert not all_inputs(cached(hashed_inputs={"x": hashed(lock)}), {"x": lock}, {})


def test_what_contains_itself_has_a_hash() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    again: list[Any] = [1]
    again.append(again)
    assert hashed(loop) == hashed(again)
    assert hashed(loop) != hashed([1, [1]])


def test_hashes_are_the_same_in_every_process() -> None:
    code = (
        "from prefectlite.language.caching import hashed;"
        "print(hashed([{'a': {'x', 'y', 'z', 1}, 'b': (1.5, None, b'x')}, frozenset('abcdef'), ValueError('q')]))"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(seen) == 1
