from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import cloudpickle
import pytest

from prefectlite import states
from prefectlite.states import BY_NAME, FINISHED, State, names_of

MOMENT = datetime(2030, 1, 1, tzinfo=UTC)
PREDICATES = [name for name in dir(State) if name.startswith("is_")]
#: Prefect's hierarchy: class -> (parent, colour, the predicates that are true of it).
FACTS: dict[str, tuple[str, str, str]] = {
    "State": ("object", "#696969", ""),
    "Pending": ("State", "#7ebdff", "pending"),
    "Scheduled": ("Pending", "#ffab00", "pending scheduled"),
    "Paused": ("Scheduled", "#99a8e8", "pending scheduled"),
    "Resume": ("Scheduled", "#f58c0c", "pending scheduled"),
    "Retrying": ("Scheduled", "#f66a0a", "pending scheduled retrying"),
    "Running": ("State", "#3d67ff", "running"),
    "Cancelling": ("Running", "#e8e8e8", "running"),
    "Submitted": ("Pending", "#ffdf5d", "pending submitted meta_state"),
    "Queued": ("Pending", "#ffea7f", "pending queued scheduled meta_state"),
    "ClientFailed": ("Pending", "#eb0000", "pending meta_state"),
    "Finished": ("State", "#003ccb", "finished"),
    "Looped": ("Finished", "#003ccb", "finished looped"),
    "Cancelled": ("Finished", "#bdbdbd", "finished"),
    "Success": ("Finished", "#28a745", "finished successful"),
    "Cached": ("Success", "#34d058", "finished successful cached"),
    "Mapped": ("Success", "#003ccb", "finished successful mapped"),
    "Skipped": ("Success", "#62757f", "finished successful skipped"),
    "Failed": ("Finished", "#eb0000", "finished failed"),
    "TimedOut": ("Failed", "#ff4e33", "finished failed"),
    "TriggerFailed": ("Failed", "#ff5131", "finished failed"),
    "ValidationFailed": ("Failed", "#ff5131", "finished failed"),
}
each = pytest.mark.parametrize("name", sorted(FACTS))
ways_to_copy = pytest.mark.parametrize(
    "again",
    [
        pytest.param(copy.copy, id="copy"),
        pytest.param(copy.deepcopy, id="deepcopy"),
        pytest.param(lambda state: pickle.loads(pickle.dumps(state)), id="pickle"),
        pytest.param(lambda state: pickle.loads(cloudpickle.dumps(state)), id="cloudpickle"),
    ],
)


def test_the_states_are_prefects() -> None:
    assert set(BY_NAME) == set(FACTS)


@each
def test_hierarchy_colour_and_name(name: str) -> None:
    parent, colour, _ = FACTS[name]
    assert parent in [c.__name__ for c in BY_NAME[name].__mro__]
    assert BY_NAME[name].color == colour
    assert BY_NAME[name]().name == name


@each
def test_predicates(name: str) -> None:
    state = BY_NAME[name]()
    true = {predicate for predicate in PREDICATES if getattr(state, predicate)()}
    assert true == {f"is_{word}" for word in FACTS[name][2].split()}


def test_predicates_hold_for_what_users_derive() -> None:
    class Weird(states.Failed):
        pass

    assert Weird().is_failed()
    assert Weird().is_finished()
    assert not Weird().is_successful()
    assert not states.Failed().kinds & {"Weird"}


@each
def test_the_message_comes_first(name: str) -> None:
    state = BY_NAME[name]("hello", 5)
    assert (state.message, state.result) == ("hello", 5)
    assert repr(state) == f'<{name}: "hello">'
    assert repr(BY_NAME[name]()) == f"<{name}>"


@each
@pytest.mark.parametrize("value", [None, 0, False, "", [], {}])
def test_an_empty_result_is_a_result(name: str, value: Any) -> None:
    state = BY_NAME[name](result=value)
    assert state.result == value
    assert state.has_result


@each
def test_no_result_reads_as_none(name: str) -> None:
    state = BY_NAME[name]()
    assert not state.result
    assert not state.has_result
    state.result = None
    assert state.result is None
    assert state.has_result


