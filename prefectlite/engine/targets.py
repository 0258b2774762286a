"""Results that tasks write to a place of the user's choice, and find there again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prefectlite.errors import ResultNotImplementedError
from prefectlite.language.parameter import Parameter
from prefectlite.language.task import Task
from prefectlite.result import Result
from prefectlite.states import Cached

if TYPE_CHECKING:
    from prefectlite.engine.calling import Caller


def template_values(values: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What a name or location template may use: parameters, then the context, then the task's inputs, the last winning."""
    fields = {**values.get("parameters", {}), **values, **inputs}
    fields.pop("self", None)
    return fields


async def target_hit(caller: Caller, task: Task, flow_result: Result | None, fields: Mapping[str, Any]) -> Cached | None:
    """The state of a task whose target exists already, with what is there as its result; None where nothing is."""
    return await caller.aside(_read, task, flow_result, fields)  # type: ignore[no-any-return]


def _read(task: Task, flow_result: Result | None, fields: Mapping[str, Any]) -> Cached | None:
    result = result_of(task, flow_result) or Result()
    target = task.target(**fields) if callable(task.target) else task.target
    if not result.exists(str(target), **fields):
        return None
    place = str(target).format(**fields)
    known = result.read(place)
    return Cached(f"Result found at task target {place}", known.value, context={"result_location": place})


def written(task: Task, flow_result: Result | None, value: Any, fields: Mapping[str, Any]) -> str | None:
    """Where `value` has been written to, by the task's own result or else the flow's; None where there is neither."""
    result = result_of(task, flow_result)
    if result is None or value is None:
        return None
    try:
        return result.write(value, **fields).location
    except ResultNotImplementedError:  # a result that only is, and is kept nowhere
        return None


def result_of(task: Task, flow_result: Result | None) -> Result | None:
    """The task's own result, or else the flow's, with the task's target as its location; None where there is neither.

    What a parameter is given is in the record of the run already: the flow's result is none of its business.
    """
    result: Result | None = task.result if task.result is not None or isinstance(task, Parameter) else flow_result
    return result.at(task.target) if result is not None and task.target is not None else result
