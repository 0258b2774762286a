"""Caches: results of earlier runs of a task that are still good."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from prefectlite.engine.large_results import LargeResults
from prefectlite.errors import SerializationError
from prefectlite.language.caching import hashed
from prefectlite.language.task import Task
from prefectlite.orchestrator.protocols import RunReader
from prefectlite.records import restore_state
from prefectlite.states import Cached, Pending, State

_logger = logging.getLogger("prefectlite.TaskRunner")


class CachePlace(NamedTuple):
    """Who looks for something cached: a task, under its key, in one run of its flow, maybe as a mapped child."""

    task: Task
    key: str
    flow_run_id: str
    map_index: int


def default_cache_key(flow_name: str, slug: str) -> str:
    """Under which a task without a `cache_key` finds what it cached: its own place in its flow, whichever version of it."""
    return f"{flow_name}/{slug}"


async def cached_now(
    reader: RunReader,
    results: LargeResults,
    place: CachePlace,
    state: State,
    inputs: Mapping[str, Any],
    parameters: Mapping[str, Any],
) -> State:
    """The newest cached state that the task's validator accepts, else `state`, or Pending where that was a stale cache.

    What a sibling, a child of the same mapped task, cached in this very run is none: it was made of another element.
    """
    task = place.task
    if isinstance(state, Cached):
        return state if _is_good(task, state, inputs, parameters) else Pending("Cache was invalid; ready to run.")
    stale = False
    for record, result in await reader.cached(place.key, place.flow_run_id, place.map_index):
        candidate = restore_state(record)
        try:
            candidate.result = None if result is None else await results.value(result)
        except SerializationError as error:  # it was never written down: only the process that made it could have used it
            if result is not None and result.is_elsewhere:
                _logger.warning("Task '%s': a cached result cannot be used: %s", task.name, error)
            continue
        if _is_good(task, candidate, inputs, parameters):
            return candidate
        stale = True
    if stale:
        _logger.warning("Task '%s': Can't use cache because it is now invalid", task.name)
    return state


def cached_outcome(
    task: Task, state: State, inputs: Mapping[str, Any], parameters: Mapping[str, Any], now: datetime
) -> Cached:
    """`state`, which succeeded, as it is kept for later runs."""
    assert task.cache_for is not None
    return Cached(
        state.message,
        state.result,
        hashed_inputs={name: hashed(value) for name, value in inputs.items()},
        cached_parameters=dict(parameters),
        cached_result_expiration=now + task.cache_for,
        context=state.context,
    )


def _is_good(task: Task, state: State, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> bool:
    return task.cache_validator is not None and bool(task.cache_validator(state, inputs, parameters))
