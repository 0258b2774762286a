"""Triggers: functions that decide from the upstream states whether a task runs.

Each takes `{edge: state}` and returns True, or raises TRIGGERFAIL. Skipped counts as a success.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prefectlite.signals import TRIGGERFAIL
from prefectlite.states import Mapped, State

UpstreamStates = Mapping[Any, State]


def _each(upstream_states: UpstreamStates) -> Iterator[State]:
    for state in upstream_states.values():
        if isinstance(state, Mapped) and state.map_states:
            yield from (child for child in state.map_states if child is not None)
        else:
            yield state


def all_successful(upstream_states: UpstreamStates) -> bool:
    """Runs when every upstream task succeeded (the default)."""
    if not all(state.is_successful() for state in _each(upstream_states)):
        raise TRIGGERFAIL('Trigger was "all_successful" but some of the upstream tasks failed.')
    return True


def all_failed(upstream_states: UpstreamStates) -> bool:
    """Runs when every upstream task failed."""
    if not all(state.is_failed() for state in _each(upstream_states)):
        raise TRIGGERFAIL('Trigger was "all_failed" but some of the upstream tasks succeeded.')
    return True


def any_successful(upstream_states: UpstreamStates) -> bool:
    """Runs when at least one upstream task succeeded."""
    states = list(_each(upstream_states))
    if states and not any(state.is_successful() for state in states):
        raise TRIGGERFAIL('Trigger was "any_successful" but none of the upstream tasks succeeded.')
    return True


def any_failed(upstream_states: UpstreamStates) -> bool:
    """Runs when at least one upstream task failed."""
    states = list(_each(upstream_states))
    if states and not any(state.is_failed() for state in states):
        raise TRIGGERFAIL('Trigger was "any_failed" but none of the upstream tasks failed.')
    return True


def all_finished(upstream_states: UpstreamStates) -> bool:
    """Runs when every upstream task ended, however it ended."""
    if not all(state.is_finished() for state in _each(upstream_states)):
        raise TRIGGERFAIL('Trigger was "all_finished" but some of the upstream tasks were not finished.')
    return True


always_run = all_finished
