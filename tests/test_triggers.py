from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefectlite import Task, context, triggers
from prefectlite.language.graph import Edge
from prefectlite.signals import PAUSE, SKIP, TRIGGERFAIL, StateSignal
from prefectlite.states import Cancelled, Failed, Mapped, Pending, Running, Skipped, State, Success, TriggerFailed

Trigger = Callable[[dict[int, State]], bool]
S, F, K, T, C, P, R = Success, Failed, Skipped, TriggerFailed, Cancelled, Pending, Running
ALL: dict[str, Trigger] = {
    name: getattr(triggers, name)
    for name in ("all_successful", "all_failed", "any_successful", "any_failed", "all_finished", "always_run")
}


def decide(trigger: Trigger, states: list[State]) -> bool:
    try:
        return trigger(dict(enumerate(states)))
    except TRIGGERFAIL:
        return False


@pytest.mark.parametrize("name", ALL)
def test_without_upstream_tasks_it_runs(name: str) -> None:
    assert ALL[name]({}) is True


@pytest.mark.parametrize(
    ("name", "yes", "no"),
    [
        ("all_successful", [[S], [S, S], [S, K], [K]], [[F], [S, F], [T], [S, P], [C], [R]]),
        ("all_failed", [[F], [F, F], [F, T], [T]], [[S], [S, F], [K], [F, P], [C]]),
        ("any_successful", [[S], [S, F], [K, F], [S, P]], [[F], [T, F], [C], [P]]),
        ("any_failed", [[F], [S, F], [T, S], [F, P]], [[S], [S, K], [C], [P]]),
        ("all_finished", [[S], [F], [S, F, K, T, C]], [[P], [S, P], [R]]),
        ("always_run", [[S], [F], [S, F, K, T, C]], [[P], [S, P], [R]]),
    ],
)
def test_what_each_accepts(name: str, yes: list[list[type[State]]], no: list[list[type[State]]]) -> None:
    for kinds in yes:
        assert ALL[name](dict(enumerate(kind() for kind in kinds))) is True, kinds
    for kinds in no:
        states = dict(enumerate(kind() for kind in kinds))
        shown = "all_finished" if name == "always_run" else name
        with pytest.raises(TRIGGERFAIL, match=f'Trigger was "{shown}" but') as caught:
            ALL[name](states)
        assert caught.value.state.is_failed()
        assert caught.value.state.result is caught.value


@pytest.mark.parametrize("name", ALL)
@settings(deadline=None)
@given(kinds=st.lists(st.sampled_from([S, F, K, T, C]), min_size=1, max_size=4), rest=st.sampled_from([S, F, K]))
def test_the_children_of_a_mapped_task_count_one_by_one(name: str, kinds: list[type[State]], rest: type[State]) -> None:
    children = [kind() for kind in kinds]
    mapped = Mapped(map_states=[children[0], None, *children[1:]])
    assert decide(ALL[name], [mapped, rest()]) == decide(ALL[name], [*children, rest()])


@pytest.mark.parametrize("name", ALL)
def test_a_mapped_task_without_children_does_not_count(name: str) -> None:
    assert decide(ALL[name], [Mapped()]) == (not name.startswith("any_"))
    assert decide(ALL[name], [Mapped(), Success()]) == decide(ALL[name], [Success()])
    assert decide(ALL[name], [Mapped(), Failed()]) == decide(ALL[name], [Failed()])


@pytest.mark.parametrize("name", ALL)
@settings(deadline=None)
@given(kinds=st.lists(st.sampled_from([S, F, K, T, C, P]), max_size=5), data=st.data())
def test_the_order_does_not_matter(name: str, kinds: list[type[State]], data: st.DataObject) -> None:
    states = [kind() for kind in kinds]
    assert decide(ALL[name], states) == decide(ALL[name], data.draw(st.permutations(states)))


def raised(trigger: Trigger, states: list[State]) -> StateSignal | bool:
    try:
        return trigger(dict(enumerate(states)))
    except StateSignal as signal:
        return signal


def test_manual_only_waits_for_a_person() -> None:
    for states in ([], [Success()], [Failed(), Pending()]):
        signal = raised(triggers.manual_only, states)
        assert isinstance(signal, PAUSE)
        assert str(signal) == 'Trigger function is "manual_only"'
        assert signal.state.start_time is None  # type: ignore[attr-defined]
        with context(resume=True):
            assert raised(triggers.manual_only, states) is True
        with context(resume=False):
            assert isinstance(raised(triggers.manual_only, states), PAUSE)


@pytest.mark.parametrize(
    ("kinds", "answer"),
    [
        ([], True),
        ([S], True),
        ([S, K], True),
        ([K], SKIP),
        ([K, K], SKIP),
        ([F], TRIGGERFAIL),
        ([S, F], TRIGGERFAIL),
        ([F, K], TRIGGERFAIL),
        ([T], TRIGGERFAIL),
        ([P], TRIGGERFAIL),
        ([C], TRIGGERFAIL),
        ([Mapped], SKIP),
    ],
)
def test_not_all_skipped(kinds: list[type[State]], answer: type[StateSignal] | bool) -> None:
    signal = raised(triggers.not_all_skipped, [kind() for kind in kinds])
    if answer is True:
        assert signal is True
        return
    assert type(signal) is answer
    if isinstance(signal, SKIP):
        assert str(signal) == "All upstreams were skipped"
        assert signal.state.result is None
    else:
        assert str(signal) == 'Trigger was "not_all_skipped" but some of the upstream tasks failed.'


