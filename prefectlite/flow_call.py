"""What one call of `flow.run(...)` asks for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from prefectlite.contexts import surrounding_values
from prefectlite.engine.requests import RunOptions
from prefectlite.errors import FlowError, UnexpectedArgument
from prefectlite.language.executor import checked_executor
from prefectlite.language.graph import Graph
from prefectlite.language.parameter import checked_values, unexpected
from prefectlite.runners import told_of_runners
from prefectlite.states import State


class RunCall(msgspec.Struct, frozen=True):
    """One call of `flow.run(...)`."""

    flow: Graph
    parameters: dict[str, Any]
    context: dict[str, Any]  # given for this run, and recorded with it
    surroundings: dict[str, Any]  # the values of `prefectlite.context` where the call was made
    options: RunOptions
    name: str | None = None
    run_id: str | None = None
    start_time: datetime | None = None
    state: State | None = None  # in which the run begins


def call_of(flow: Graph, parameters: Mapping[str, Any], keywords: dict[str, Any]) -> RunCall:
    """What `flow.run(parameters, **keywords)` asks for. Raises ParameterError, TypeError or FlowError."""
    names = {task.name for task in flow.parameters()}
    values = dict(checked_values(flow, parameters))
    values.update({name: keywords.pop(name) for name in list(keywords) if name in names})
    if "return_tasks" in keywords:
        raise FlowError(
            "The `return_tasks` keyword cannot be provided to `flow.run()`; all task states are always returned."
            " FlowRunner(flow).run(return_tasks=…) returns those of some tasks"
        )
    state = keywords.pop("state", None)
    options = RunOptions(
        executor=checked_executor(keywords.pop("executor", None), f"Flow {flow.name!r}"),
        task_states=keywords.pop("task_states", None) or {},
        task_values=keywords.pop("task_contexts", None) or {},
        task_handlers=told_of_runners(keywords.pop("task_runner_state_handlers", None) or ()),
    )
    call = RunCall(
        flow=flow,
        parameters=values,
        context=keywords.pop("context", None) or {},
        surroundings=surrounding_values(),
        options=options,
        name=keywords.pop("flow_run_name", None),
        run_id=keywords.pop("flow_run_id", None),
        start_time=getattr(state, "start_time", None) if isinstance(state, State) else None,
        state=state,
    )
    if keywords:
        raise UnexpectedArgument(unexpected(flow, keywords))
    return call
