from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefectlite import triggers
from prefectlite.signals import TRIGGERFAIL
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
def test_a_mapped_task_without_children_counts_itself(name: str) -> None:
    assert decide(ALL[name], [Mapped()]) == decide(ALL[name], [Success()])


@pytest.mark.parametrize("name", ALL)
@settings(deadline=None)
@given(kinds=st.lists(st.sampled_from([S, F, K, T, C, P]), max_size=5), data=st.data())
def test_the_order_does_not_matter(name: str, kinds: list[type[State]], data: st.DataObject) -> None:
    states = [kind() for kind in kinds]
    assert decide(ALL[name], states) == decide(ALL[name], data.draw(st.permutations(states)))
