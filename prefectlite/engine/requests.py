"""What the engine is asked to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from prefectlite.engine.plan import Node
from prefectlite.language.executor import Executor
from prefectlite.language.graph import Graph
from prefectlite.language.task import Task
from prefectlite.records import TaskRunRow
from prefectlite.states import Pending, State


class RunOptions(msgspec.Struct, frozen=True):
    """How a flow run is executed, as its caller may choose."""

    executor: Executor | None = None
    task_states: Mapping[Task, State] = {}  # in which tasks begin; finished ones are not run
    task_values: Mapping[Task, dict[str, Any]] = {}  # additional values of `prefectlite.context` for single tasks
    task_handlers: Sequence[Callable[..., Any]] = ()  # state handlers beside those of the tasks
    prompt: Callable[[str], str] | None = None  # asks the person at the terminal
    single_pass: bool = False  # wait for nothing: neither for retries nor for pauses
    state: State | None = None  # in which the flow run begins, where that is not simply Scheduled
    flow_handlers: Sequence[Callable[..., Any]] = ()  # state handlers beside those of the flow

    def start_of(self, node: Node) -> State | None:
        """The state in which a task begins, where that is not simply Pending."""
        given = self.task_states.get(node.task)
        if given is None or (node.is_resource and given.is_finished() and not given.is_cached()):
            return None
        return given if self.single_pass or not given.is_running() else Pending(given.message, context=given.context)


class RunRequest(msgspec.Struct, frozen=True):
    """What the engine is asked to execute, claimed and in state Running already."""

    flow_run_id: str
    graph: Graph
    task_ids: dict[str, str]
    lease: int
    values: dict[str, Any]  # what user code sees as prefectlite.context
    options: RunOptions
    recorded: Sequence[TaskRunRow] = ()  # what an earlier execution of this run left in the record
    is_paused: bool = False  # somebody has paused it since