@each
@ways_to_copy
def test_copies_are_equal(name: str, again: Callable[[State], State]) -> None:
    for state in (BY_NAME[name]("m", start_time=MOMENT) if name in names_of(states.Scheduled) else BY_NAME[name]("m"),):
        restored = again(state)
        if name != "Queued":  # it is queued since now
            assert restored == state
        assert restored.message == "m"
        assert not restored.has_result
        assert again(type(state)("m", None)).has_result
        assert again(type(state)("m", [1])).result == [1]


@each
def test_equality_looks_at_type_and_result(name: str) -> None:
    cls, times = BY_NAME[name], {"start_time": MOMENT} if "start_time" in BY_NAME[name].details else {}
    assert cls("a", 1, **times) == cls("b", 1, context={"c": 1}, **times)
    assert cls("a", 1, **times) != cls("a", 2, **times)
    assert cls("a", None, **times) != cls("a", **times)
    assert cls("a", 1, **times) != 1
    others = [other("a", 1) for other in BY_NAME.values() if other is not cls]
    assert cls("a", 1, **times) not in others


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (states.Scheduled(start_time=MOMENT), states.Scheduled(start_time=MOMENT.replace(year=2031))),
        (states.Retrying(start_time=MOMENT, run_count=1), states.Retrying(start_time=MOMENT, run_count=2)),
        (states.Looped(loop_count=1), states.Looped(loop_count=2)),
        (states.Mapped(result=[], n_map_states=1), states.Mapped(result=[], n_map_states=2)),
        (states.Cached(hashed_inputs={"x": "1"}), states.Cached(hashed_inputs={"x": "2"})),
        (states.Cached(cached_result_expiration=MOMENT), states.Cached()),
        (states.Submitted(state=states.Success()), states.Submitted(state=states.Failed())),
    ],
)
def test_equality_looks_at_details(one: State, other: State) -> None:
    assert one == copy.copy(one)
    assert one != other


def test_states_are_told_apart_in_sets_and_dicts() -> None:
    one, other = states.Success(), states.Success()
    assert one == other
    assert len({id(state) for state in {one, other, one}}) == 2


def test_scheduled_means_now_unless_told() -> None:
    before = datetime.now(UTC)
    for cls in (states.Scheduled, states.Resume, states.Retrying, states.Queued):
        for state in (cls(), cls(start_time=None)):
            assert before <= state.start_time <= datetime.now(UTC)  # type: ignore[attr-defined]
    assert states.Paused().start_time is None


@pytest.mark.parametrize("cls", [states.Scheduled, states.Paused, states.Resume, states.Retrying, states.Queued])
def test_naive_times_are_utc(cls: Any) -> None:
    assert cls(start_time=datetime(2030, 1, 1)).start_time == MOMENT
    assert states.Cached(cached_result_expiration=datetime(2030, 1, 1)).cached_result_expiration == MOMENT


def test_mapped_collects_its_children() -> None:
    state = states.Mapped(map_states=(child for child in [states.Success(result=1), None, states.Failed(result=2)]))
    assert state.n_map_states == 3
    assert state.result == [1, None, 2]
    assert not state.has_result
    assert states.Mapped(n_map_states=5).n_map_states == 5
    assert states.Mapped(n_map_states=0, map_states=[states.Success()]).n_map_states == 0
    assert states.Mapped().result == []


def test_a_mapped_states_own_result_wins() -> None:
    state = states.Mapped(map_states=[states.Success(result=1)])
    state.result = "whole"
    assert state.result == "whole"


def test_contexts_are_not_shared() -> None:
    one, other = states.Success(), states.Success()
    one.context["x"] = 1
    assert other.context == {}


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(TypeError, match="start_time"):
        states.Success(start_time=MOMENT)  # type: ignore[call-arg]


def test_finished_names() -> None:
    assert sorted(name for name, c in BY_NAME.items() if c().is_finished()) == sorted(FINISHED)
    assert names_of(states.Failed) == ("Failed", "TimedOut", "TriggerFailed", "ValidationFailed")
    assert names_of(states.Skipped) == ("Skipped",)
    assert set(names_of(State)) == set(BY_NAME)
