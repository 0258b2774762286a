from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefectlite import states
from prefectlite.clock import to_micros
from prefectlite.records import FlowRunRow, StateRecord, record_state, restore_state
from prefectlite.states import BY_NAME, State

NOW = 1_893_456_000_000_000
MOMENT = datetime(2030, 1, 1, 12, 30, 0, 5, tzinfo=UTC)
ENCODABLE = st.text(st.characters(codec="utf-8"), max_size=20)
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | ENCODABLE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ENCODABLE, inner, max_size=3),
    max_leaves=6,
)
PLAIN = ("Pending", "Running", "Cancelling", "Finished", "Cancelled", "Success", "Skipped", "Failed", "TimedOut")


@st.composite
def recordable(draw: st.DrawFn, depth: int = 2) -> State:
    """Any state with any details, without a result."""
    counts = st.integers(0, 2**31)
    fields: dict[str, Any] = {}
    name = draw(st.sampled_from(sorted(BY_NAME)))
    if "start_time" in BY_NAME[name].details:
        fields["start_time"] = draw(MOMENTS)
    if name == "Paused":
        fields["start_time"] = draw(st.none() | MOMENTS)
    if name == "Retrying":
        fields["run_count"] = draw(counts)
    if name == "Looped":
        fields["loop_count"] = draw(counts)
    if name == "Mapped":
        fields["n_map_states"] = draw(counts)
    if name == "Cached":
        fields["hashed_inputs"] = draw(st.none() | st.dictionaries(ENCODABLE, ENCODABLE, max_size=2))
        fields["cached_parameters"] = draw(st.none() | st.dictionaries(ENCODABLE, JSON_VALUES, max_size=2))
        fields["cached_result_expiration"] = draw(st.none() | MOMENTS)
    if "state" in BY_NAME[name].details and depth:
        fields["state"] = draw(st.none() | recordable(depth - 1))
    context = draw(st.just({}) | st.dictionaries(ENCODABLE, JSON_VALUES, max_size=2))
    return BY_NAME[name](draw(st.none() | ENCODABLE), context=context, **fields)


@settings(deadline=None)
@given(recordable())
def test_a_state_survives(state: State) -> None:
    restored = restore_state(record_state(state, "id", NOW))
    assert restored == state
    assert restored.message == state.message
    assert restored.context == state.context
    inner, expected = getattr(restored, "state", None), getattr(state, "state", None)
    while expected is not None and inner is not None:
        assert (inner.message, inner.context) == (expected.message, expected.context)
        inner, expected = getattr(inner, "state", None), getattr(expected, "state", None)


@settings(deadline=None)
@given(recordable())
def test_a_state_survives_as_a_document_too(state: State) -> None:
    document = state.serialize()
    restored = State.deserialize(msgspec.json.decode(msgspec.json.encode(document)))
    assert type(restored) is type(state)
    assert (restored.message, restored.context) == (state.message, state.context)
    assert restored.serialize() == document


@settings(deadline=None)
@given(recordable())
def test_a_record_is_plain_data(state: State) -> None:
    record = record_state(state, "id", NOW)
    assert (record.id, record.name, record.timestamp) == ("id", state.name, NOW)
    assert record.is_finished == state.is_finished()
    assert record.details is None or isinstance(msgspec.json.decode(record.details), dict)
    assert "start_time" not in (msgspec.json.decode(record.details) if record.details else {})
    assert msgspec.json.decode(msgspec.json.encode(record), type=StateRecord) == record


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_every_state_without_anything(name: str) -> None:
    state = BY_NAME[name]()
    restored = restore_state(record_state(state, "id", NOW))
    assert restored == state
    assert not restored.has_result


@pytest.mark.parametrize("name", PLAIN)
def test_what_has_no_details_writes_none(name: str) -> None:
    assert record_state(BY_NAME[name]("hello", result=[1]), "id", NOW) == StateRecord("id", name, NOW, "hello")


def test_the_start_is_in_its_own_column() -> None:
    record = record_state(states.Retrying("again", start_time=MOMENT, run_count=2), "id", NOW)
    assert record == StateRecord("id", "Retrying", NOW, "again", to_micros(MOMENT), '{"run_count":2}')


def test_a_start_in_another_zone_is_the_same_moment() -> None:
    there = MOMENT.astimezone(timezone(timedelta(hours=-7, minutes=-30)))
    record = record_state(states.Scheduled(start_time=there), "id", NOW)
    assert record.start_time == to_micros(MOMENT)
    assert restore_state(record) == states.Scheduled(start_time=MOMENT)


def test_a_paused_run_may_have_no_start() -> None:
    restored = restore_state(record_state(states.Paused("wait"), "id", NOW))
    assert isinstance(restored, states.Paused)
    assert restored.start_time is None


def test_children_and_results_stay_out() -> None:
    state = states.Mapped(map_states=[states.Success(result="secret")])
    record = record_state(state, "id", NOW)
    assert record.details == '{"n_map_states":1}'
    restored = restore_state(record)
    assert isinstance(restored, states.Mapped)
    assert (restored.n_map_states, restored.map_states) == (1, [])


@pytest.mark.parametrize(
    ("message", "recorded"),
    [
        (None, None),
        ("", ""),
        ("ü 👋 \n", "ü 👋 \n"),
        ("a\0b", "a\0b"),
        ("\udcff", "\\udcff"),  # a file name that is not UTF-8, for one
        (ValueError("what went wrong"), "what went wrong"),
        (404, "404"),
        (type("Text", (str,), {})("mine"), "mine"),
    ],
)
@pytest.mark.parametrize("cls", [states.Failed, states.Scheduled])
def test_a_message_can_always_be_written(cls: type[State], message: Any, recorded: str | None) -> None:
    record = record_state(cls(message), "id", NOW)
    assert record.message == recorded
    if recorded is not None:
        assert type(record.message) is str
        record.message.encode("utf-8")


def test_what_json_does_not_know_is_shown() -> None:
    state = states.Cached(cached_parameters={"f": print, "when": MOMENT})
    restored = restore_state(record_state(state, "id", NOW))
    assert isinstance(restored, states.Cached)
    assert restored.cached_parameters == {"f": repr(print), "when": "2030-01-01T12:30:00.000005Z"}


def test_a_record_of_a_newer_version_is_still_read() -> None:
    unknown = restore_state(StateRecord("id", "Teleported", NOW, "beamed", details='{"context":{"a":1},"crew":[]}'))
    assert type(unknown) is State
    assert (unknown.message, unknown.context) == ("beamed", {"a": 1})
    known = restore_state(StateRecord("id", "Retrying", NOW, details='{"run_count":3,"mood":"good"}'))
    assert isinstance(known, states.Retrying)
    assert known.run_count == 3


def test_records_do_not_change() -> None:
    record = record_state(states.Success(), "id", NOW)
    with pytest.raises(AttributeError):
        record.name = "Failed"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        FlowRunRow("", "", "", {}, {}, 0, 0, "", None, None, None, 0).state = ""  # type: ignore[misc]
