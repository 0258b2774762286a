from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from prefectlite import signals, states
from prefectlite.errors import FlowError
from prefectlite.signals import (
    ENDRUN,
    FAIL,
    LOOP,
    PAUSE,
    RETRY,
    SKIP,
    SUCCESS,
    TRIGGERFAIL,
    VALIDATIONFAIL,
    PrefectSignal,
    PrefectStateSignal,
    StateSignal,
    TaskTimeoutSignal,
    signal_from_state,
)

ALL = [
    (FAIL, states.Failed),
    (TRIGGERFAIL, states.TriggerFailed),
    (VALIDATIONFAIL, states.ValidationFailed),
    (PAUSE, states.Paused),
    (LOOP, states.Looped),
    (SUCCESS, states.Success),
    (SKIP, states.Skipped),
    (RETRY, states.Retrying),
]
each = pytest.mark.parametrize(("signal", "state"), ALL)


def test_this_list_is_complete() -> None:
    found = {c for c in vars(signals).values() if isinstance(c, type) and issubclass(c, StateSignal)}
    assert found == {StateSignal, *(signal for signal, _ in ALL)}


@each
def test_carries_its_state(signal: type[StateSignal], state: type[states.State]) -> None:
    raised = signal("because")
    assert type(raised.state) is state
    assert raised.state.message == "because"
    assert str(raised) == "because"


@each
def test_no_except_exception_swallows_it(signal: type[StateSignal], state: type[states.State]) -> None:
    def careless() -> None:
        try:
            raise signal("through")
        except Exception:
            return

    with pytest.raises(signal, match="through"):
        careless()


@each
def test_is_its_own_result_unless_one_is_given(signal: type[StateSignal], state: type[states.State]) -> None:
    raised = signal("because")
    if signal is LOOP:  # the next round gets the result, and has no use for a signal
        assert raised.state.result == "LOOP('because')"
    else:
        assert raised.state.result is raised
    assert signal("because", result=0).state.result == 0
    assert signal("because", 7).state.result == 7
    assert signal(result=None).state.result is None
    assert signal(result=None).state.has_result


@each
def test_without_a_message(signal: type[StateSignal], state: type[states.State]) -> None:
    assert signal().state.message is None


@each
def test_an_unknown_field_is_named(signal: type[StateSignal], state: type[states.State]) -> None:
    with pytest.raises(TypeError, match="colour"):
        signal("because", colour="red")


def test_fields_go_to_the_state() -> None:
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    raised = RETRY("later", start_time=moment, run_count=3)
    assert isinstance(raised.state, states.Retrying)
    assert raised.state.start_time == moment
    assert raised.state.run_count == 3


def test_retry_is_at_once_unless_told() -> None:
    state = RETRY().state
    assert isinstance(state, states.Retrying)
    assert state.start_time is not None
    assert state.start_time <= datetime.now(UTC)


def test_a_failed_trigger_is_a_failure() -> None:
    assert issubclass(TRIGGERFAIL, FAIL)
    assert TRIGGERFAIL().state.is_failed()


@each
@pytest.mark.parametrize("again", [lambda s: pickle.loads(pickle.dumps(s)), copy.deepcopy])
def test_survives_pickle_and_copy(signal: type[StateSignal], state: type[states.State], again: Any) -> None:
    restored = again(signal("because", result=[1]))
    assert type(restored) is signal
    assert type(restored.state) is state
    assert (restored.state.message, restored.state.result) == ("because", [1])
    own = again(signal("mine"))
    assert own.state.result is own or signal is LOOP


def test_the_names_users_know() -> None:
    assert PrefectStateSignal is StateSignal
    assert issubclass(VALIDATIONFAIL, FAIL)
    for signal, _ in ALL:
        assert issubclass(signal, PrefectSignal)
    assert not issubclass(PrefectSignal, Exception)


def test_repr() -> None:
    assert repr(FAIL("why")) == "FAIL('why')"
    assert LOOP().state.result == "LOOP()"
    assert LOOP(message="again").state.message == "again"
    assert repr(ENDRUN(states.Success())) == "ENDRUN('')"


@pytest.mark.parametrize(
    ("signal", "fields"),
    [(FAIL, "start_time"), (SUCCESS, "run_count"), (RETRY, "loop_count"), (PAUSE, "run_count"), (LOOP, "start_time")],
)
def test_fields_of_other_states_are_refused(signal: type[StateSignal], fields: str) -> None:
    with pytest.raises(TypeError, match=fields):
        signal(**{fields: 1})


def test_each_takes_what_its_state_takes() -> None:
    paused = PAUSE("wait", start_time=datetime(2030, 1, 1)).state
    assert isinstance(paused, states.Paused)
    assert paused.start_time == datetime(2030, 1, 1, tzinfo=UTC)
    assert PAUSE().state.start_time is None  # type: ignore[attr-defined]
    looped = LOOP(loop_count=4, result=2).state
    assert isinstance(looped, states.Looped)
    assert (looped.loop_count, looped.result) == (4, 2)
    assert FAIL(context={"a": 1}).state.context == {"a": 1}


def test_endrun_is_about_any_state() -> None:
    raised = ENDRUN(states.Success("enough", 2))
    assert not isinstance(raised, StateSignal)
    restored = pickle.loads(pickle.dumps(raised))
    assert (type(restored), restored.state.message, restored.state.result) == (ENDRUN, "enough", 2)
    assert copy.deepcopy(raised).state == raised.state
    with pytest.raises(TypeError, match="state"):
        ENDRUN()  # type: ignore[call-arg]
    assert issubclass(TaskTimeoutSignal, PrefectSignal)


@pytest.mark.parametrize("name", sorted(states.BY_NAME))
def test_signal_from_state(name: str) -> None:
    classes = {state: signal for signal, state in ALL}
    state = states.BY_NAME[name]("x")
    if type(state) in classes:
        assert signal_from_state(state) is classes[type(state)]
    else:
        with pytest.raises(ValueError, match=f'No signal matches the provided state: <{name}: "x">') as caught:
            signal_from_state(state)
        assert isinstance(caught.value, FlowError)
