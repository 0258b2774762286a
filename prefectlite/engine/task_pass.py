"""The pipeline of a task run: what happens between its upstream states and its own, in order.

    ready? ▸ its time? ▸ upstreams finished? ▸ one skipped? ▸ inputs ▸ name ▸ target or cache ▸ trigger ▸ Running ▸
    the user's code ▸ cache it ▸ retry? ▸ another round?

Every change of state is seen by the state handlers. The order, and which failures end the pass where, are Prefect 1.x's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

from prefectlite.contexts import enter_values
from prefectlite.engine.caching import CachePlace, cached_now, cached_outcome, default_cache_key
from prefectlite.engine.expansion import SKIP_MESSAGE, any_skipped
from prefectlite.engine.handlers import EndRun
from prefectlite.engine.outcomes import Call, Outcome
from prefectlite.engine.pass_around import PassAround, raise_if_wanted
from prefectlite.engine.pauses import is_resumed
from prefectlite.engine.run_logs import is_heard, stdout_logged, task_begun, task_ended
from prefectlite.engine.run_values import task_values
from prefectlite.engine.targets import target_hit, template_values
from prefectlite.engine.units import Round, Unit, inputs
from prefectlite.language.graph import Edge
from prefectlite.pauses import ANSWERS
from prefectlite.records import ResultRecord
from prefectlite.results import codec
from prefectlite.shown import told
from prefectlite.signals import ENDRUN, TRIGGERFAIL, StateSignal, TaskTimeoutSignal
from prefectlite.states import (
    Failed,
    Looped,
    Mapped,
    Pending,
    Resume,
    Retrying,
    Running,
    Skipped,
    State,
    Success,
    TriggerFailed,
)
from prefectlite.triggers import all_successful

_logger = logging.getLogger("prefectlite.TaskRunner")
_NO_CAPTURE, _PLAIN = nullcontext(), {Success}


class TaskPass:
    """One pass of one task run. Afterwards `name` and `cache_key` are what the record is to know of it."""

    def __init__(self, execution: PassAround, unit: Unit, upstream: dict[Edge, State]) -> None:
        self._execution, self._unit, self._upstream = execution, unit, upstream
        self._task = unit.node.task
        self._handlers = execution.handlers_of(unit)
        self._outcome: Outcome | None = None
        self.name: str | None = None
        self.cache_key: str | None = None

    async def run(self, state: State) -> State:
        """The state the task run ends in, or waits in for another pass: `state` itself where it is not its turn."""
        has_begun, heard = False, is_heard()
        try:
            while True:
                state = state if type(state) is Pending and not state.context else _unwrapped(state)
                self._enter_values(state)
                if heard and not has_begun:
                    task_begun(self._unit)
                    has_begun = True
                state = await self._through(state)
                if not isinstance(state, Looped):
                    break
                state = self._next_round(state)
        except EndRun as end:
            if end.error is not None:
                raise_if_wanted(self._execution, end.error)
            state = end.state
        except (StateSignal, ENDRUN) as signal:
            state = signal.state
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:  # a name that exits must not take the process with it
            _logger.exception("Task '%s': Unexpected error while running task", self._unit.label)
            raise_if_wanted(self._execution, error)
            state = Failed(f"Task '{self._unit.label}': Unexpected error while running task: {told(error)}", error)
        if heard:
            task_ended(self._unit, state)
        return state

    def record_of(self, state: State) -> ResultRecord | None:
        """The result of `state` as the record keeps it."""
        outcome = self._outcome
        result = None
        if outcome is not None and outcome.result is not None and state._result is outcome.state._result:
            result = outcome.result
        elif state.is_finished() and state.has_result:
            result = self._execution.caller.outcomes.record_of(self._unit, state)
        if result in (None, codec.NONE) and state.is_finished() and self._unit.version > 1:
            return codec.NONE_INSTEAD  # of what an earlier round, or an earlier process, gave
        return result

    # -- 1: where it stands -----------------------------------------------------------------------------------------------

    def _enter_values(self, state: State) -> None:
        unit = self._unit
        self.run_count = state.run_count + 1 if isinstance(state, Retrying) else state.context.get("task_run_count") or 1
        has_round = "_loop_count" in state.context
        unit.round = Round(state.context["_loop_count"], state.result) if has_round else None
        unit.answers = state.context.get(ANSWERS, unit.answers)
        values = task_values(self._execution.values, unit, self.run_count)
        self._resumed = is_resumed(unit, state, self._execution.clock)
        if self._resumed:
            values["resume"] = True
        self._values = values
        enter_values(values)

    def _is_due(self, state: Any) -> bool:
        return state.start_time is not None and state.start_time <= self._execution.clock.now()

    # -- 2: the steps -----------------------------------------------------------------------------------------------------

    async def _through(self, state: State) -> State:
        task = self._task
        self._check_ready(state)
        all_well = _PLAIN.issuperset(map(type, self._upstream.values()))  # as nearly always
        if not all_well and task.skip_on_upstream_skip and any_skipped(self._upstream.values()):
            await self._end(state, Skipped(SKIP_MESSAGE))
        self._arguments = inputs(self._unit, self._upstream)
        if task.task_run_name is not None:
            self.name = await self._run_name()
        if task.target is not None:
            state = await self._step(state, self._target_hit)
        elif task.cache_for is not None or state.is_cached():
            state = await self._step(state, self._cache_hit)
        if not all_well or task.trigger is not all_successful:
            await self._check_trigger(state)
        if not state.is_pending():
            raise EndRun(state)
        running: State = self._running()
        if self._handlers:
            running = await self._handlers.see(state, running)
            if not running.is_running():
                raise EndRun(running)
        round_ = self._unit.round
        last = None if round_ is None else await self._record_of(round_)
        if (slot := self._execution.begin(self._unit, running, last)) is not None:
            await slot
        state = await self._called(running)
        if task.cache_for is not None and state.is_successful() and not state.is_skipped():
            state = await self._step(state, self._now_cached)
        return await self._retried(state) if state.is_failed() else state

    def _check_ready(self, state: State) -> None:
        if type(state) is not Pending:
            if not (state.is_pending() or isinstance(state, Mapped) or state.is_cached()):
                raise EndRun(state)
            if state.is_scheduled() and not isinstance(state, Resume) and not self._is_due(state):
                raise EndRun(state)
        if self._execution.single_pass and not all(_is_finished(upstream) for upstream in self._upstream.values()):
            raise EndRun(state)

    async def _check_trigger(self, state: State) -> None:
        try:
            if self._task.trigger(self._upstream):
                return
            end: State = TRIGGERFAIL("Trigger failed").state
        except (StateSignal, ENDRUN) as signal:
            end = signal.state
        except BaseException as error:
            _logger.exception("Task '%s': Unexpected error while checking task trigger", self._unit.label)
            raise_if_wanted(self._execution, error)
            end = TriggerFailed(f"Unexpected error while checking task trigger: {told(error)}", error)
        await self._end(state, end)

    async def _end(self, old: State, new: State) -> None:
        raise EndRun(await self._handlers.see(old, new))

    async def _step(self, state: State, step: Callable[[State], Any]) -> State:
        """`state` after one step, as the handlers have it. What the step raises becomes the state."""
        try:
            new: State = await step(state)
        except ENDRUN as end:
            raise EndRun(await self._handlers.see(state, end.state)) from None
        except StateSignal as signal:
            new = signal.state
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:  # a validator that exits must not take the process with it
            _logger.exception("Task '%s': Unexpected error", self._unit.label)
            raise_if_wanted(self._execution, error)
            new = Failed(f"Unexpected error: {told(error)}", error)
        return await self._handlers.see(state, new)

    async def _run_name(self) -> str:
        template = self._task.task_run_name
        fields = template_values(self._values, self._arguments)
        name = (
            template.format(**fields)
            if isinstance(template, str)
            else await self._execution.caller.aside(partial(template, **fields))
        )
        self._values["task_run_name"] = name
        enter_values(self._values)
        return told(name, str)

    async def _target_hit(self, state: State) -> State:
        fields = template_values(self._values, self._arguments)
        return await target_hit(self._execution.caller, self._task, self._execution.graph.result, fields) or state

    async def _cache_hit(self, state: State) -> State:
        place = CachePlace(self._task, self._key(), self._values.get("flow_run_id", ""), self._unit.index)
        around = self._execution
        return await cached_now(around.reader, around.results, place, state, self._arguments, self._values["parameters"])

    async def _now_cached(self, state: State) -> State:
        self.cache_key = self._key()
        cached = cached_outcome(self._task, state, self._arguments, self._values["parameters"], self._execution.clock.now())
        return cached

    def _key(self) -> str:
        return self._task.cache_key or default_cache_key(self._values["flow_name"], self._unit.node.slug)

    async def _record_of(self, last: Round) -> ResultRecord:
        """What the last round of a loop gave, so that a process that goes on from here has it."""
        record = self._execution.caller.outcomes.record(self._unit, last.result)
        return await self._execution.results.kept(self._unit, record)

    # -- 3: the user's code -----------------------------------------------------------------------------------------------

    def _running(self) -> Running:
        # A task that kills its process must not begin at its first attempt, or its first round, again and again.
        remembered = self._unit.answered
        if self.run_count > 1:
            remembered["task_run_count"] = self.run_count
        if self._unit.round is not None:
            remembered["_loop_count"] = self._unit.round.number
        if self._resumed:  # nobody is asked twice
            remembered["_resumed"] = True
        return Running("Starting task run.", context=remembered or None)

    async def _called(self, running: State) -> State:
        execution = self._execution
        with stdout_logged() if self._task.log_stdout else _NO_CAPTURE:
            thread = execution.own_thread() if self._task.thread == "flow" else None
            call = Call(self._unit, self._arguments, self._values, execution.graph.result, execution.is_stopping, thread)
            self._outcome = await execution.caller.call(call)
        state = self._outcome.state
        if isinstance(state, Looped) and state.message is None:
            state.message = f"Task is looping ({state.loop_count})"
        if self._values.get("raise_on_exception") and not (self._outcome.ends or _goes_on(state)):
            if _is_wanted_outside(state):
                execution.raise_outside(state.result)
            raise EndRun(state)  # a signal is not raised outside, and not seen by the handlers either
        if self._handlers:
            state = await self._handlers.see(running, state)
        if self._outcome.ends:
            raise EndRun(state)
        return state

    async def _retried(self, state: State) -> State:
        task = self._task
        if self.run_count > task.max_retries or (task.retry_on and not isinstance(state.result, tuple(task.retry_on))):
            return state
        due = self._execution.clock.now() + task.delay_after(self.run_count)
        message = f"Retrying Task (after attempt {self.run_count} of {task.max_retries + 1})"
        remembered = {**state.context, **self._unit.answered, "task_run_count": self.run_count, "failure": state.message}
        again = Retrying(message, start_time=due, run_count=self.run_count, context=remembered)
        if self._unit.round is not None:
            again.context["_loop_count"] = self._unit.round.number
            again.result = self._unit.round.result
        return await self._handlers.see(state, again)

    def _next_round(self, looped: Looped) -> State:
        # It knows how many rounds there were, and what the last one gave.
        return Pending(looped.message, looped.result, context={"_loop_count": looped.loop_count + 1})


def _unwrapped(state: State) -> State:
    while state.is_meta_state() and isinstance(inner := getattr(state, "state", None), State):
        state = inner
    return state


def _goes_on(state: State) -> bool:
    return isinstance(state, Looped) or (state.is_successful() and not state.is_skipped())


def _is_wanted_outside(state: State) -> bool:
    return state.is_failed() and isinstance(state.result, Exception | TaskTimeoutSignal)


def _is_finished(state: State) -> bool:
    if isinstance(state, Mapped):
        return all(child is not None and child.is_finished() for child in state.map_states)
    return state.is_finished()
