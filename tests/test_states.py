from __future__ import annotations

import copy
import json
import pickle
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import cloudpickle
import pytest

from prefectlite import context, states
from prefectlite.errors import SerializationError
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
    "Cancelling": ("Running", "#E8E8E8", "running"),
    "Submitted": ("State", "#ffdf5d", "submitted meta_state"),
    "Queued": ("State", "#ffea7f", "queued scheduled meta_state"),
    "ClientFailed": ("State", "#eb0000", "meta_state"),
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
    if name != "Mapped":  # without one, its result is that of its children
        assert cls("a", None, **times) == cls("a", **times)
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
    assert states.Mapped(n_map_states=0, map_states=[states.Success()]).n_map_states == 1
    assert states.Mapped(n_map_states=5, map_states=[states.Success()]).n_map_states == 5
    state.map_states = [states.Success(result=4)]
    assert (state.n_map_states, state.result) == (1, [4])
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
    with pytest.raises(TypeError, match="run_count"):
        states.Scheduled(run_count=1)  # type: ignore[call-arg]


def test_finished_names() -> None:
    assert sorted(name for name, c in BY_NAME.items() if c().is_finished()) == sorted(FINISHED)
    assert names_of(states.Failed) == ("Failed", "TimedOut", "TriggerFailed", "ValidationFailed")
    assert names_of(states.Skipped) == ("Skipped",)
    assert set(names_of(State)) == set(BY_NAME)


def test_classes_know_their_children_and_parents() -> None:
    assert set(State.children()) >= set(BY_NAME.values()) - {State}
    assert states.Failed.children() == [states.TimedOut, states.TriggerFailed, states.ValidationFailed]
    assert states.Failed.children(include_self=True, names_only=True) == [
        "TimedOut",
        "TriggerFailed",
        "ValidationFailed",
        "Failed",
    ]
    assert states.Cached.children() == []
    assert states.Scheduled.parents() == [states.Pending, State]
    assert states.Submitted.parents() == [State]
    assert states.Mapped.parents(include_self=True, names_only=True) == ["Success", "Finished", "State", "Mapped"]
    assert State.parents() == []


POSITIONS = [
    ("Success", "context cached_inputs"),
    ("Running", "context cached_inputs"),
    ("Pending", "cached_inputs context"),
    ("Failed", "cached_inputs context"),
    ("TimedOut", "cached_inputs context"),
    ("Scheduled", "start_time cached_inputs context"),
    ("Paused", "start_time cached_inputs context"),
    ("Retrying", "start_time context cached_inputs run_count"),
    ("Submitted", "state context cached_inputs"),
    ("Queued", "state start_time context cached_inputs"),
    ("Looped", "loop_count context cached_inputs"),
    ("Cached", "cached_inputs cached_parameters cached_result_expiration context hashed_inputs"),
    ("Mapped", "map_states context cached_inputs n_map_states"),
]


@pytest.mark.parametrize(("name", "arguments"), POSITIONS)
def test_arguments_come_in_prefects_order(name: str, arguments: str) -> None:
    values = {
        "context": {"a": 1},
        "cached_inputs": {"x": 1},
        "start_time": MOMENT,
        "run_count": 4,
        "loop_count": 5,
        "state": states.Running(),
        "map_states": [states.Success()],
        "n_map_states": 1,
        "cached_parameters": {"p": 1},
        "cached_result_expiration": MOMENT,
        "hashed_inputs": {"x": "1"},
    }
    made = BY_NAME[name]("m", 1, *(values[argument] for argument in arguments.split()))
    for argument in arguments.split():
        assert getattr(made, argument) == values[argument], argument


def test_what_is_given_is_copied() -> None:
    given: dict[str, Any] = {}
    state = states.Success(context=given, cached_inputs=given)
    state.context["a"] = state.cached_inputs["b"] = 1
    assert given == {}


def test_cached_inputs_count_for_equality() -> None:
    assert states.Success().cached_inputs == {}
    assert states.Success(cached_inputs={"x": 1}) != states.Success()
    assert states.Success(cached_inputs={"x": 1}) == states.Success(cached_inputs={"x": 1})
    assert states.Pending(cached_inputs={}) == states.Pending()
    state = states.Pending()
    state.cached_inputs = {"x": 2}
    assert copy.copy(state).cached_inputs == {"x": 2}
    state.cached_inputs = None  # type: ignore[assignment]
    assert state == states.Pending()


def test_children_count_for_equality() -> None:
    one = states.Mapped(result=1, map_states=[states.Success()])
    assert one == states.Mapped(result=1, map_states=[states.Success()])
    assert one != states.Mapped(result=1, map_states=[states.Failed()])
    assert len({one, states.Mapped(result=1, map_states=[states.Success()])}) == 2


def test_a_result_that_equals_nothing_equals_itself() -> None:
    nan = float("nan")
    assert states.Success(result=nan) == states.Success(result=nan)


def test_nested_meta_states_unwrap() -> None:
    state = states.Submitted(state=states.Queued(state=states.Submitted(state=states.Scheduled("deep"))))
    assert repr(state.state) == '<Scheduled: "deep">'
    state.state = states.Queued(state=states.Success("new"))
    assert repr(state.state) == '<Success: "new">'
    assert states.Submitted().state is None


