"""Results that tasks write to a place of the user's choice, and find there again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prefectlite.language.task import Task
from prefectlite.states import Cached

if TYPE_CHECKING:
    from prefectlite.engine.calling import Caller


def template_values(values: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What a name or location template may use: parameters, then the context, then the task's inputs, the last winning."""
    fields = {**values.get("parameters", {}), **values, **inputs}
    fields.pop("self", None)
    return fields


async def target_hit(caller: Caller, task: Task, fields: Mapping[str, Any]) -> Cached | None:
    """The state of a task whose target exists already, with what is there as its result; None where nothing is."""
    return await caller.aside(_read, task, fields)  # type: ignore[no-any-return]


def _read(task: Task, fields: Mapping[str, Any]) -> Cached | None:
    target = task.target(**fields) if callable(task.target) else task.target
    if not task.result.exists(target, **fields):
        return None
    place = str(target).format(**fields)
    known = task.result.read(place)
    return Cached(f"Result found at task target {place}", known.value, context={"result_location": place})


def written(task: Task, flow_result: Any, value: Any, fields: Mapping[str, Any]) -> str | None:
    """Where `value` has been written to, by the task's own result or else the flow's; None where there is neither."""
    result = task.result if task.result is not None else flow_result
    if result is None or value is None:
        return None
    return result.write(value, **fields).location  # type: ignore[no-any-return]
