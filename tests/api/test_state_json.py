"""States as callers of the API write them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from prefectlite import states
from prefectlite.api.state_json import json_object, state_of
from prefectlite.errors import BadRequest


@pytest.mark.parametrize("name", sorted(set(states.BY_NAME) - {"State"}))
def test_every_state_can_be_written(name: str) -> None:
    state = state_of({"type": name, "message": "why"})
    assert type(state).__name__ == name
    assert state.message == "why"


def test_details_are_read() -> None:
    moment = datetime(2030, 1, 31, 12, tzinfo=UTC)
    retrying = state_of({"type": "Retrying", "start_time": "2030-01-31T12:00:00Z", "run_count": 3, "context": {"a": 1}})
    assert isinstance(retrying, states.Retrying)
    assert (retrying.start_time, retrying.run_count, retrying.context) == (moment, 3, {"a": 1})
    cached = state_of({"type": "Cached", "hashed_inputs": {"x": "1"}, "cached_result_expiration": "2030-01-31T12:00:00"})
    assert isinstance(cached, states.Cached)
    assert (cached.hashed_inputs, cached.cached_result_expiration) == ({"x": "1"}, moment)


def test_states_around_states() -> None:
    queued = state_of({"type": "Queued", "state": {"type": "Retrying", "run_count": 2}})
    assert isinstance(queued, states.Queued)
    assert isinstance(queued.state, states.Retrying)
    assert queued.state.run_count == 2


def test_text_that_holds_a_state() -> None:
    assert state_of('{"type": "Success"}').is_successful()


def test_what_prefect_adds_is_ignored() -> None:
    sent = {"type": "Success", "_result": {"type": "NoResultType"}, "cached_inputs": {}, "__version__": "1.4.1", "tags": []}
    assert state_of(sent) == states.Success()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "state: an object is expected, got null"),
        ([], "state: an object is expected, got a list"),
        ("nonsense", "state: the text is not JSON"),
        ("[" * 100_000, "state: the text is not JSON"),
        ({}, r"state\.type: None is no state; known are Cached, Cancelled"),
        ({"type": "Great"}, "'Great' is no state"),
        ({"type": "State"}, "'State' is no state"),
        ({"type": ["Success"]}, "is no state"),
        ({"type": "Success", "message": 1}, r"state\.message: a text is expected, got a number"),
        ({"type": "Scheduled", "start_time": "soon"}, r"state\.start_time: 'soon' is no moment"),
        ({"type": "Scheduled", "start_time": 5}, r"state\.start_time: 5 is no moment"),
        ({"type": "Retrying", "run_count": "2"}, r"state\.run_count: a whole number"),
        ({"type": "Retrying", "run_count": True}, "a whole number"),
        ({"type": "Looped", "loop_count": -1}, "a whole number"),
        ({"type": "Success", "context": []}, r"state\.context: an object"),
        ({"type": "Queued", "state": {"type": "x"}}, r"state\.state\.type: 'x' is no state"),
        ({"type": "Success", "message": "x" * 1_000_000}, "State payload is too large"),
    ],
)
def test_says_what_is_wrong(value: Any, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        state_of(value)


def test_nesting_has_an_end() -> None:
    state: dict[str, Any] = {"type": "Pending"}
    for _ in range(10):
        state = {"type": "Submitted", "state": state}
    with pytest.raises(BadRequest, match="8 deep"):
        state_of(state)


def test_json_object_names_the_field() -> None:
    assert json_object('{"a": 1}', "parameters") == {"a": 1}
    with pytest.raises(BadRequest, match=r"^parameters: an object is expected, got true or false$"):
        json_object(True, "parameters")
