from __future__ import annotations

import pickle
import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefectlite.errors import FlowError
from prefectlite.language.delays import exponential_backoff

SECOND = timedelta(seconds=1)


def test_each_delay_is_longer_up_to_the_limit() -> None:
    backoff = exponential_backoff(first=1, factor=3, limit=timedelta(seconds=50), jitter=0)
    assert [backoff(attempt) / SECOND for attempt in range(1, 7)] == [1, 3, 9, 27, 50, 50]
    assert backoff(100_000) == 50 * SECOND
    assert exponential_backoff(first=timedelta(minutes=2), jitter=0)(2) == timedelta(minutes=4)
    assert exponential_backoff(first=0, jitter=0)(3) == timedelta(0)


@given(
    attempt=st.integers(1, 2_000),
    first=st.floats(0, 1e6),
    factor=st.floats(1, 100),
    limit=st.floats(0, 1e6),
    jitter=st.floats(0, 1),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_a_delay_is_never_negative_nor_over_the_limit(
    attempt: int, first: float, factor: float, limit: float, jitter: float, chance: float
) -> None:
    wait = exponential_backoff(first, factor, limit, jitter, random=lambda: chance)(attempt)
    assert timedelta(0) <= wait <= timedelta(seconds=limit)


@given(st.floats(0, 1, exclude_max=True))
def test_jitter_is_a_share_of_the_delay(chance: float) -> None:
    wait = exponential_backoff(first=10, jitter=0.2, random=lambda: chance)(1)
    assert 8 * SECOND <= wait <= 12 * SECOND


def test_two_that_failed_together_do_not_come_back_together() -> None:
    backoff = exponential_backoff(random=random.Random(3).random)
    assert backoff(3) != backoff(3)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"factor": 0.5}, FlowError),
        ({"jitter": 1.5}, FlowError),
        ({"jitter": -0.1}, FlowError),
        ({"first": -1}, FlowError),
        ({"limit": -1}, FlowError),
        ({"first": "1"}, TypeError),
    ],
)
def test_values_that_cannot_be_used(values: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        exponential_backoff(**values)


def test_it_can_be_sent_to_another_process() -> None:
    backoff = exponential_backoff(jitter=0)
    assert pickle.loads(pickle.dumps(backoff))(2) == 2 * SECOND
