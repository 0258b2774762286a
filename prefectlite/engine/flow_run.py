"""One flow run: starts every task as soon as what it waits for has ended, and decides how the flow ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

from prefectlite.engine import slots
from prefectlite.engine.crew import Crew
from prefectlite.engine.expansion import expanded, make_children
from prefectlite.engine.final_state import final_state
from prefectlite.engine.handlers import Handlers
from prefectlite.engine.holding import Hold
from prefectlite.engine.lanes import Lanes
from prefectlite.engine.pacing import Pace
from prefectlite.engine.pauses import Pauses
from prefectlite.engine.plan import Plan
from prefectlite.engine.progress import Progress
from prefectlite.engine.recorded import Recorded, expanded_as, news_of
from prefectlite.engine.requests import RunRequest
from prefectlite.engine.surroundings import Surroundings
from prefectlite.engine.task_run import commit, its_turn, run_unit
from prefectlite.engine.units import Unit
from prefectlite.errors import TransitionRefused
from prefectlite.executors.threads import OwnThread
from prefectlite.language.task import Task
from prefectlite.records import ResultRecord
from prefectlite.rules.proposals import Accept, Order, Refuse, Verdict
from prefectlite.states import Cached, Cancelled, Failed, Mapped, Paused, Pending, State, Success

_logger = logging.getLogger("prefectlite.FlowRunner")


class FlowRunExecution:
    """The execution of one flow run, alive from claim to final state."""

    def __init__(self, request: RunRequest, around: Surroundings) -> None:
        self.flow_run_id, self.lease, self.values = request.flow_run_id, request.lease, request.values
        self.orchestrator, self.caller, self.clock = around.orchestrator, around.caller, around.clock
        self.reader, self.results = around.reader, around.results.of_run(request.flow_run_id, request.lease)
        self.graph = request.graph
        self.options = request.options
        self.single_pass = request.options.single_pass
        self.error: BaseException | None = None
        self.wanted: BaseException | None = None  # an error of a task's own that is to be raised outside
        self._patience, self._max_children = around.settings.cancel_patience, around.settings.max_map_children
        self._executor = executor = request.options.executor or request.graph.executor
        self._plan = Plan(request.graph, request.task_ids, request.options.task_values, executor)
        self.units: dict[Task, Unit] = {task: Unit(node) for task, node in self._plan.nodes.items()}
        self._handlers: dict[Task, Handlers] = {}
        self._no_handlers = Handlers(self.caller.threads, None, ())
        self._recorded = Recorded(request.recorded)
        most = around.settings
        self._lanes = Lanes(executor, coroutines=most.max_coroutines, threads=most.max_threads)
        self._pauses = Pauses(self.flow_run_id, around.orders, around.clock, request.options.prompt)
        self._own_thread: OwnThread | None = None
        self._crew = Crew(self.fail)
        self._pace = Pace(around.orchestrator, self._fill_places)
        self._ended = False
        self._hold = Hold(self.flow_run_id, around, self._awake, self._look, self.fail)
        self._progress = Progress(self.units, self._hold.hand_on)
        if request.is_paused:
            self.pause()
        self._main: asyncio.Task[Any] | None = None
        self._stop_reason: str | None = None
        self._interrupted: list[Unit] = []  # stopped without a trace

    # -- from outside ---------------------------------------------------------------------------------------------------

    async def run(self) -> State:
        """The final state of the flow run, with `{task: state}` as its result; every task's state is committed.

        A cancellation of this coroutine stops the tasks, commits them as Cancelled, and goes on. An error that is not a
        task's own, or one that is wanted outside (`raise_on_exception`), is raised when all has been stopped.
        """
        self._main = asyncio.current_task()
        _logger.info("Beginning Flow run for '%s'", self.graph.name)
        try:
            with self.caller.room_for(self._executor):
                try:
                    self._begin()
                    await self._progress.end()
                finally:
                    await self._dismiss()
        except asyncio.CancelledError:
            if self._stop_reason != "cancel":
                raise
            assert self._main is not None
            self._main.uncancel()
            return self.states(Cancelled("Flow run is cancelled"))
        finally:
            self._ended = True
            self._progress.close()
            self._pace.close()
            if self._own_thread is not None:
                self._own_thread.close()
        if self.error is not None:
            raise self.error
        return self.states(self._final_state())

    def cancel(self) -> None:
        """Stop the tasks; `run` returns Cancelled."""
        self._stop("cancel")

    def pause(self) -> None:
        """Begin no more tasks until the run is resumed."""
        self._hold.begin()

    def interrupt(self) -> None:
        """Stop the tasks without a trace in the record, so that another process can go on from it; `run` is cancelled."""
        self._stop("interrupt")

    def fail(self, error: BaseException) -> None:
        """Stop the tasks; `run` raises `error`."""
        self.error = self.error or error
        self._stop_reason = self._stop_reason or "error"
        self._progress.all_settled.set()

    def raise_outside(self, error: BaseException) -> None:
        """Stop the tasks; `run` raises `error`, which a task of the run raised."""
        self.wanted = self.wanted or error
        self.fail(error)

    def _stop(self, reason: str) -> None:
        if self._main is None or self._progress.all_settled.is_set():
            return
        if self._stop_reason is None:
            self._stop_reason = reason
            self._main.cancel()
        elif (self._stop_reason, reason) == ("interrupt", "cancel"):  # of a loop that ends, who waits for the run hears, too
            self._stop_reason = reason

    def states(self, final: State) -> State:
        """`final`, with the state of every task as its result."""
        final.result = {
            task: unit.result_state() if unit.state is not None else Pending("Task not run.")
            for task, unit in self.units.items()
        }
        return final

    # -- what units ask -------------------------------------------------------------------------------------------------

    def begin(self, unit: Unit, running: State, result: ResultRecord | None) -> Awaitable[None] | None:
        """Propose that `unit` runs, which need not be waited for unless it needs a slot: what is to be awaited then."""
        return slots.begin(self, unit, running, result)

    def handlers_of(self, unit: Unit) -> Handlers:
        """The state handlers of the unit's task."""
        task = unit.node.task
        if not (task.state_handlers or self.options.task_handlers):
            return self._no_handlers
        if task not in self._handlers:
            self._handlers[task] = Handlers(self.caller.threads, task, [*task.state_handlers, *self.options.task_handlers])
        return self._handlers[task]

    async def resumed(self, unit: Unit, paused: Paused) -> State:
        """The state in which a paused unit goes on, once it may."""
        return await self._pauses.end(unit, paused)

    def own_thread(self) -> OwnThread:
        """The thread that belongs to this run alone."""
        if self._own_thread is None:
            self._own_thread = OwnThread()
        return self._own_thread

    def obey(self, verdict: Verdict) -> None:
        """Do as the orchestrator says. Raises TransitionRefused where this process may not go on."""
        if isinstance(verdict, Refuse) and not (verdict.code == "FINISHED" and self.is_stopping()):
            raise TransitionRefused(verdict.reason)  # of what is stopped, something may have ended meanwhile
        if isinstance(verdict, Accept) and verdict.order is not Order.GO_ON:
            self.cancel() if verdict.order is Order.CANCEL else self.pause()

    def is_stopping(self) -> bool:
        """Whether the run is being stopped, from outside or because of an error."""
        return self._ended or self.error is not None or (self._main is not None and self._main.cancelling() > 0)

    def place_given_up(self, unit: Unit) -> AbstractAsyncContextManager[None]:
        """Let another unit run while this one only waits; afterwards it has a place again."""
        return self._lanes.of(unit).given_up(self._fill_places, self._hold.over)

    # -- units ----------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        for unit in self.units.values():
            unit.start = self.options.start_of(unit.node)
        self._progress.begin()

    def _awake(self, units: Iterable[Unit]) -> None:
        """Go on with units that wait for nothing any more."""
        # The newest begin first, so that a chain of mapped tasks is finished child by child before the next children begin;
        # units that become ready together begin in their order.
        ready = [unit for unit in units if not self._pass_by(unit)]
        self._lanes.add(reversed(ready))
        self._fill_places()

    def _fill_places(self) -> None:
        room = self._pace.room()
        for lane in self._lanes:
            while room and (lane.ready or lane.returning) and not (self.is_stopping() or self._hold.is_on):
                if (unit := lane.take()) is None:
                    break
                self._crew.begin(unit, self._run_to_end)
                room -= 1
        if not room:
            self._pace.rest()

    def _pass_by(self, unit: Unit) -> bool:
        """Whether `unit` needs no place to run in: its end is known, or it only turns into children."""
        if self._recorded.is_elsewhere(unit):
            self._crew.begin(unit, self._fetch)
        elif self._recorded.restore(unit):
            self._progress.settle(unit)
        elif unit.node.task.is_constant:
            unit.state = Success("Auto-generated constant value", unit.node.task.value)
            self._progress.settle(unit)
        elif unit.start is not None and unit.start.is_finished() and not isinstance(unit.start, Cached | Mapped):
            self._crew.begin(unit, self._enter_given)
        elif unit.node.is_mapped and unit.index < 0:
            self._crew.begin(unit, self._expand)
        else:
            return False
        return True

    async def _fetch(self, unit: Unit) -> None:
        await self._recorded.fetch(unit, self.results)
        self._awake([unit])

    async def _enter_given(self, unit: Unit) -> None:
        state: Any = unit.start
        await commit(self, unit, state, self.caller.outcomes.record(unit, state.result) if state.is_successful() else None)
        self._progress.settle(unit)

    async def _look(self) -> None:
        """See what people have made of task runs that have not begun."""
        self._recorded = news_of(self.units.values(), await self.reader.task_runs(self.flow_run_id))

    async def _run_to_end(self, unit: Unit) -> None:
        try:
            # While it waited for a place, somebody may have paused it, or said how it has ended.
            if not (self._recorded.has(unit) and await self._recorded.fetch_and_restore(unit, self.results)):
                await run_unit(self, unit)
        except asyncio.CancelledError:
            if not await self._cancelled(unit):
                raise
        if self._ended:  # it was left behind
            return
        self._lanes.of(unit).move(1)
        self._progress.settle(unit)
        self._fill_places()

    async def _cancelled(self, unit: Unit) -> bool:
        """Record a unit that was cancelled. Whether the run goes on: nobody but the task's own code wanted it."""
        own = self._stop_reason is None and not self.is_stopping()
        if own:
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
        if own or self._stop_reason in ("cancel", "error"):
            await self._commit_end(unit, Failed("The task cancelled itself") if own else Cancelled("Task run was cancelled"))
        else:
            self._interrupted.append(unit)
        return own

    async def _commit_end(self, unit: Unit, state: State) -> None:
        if unit.state is None or not unit.state.is_finished():
            await commit(self, unit, state)

    async def _dismiss(self) -> None:
        self._hold.close()
        staying = await self._crew.dismiss(self._patience)
        if self._stop_reason in ("cancel", "error"):
            for unit in self._interrupted:  # before it was to be cancelled
                await self._commit_end(unit, Cancelled("Task run was cancelled"))
            for unit in staying:
                await self._commit_end(unit, Cancelled("Task run was cancelled; its code did not end and was left behind"))

    async def _expand(self, unit: Unit) -> None:
        state = unit.start if unit.start is not None else Pending()
        if await its_turn(self, unit, state):
            state = await expanded(self, unit, self.units, self._max_children)
        if expanded_as(unit, state):
            unit.state = state
        else:
            ended_here = state.is_finished() and not isinstance(state, Mapped)
            await commit(self, unit, state, self.caller.outcomes.record_of(unit, state) if ended_here else None)
        if not isinstance(state, Mapped):
            self._progress.settle(unit)
            return
        children = make_children(unit, self.units, state.n_map_states)
        state.map_states = []  # they are the children's from now on
        self._progress.expanded(unit, children)

    def _final_state(self) -> State:
        terminal, reference = self._plan.terminal_tasks, self._plan.reference_tasks
        return final_state(*([self.units[task].result_state() for task in tasks] for tasks in (terminal, reference)))