def test_not_all_skipped_looks_at_children() -> None:
    assert isinstance(raised(triggers.not_all_skipped, [Mapped(map_states=[K(), K()])]), SKIP)
    assert raised(triggers.not_all_skipped, [Mapped(map_states=[K(), S()])]) is True


THRESHOLDS = [
    # at_least, at_most, and the numbers of four states (of the kind that is counted) with which it runs
    (None, None, {0, 1, 2, 3, 4}),
    (0, None, {0, 1, 2, 3, 4}),
    (1, None, {1, 2, 3, 4}),
    (1.0, None, {1, 2, 3, 4}),
    (1.5, None, {2, 3, 4}),
    (2, None, {2, 3, 4}),
    (0.5, None, {2, 3, 4}),
    (0.3, None, {2, 3, 4}),
    (-1, None, {0, 1, 2, 3, 4}),
    (None, 0, {0}),
    (None, 1, {0, 1}),
    (None, 0.5, {0, 1, 2}),
    (None, 0.6, {0, 1, 2}),
    (1, 1, {1}),
    (0.25, 0.75, {1, 2, 3}),
    (3, 1, set()),
]


@pytest.mark.parametrize(("at_least", "at_most", "runs"), THRESHOLDS)
def test_some_counts_between_two_thresholds(at_least: float | None, at_most: float | None, runs: set[int]) -> None:
    for number in range(5):
        failed = [F() if place < number else S() for place in range(4)]
        successful = [S() if place < number else F() for place in range(4)]
        assert decide(triggers.some_failed(at_least, at_most), failed) == (number in runs), number
        assert decide(triggers.some_successful(at_least=at_least, at_most=at_most), successful) == (number in runs), number
    assert decide(triggers.some_failed(at_least, at_most), [])


def test_some_says_which_it_was() -> None:
    assert str(raised(triggers.some_failed(1), [S()])) == 'Trigger was "some_failed" but thresholds were not met.'
    assert str(raised(triggers.some_successful(1), [F()])) == 'Trigger was "some_successful" but thresholds were not met.'
    assert triggers.some_failed().__name__ == "some_failed"
    assert triggers.some_successful().__name__ == "some_successful"


def test_some_counts_a_skip_as_success_and_the_unfinished_as_neither() -> None:
    assert decide(triggers.some_successful(at_least=1), [K()])
    assert not decide(triggers.some_successful(at_least=1), [P()])
    assert not decide(triggers.some_failed(at_least=1), [P(), C()])
    assert decide(triggers.some_failed(at_least=1), [T()])


def test_some_counts_children_and_each_state_once() -> None:
    failed, success = F(), S()
    assert not decide(triggers.some_failed(at_least=2), [failed, failed])
    assert not decide(triggers.some_successful(at_least=2), [Mapped(map_states=[success, success])])
    assert decide(triggers.some_successful(at_least=2), [Mapped(map_states=[success, S()]), success])
    assert decide(triggers.some_failed(at_least=0.5), [Mapped(map_states=[F(), S()])])


@pytest.mark.parametrize(
    ("init", "setup", "used", "words"),
    [
        (S, S, S, None),
        (S, None, S, None),
        (S, S, F, None),
        (S, S, K, None),
        (F, T, T, "init failed"),
        (T, None, T, "init failed"),
        (K, K, K, "init skipped"),
        (S, F, T, "setup failed"),
        (S, C, T, "setup failed"),
        (S, K, K, "setup skipped"),
    ],
)
def test_cleanup_needs_a_setup(init: type[State], setup: type[State] | None, used: type[State], words: str | None) -> None:
    one, cleanup = Task(name="one"), Task(name="cleanup")
    states = {Edge(one, cleanup): used(), Edge(one, cleanup, key="mgr"): init()}
    if setup is not None:
        states[Edge(one, cleanup, key="resource")] = setup()
    if words is None:
        assert triggers.resource_cleanup_trigger(states)
    else:
        with pytest.raises(SKIP, match=f"^Resource manager {words}$"):
            triggers.resource_cleanup_trigger(states)


def test_cleanup_waits_for_everybody() -> None:
    one, cleanup = Task(name="one"), Task(name="cleanup")
    for state in (P(), R(), Mapped(map_states=[S(), P()])):
        states = {Edge(one, cleanup): state, Edge(one, cleanup, key="mgr"): S()}
        with pytest.raises(TRIGGERFAIL, match="Trigger was 'resource_cleanup_trigger' but some of the upstream tasks"):
            triggers.resource_cleanup_trigger(states)
