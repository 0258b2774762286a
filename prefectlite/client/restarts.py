"""Which task runs are to run again when a flow run is restarted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from prefectlite.records import TaskRunRow
from prefectlite.states import BY_NAME, Failed, Success

#: A task run: its task, and the index of the child, or WHOLE for the task itself and all its children.
Place = tuple[str, int]
WHOLE = -1


class Dependency(msgspec.Struct, frozen=True):
    """That one task takes what another one gives; `one_by_one` where each child takes what one child gives."""

    upstream: str
    downstream: str
    one_by_one: bool


def to_run_again(
    runs: Collection[TaskRunRow], dependencies: Iterable[Dependency], chosen: Collection[str] = ()
) -> list[TaskRunRow]:
    """The task runs to run again: those of the tasks `chosen`, or those that did not succeed, and all that depend on them.

    Of mapped tasks only the children that are concerned.
    """
    downstream: defaultdict[str, list[Dependency]] = defaultdict(list)
    for dependency in dependencies:
        downstream[dependency.upstream].append(dependency)
    children = {(run.task_id, run.map_index) for run in runs}
    again: set[Place] = set()
    ahead = [(task, WHOLE) for task in chosen] or [(run.task_id, run.map_index) for run in runs if not _succeeded(run)]
    while ahead:
        task, index = place = ahead.pop()
        if place in again:
            continue
        again.add(place)
        for one in downstream[task]:
            follows = one.one_by_one and index != WHOLE and (one.downstream, index) in children
            ahead.append((one.downstream, index if follows else WHOLE))
    return [run for run in runs if {(run.task_id, run.map_index), (run.task_id, WHOLE)} & again]


def dependencies(structure: dict[str, Any], task_ids: dict[str, str]) -> list[Dependency]:
    """Those of a serialized flow."""
    return [
        Dependency(
            task_ids[edge["upstream"]], task_ids[edge["downstream"]], edge["mapped"] and not edge.get("flattened", False)
        )
        for edge in structure["edges"]
    ]


def _succeeded(run: TaskRunRow) -> bool:
    return issubclass(BY_NAME.get(run.state.name, Failed), Success)