def test_counts_and_tags_come_from_what_is_current() -> None:
    with context(task_run_count=3, task_loop_count=4, task_tags={"b", "a"}):
        for name, cls in BY_NAME.items():
            expected: dict[str, Any] = {"tags": ["a", "b"]}
            if name in names_of(states.Scheduled):
                expected["task_run_count"] = 3
            assert cls().context == expected, name
        assert states.Retrying().run_count == 3
        assert states.Retrying(run_count=0).run_count == 0
        assert states.Looped().loop_count == 4
        assert states.Looped(loop_count=0).loop_count == 0
        given = {"tags": ["mine"], "task_run_count": 9, "x": 1}
        assert states.Scheduled(context=given).context == {"tags": ["mine"], "task_run_count": 3, "x": 1}
        restored = State.deserialize({"type": "Retrying", "run_count": 2, "context": {"y": 1}})
        assert restored.context == {"y": 1}
    assert (states.Retrying().run_count, states.Looped().loop_count) == (1, 1)
    assert states.Scheduled().context == {}


SERIALIZED = [
    (states.Success("done", 5), {"type": "Success", "message": "done"}),
    (states.Retrying(run_count=4, start_time=MOMENT, context={"z": {"q": 1}}), {"run_count": 4, "context": {"z": {"q": 1}}}),
    (states.Scheduled(start_time=datetime(2030, 1, 1)), {"start_time": "2030-01-01T00:00:00+00:00"}),
    (states.Paused(), {"start_time": None}),
    (states.Looped(loop_count=5), {"loop_count": 5}),
    (states.Submitted(state=states.Retrying(run_count=3)), {"type": "Submitted"}),
    (states.Queued("q", start_time=MOMENT), {"state": None, "start_time": "2030-01-01T00:00:00+00:00"}),
    (
        states.Cached(cached_result_expiration=MOMENT, hashed_inputs={"x": "1"}, cached_parameters={"p": [1]}),
        {"hashed_inputs": {"x": "1"}, "cached_parameters": {"p": [1]}},
    ),
    (State(), {"type": "State", "message": None}),
]


@pytest.mark.parametrize(("state", "part"), SERIALIZED)
def test_serialize_and_back(state: State, part: dict[str, Any]) -> None:
    document = json.loads(json.dumps(state.serialize()))
    assert document.items() >= part.items()
    restored = State.deserialize(document)
    assert type(restored) is type(state)
    assert (restored.message, restored.context) == (state.message, state.context)
    state = copy.copy(state)
    state.result = restored.result  # which stays out
    assert restored == state


@each
def test_every_state_can_be_serialized(name: str) -> None:
    document = BY_NAME[name]("m").serialize()
    assert State.deserialize(document).serialize() == document


def test_a_result_is_named_but_not_written() -> None:
    assert states.Success(result=5).serialize()["_result"]["type"] == "Result"
    assert states.Success().serialize()["_result"]["type"] == "NoResultType"
    assert "5" not in json.dumps({**states.Success(result=5).serialize(), "__version__": "", "_result": ""})


def test_the_children_of_a_serialized_state_are_unknown() -> None:
    restored = State.deserialize(states.Mapped(map_states=[states.Success(), states.Failed()]).serialize())
    assert isinstance(restored, states.Mapped)
    assert (restored.map_states, restored.n_map_states) == ([None, None], 2)


def test_what_json_does_not_know_is_shown() -> None:
    state = states.Cached(ValueError("text"), cached_parameters={"f": print}, context={1: "\udcff"})  # type: ignore[dict-item]
    document = json.loads(json.dumps(state.serialize()))
    assert document["message"] == "text"
    assert document["cached_parameters"] == {"f": repr(print)}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "type"),
        (None, "type"),
        ({"type": "Nope"}, "Nope"),
        ({"type": "_MetaState"}, "_MetaState"),
        ({"type": "Success", "message": 3}, "message"),
        ({"type": "Success", "context": [1]}, "context"),
        ({"type": "Retrying", "run_count": "x"}, "run_count"),
        ({"type": "Mapped", "n_map_states": True}, "n_map_states"),
        ({"type": "Scheduled", "start_time": "zz"}, "start_time"),
        ({"type": "Submitted", "state": {"type": "Nope"}}, "Nope"),
    ],
)
def test_what_describes_no_state_is_said(document: Any, words: str) -> None:
    with pytest.raises(SerializationError, match=words):
        State.deserialize(document)


def test_a_newer_field_is_ignored() -> None:
    assert State.deserialize({"type": "Success", "bogus": 1}) == states.Success()


class Demanding(Exception):
    def __init__(self, one: int, other: int) -> None:
        super().__init__(one)


class Locked(Exception):
    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.lock = threading.Lock()


class Mirror(Exception):
    """Refers to the state it is the result of."""


def test_a_state_whose_exception_cannot_be_pickled_can() -> None:
    for dumps in (pickle.dumps, cloudpickle.dumps):
        restored = pickle.loads(dumps(states.Failed("m", Locked("boom"))))
        assert type(restored) is states.Failed
        assert restored.message == "m"
        assert restored.result.startswith("The following exception could not be pickled due to TypeError(")
        assert restored.result.endswith("Locked('boom')")
        restored = pickle.loads(dumps(states.Failed("m", Demanding(1, 2))))
        assert "Demanding(1)" in restored.result
        restored = pickle.loads(dumps(states.Failed("m", ValueError("fine"))))
        assert repr(restored.result) == "ValueError('fine')"


def test_an_exception_may_refer_to_its_state() -> None:
    state = states.Failed(result=Mirror("me"))
    state.result.state = state
    restored = pickle.loads(pickle.dumps(state))
    assert restored.result.state is restored


def test_copying_keeps_any_exception() -> None:
    state = states.Failed(result=Locked("boom"))
    assert copy.copy(state).result is state.result


def test_a_result_is_in_its_state() -> None:
    state = states.Success(result=1)
    assert state.load_result() is state
