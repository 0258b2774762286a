"""Triggers: functions that decide from the upstream states whether a task runs.

Each takes `{edge: state}` and returns True, or raises the signal the task ends with instead: TRIGGERFAIL, SKIP or PAUSE. The
children of a mapped task count one by one; Skipped counts as a success; constants are no upstream tasks and do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from prefectlite.contexts import context
from prefectlite.signals import PAUSE, SKIP, TRIGGERFAIL
from prefectlite.states import Mapped, State

UpstreamStates = Mapping[Any, State]


def _each(upstream_states: UpstreamStates) -> list[State]:
    states: list[State] = []
    for state in upstream_states.values():
        if isinstance(state, Mapped):
            states.extend(child for child in state.map_states if child is not None)
        else:
            states.append(state)
    return states


def all_successful(upstream_states: UpstreamStates) -> bool:
    """Runs when every upstream task succeeded (the default)."""
    for state in _each(upstream_states):  # nearly every task run asks this, and `all` with a generator costs twice as much
        if not state.is_successful():
            raise TRIGGERFAIL('Trigger was "all_successful" but some of the upstream tasks failed.')
    return True


def all_failed(upstream_states: UpstreamStates) -> bool:
    """Runs when every upstream task failed."""
    if not all(state.is_failed() for state in _each(upstream_states)):
        raise TRIGGERFAIL('Trigger was "all_failed" but some of the upstream tasks succeeded.')
    return True


def any_successful(upstream_states: UpstreamStates) -> bool:
    """Runs when at least one upstream task succeeded, or there is none."""
    if upstream_states and not any(state.is_successful() for state in _each(upstream_states)):
        raise TRIGGERFAIL('Trigger was "any_successful" but none of the upstream tasks succeeded.')
    return True


def any_failed(upstream_states: UpstreamStates) -> bool:
    """Runs when at least one upstream task failed, or there is none."""
    if upstream_states and not any(state.is_failed() for state in _each(upstream_states)):
        raise TRIGGERFAIL('Trigger was "any_failed" but none of the upstream tasks failed.')
    return True


def all_finished(upstream_states: UpstreamStates) -> bool:
    """Runs when every upstream task ended, however it ended."""
    if not all(state.is_finished() for state in _each(upstream_states)):
        raise TRIGGERFAIL('Trigger was "all_finished" but some of the upstream tasks were not finished.')
    return True


always_run = all_finished


def manual_only(upstream_states: UpstreamStates) -> bool:
    """Runs when a person says so: until then the task is paused."""
    if not context.get("resume"):
        raise PAUSE('Trigger function is "manual_only"')
    return True


def not_all_skipped(upstream_states: UpstreamStates) -> bool:
    """Runs when every upstream task succeeded and not all were skipped; skips the task if all were. A root task runs."""
    states = list(_each(upstream_states))
    if upstream_states and all(state.is_skipped() for state in states):
        raise SKIP("All upstreams were skipped", result=None)
    if not all(state.is_successful() for state in states):
        raise TRIGGERFAIL('Trigger was "not_all_skipped" but some of the upstream tasks failed.')
    return True


def some_failed(at_least: float | None = None, at_most: float | None = None) -> Callable[[UpstreamStates], bool]:
    """A trigger that runs when a number of upstream tasks between these two failed; below 1 they are fractions of all."""
    return _some("some_failed", State.is_failed, at_least, at_most)


def some_successful(at_least: float | None = None, at_most: float | None = None) -> Callable[[UpstreamStates], bool]:
    """A trigger that runs when a number of upstream tasks between these two succeeded; below 1 they are fractions of all."""
    return _some("some_successful", State.is_successful, at_least, at_most)


def _some(
    name: str, counts: Callable[[State], bool], at_least: float | None, at_most: float | None
) -> Callable[[UpstreamStates], bool]:
    def trigger(upstream_states: UpstreamStates) -> bool:
        if not upstream_states:
            return True
        # A state that is upstream by several edges counts once.
        states = {id(state): state for state in _each(upstream_states)}
        number = sum(counts(state) for state in states.values())

        def of_all(limit: float) -> float:
            return limit * len(states) if limit < 1 else limit

        if (at_least is not None and number < of_all(at_least)) or (at_most is not None and number > of_all(at_most)):
            raise TRIGGERFAIL(f'Trigger was "{name}" but thresholds were not met.')
        return True

    trigger.__name__ = trigger.__qualname__ = name
    return trigger


def resource_cleanup_trigger(upstream_states: UpstreamStates) -> bool:
    """Runs the cleanup of a resource once everything that may use it has ended, if the resource was set up at all."""
    if not all(state.is_finished() for state in _each(upstream_states)):
        raise TRIGGERFAIL("Trigger was 'resource_cleanup_trigger' but some of the upstream tasks were not finished.")
    steps = {edge.key: state for edge, state in upstream_states.items() if edge.key is not None}
    for key, step in (("mgr", "init"), ("resource", "setup")):
        state = steps.get(key)
        if state is not None and (state.is_skipped() or not state.is_successful()):
            raise SKIP(f"Resource manager {step} {'skipped' if state.is_skipped() else 'failed'}")
    return True
