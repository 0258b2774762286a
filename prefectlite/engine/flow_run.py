"""One flow run: starts every task as soon as what it waits for has ended, and decides how the flow ended."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from prefectlite.clock import Clock
from prefectlite.engine.calling import Caller
from prefectlite.engine.expansion import expand, make_children
from prefectlite.engine.plan import Node, Plan
from prefectlite.engine.recorded import Recorded, expanded_as
from prefectlite.engine.task_run import commit, run_unit
from prefectlite.engine.units import Unit
from prefectlite.errors import TransitionRefused
from prefectlite.kept import kept
from prefectlite.language.graph import Graph
from prefectlite.language.task import Task
from prefectlite.orchestrator.protocols import Orchestrator
from prefectlite.records import TaskRunRow
from prefectlite.rules.proposals import Accept, Order, Refuse, Verdict
from prefectlite.states import Cancelled, Failed, Mapped, Pending, State, Success

#: Units begun in one turn of the loop: between turns it serves everybody else, and what was proposed is committed.
AT_ONCE = 100

_logger = logging.getLogger("prefectlite.FlowRunner")


class RunRequest(msgspec.Struct, frozen=True):
    """What the engine is asked to execute, claimed and in state Running already."""

    flow_run_id: str
    graph: Graph
    task_ids: dict[str, str]
    lease: int
    values: dict[str, Any]  # what user code sees as prefectlite.context
    recorded: Sequence[TaskRunRow] = ()  # what an earlier execution of this run left in the record


class FlowRunExecution:
    """The execution of one flow run, alive from claim to final state."""

    def __init__(
        self,
        request: RunRequest,
        orchestrator: Orchestrator,
        caller: Caller,
        clock: Clock,
        *,
        max_running: int,
        max_children: int,
    ) -> None:
        self.flow_run_id, self.lease, self.values = request.flow_run_id, request.lease, request.values
        self.orchestrator, self.caller, self.clock = orchestrator, caller, clock
        self._graph = request.graph
        self._plan = Plan(request.graph, request.task_ids)
        self.units: dict[Task, Unit] = {task: Unit(node) for task, node in self._plan.nodes.items()}
        self._recorded = Recorded(request.recorded)
        self._max_children = max_children
        self._places = max_running
        self._fill_due = False
        self._ended = False
        self._ready: deque[Unit] = deque()
        self._unsettled = len(self.units)
        self._settling: deque[Unit] = deque()
        self._settled_all = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None
        self._main: asyncio.Task[Any] | None = None
        self._stop_reason: str | None = None

    # -- from outside ---------------------------------------------------------------------------------------------------

    async def run(self) -> State:
        """The final state of the flow run, with `{task: state}` as its result; every task's state is committed.

        A cancellation of this coroutine stops the tasks, commits them as Cancelled, and goes on.
        """
        self._main = asyncio.current_task()
        _logger.info("Beginning Flow run for '%s'", self._graph.name)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._begin()
                await self._settled_all.wait()
        except asyncio.CancelledError:
            if self._stop_reason != "cancel":
                raise
            assert self._main is not None
            self._main.uncancel()
            return self.states(Cancelled("Flow run is cancelled"))
        finally:
            self._ended = True
        return self.states(self._final_state())

    def cancel(self) -> None:
        """Stop the tasks; `run` returns Cancelled."""
        self._stop("cancel")

    def interrupt(self) -> None:
        """Stop the tasks without a trace in the record, so that another process can go on from it; `run` is cancelled."""
        self._stop("interrupt")

    def _stop(self, reason: str) -> None:
        if self._main is None or self._settled_all.is_set():
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

    def obey(self, verdict: Verdict) -> None:
        """Do as the orchestrator says. Raises TransitionRefused where this process may not go on."""
        if isinstance(verdict, Refuse):
            raise TransitionRefused(verdict.reason)
        if isinstance(verdict, Accept) and verdict.order is Order.CANCEL:
            self.cancel()

    @contextmanager
    def place_given_up(self) -> Iterator[None]:
        """Let another unit run while this one only waits."""
        self._places += 1
        self._fill_places()
        try:
            yield
        finally:
            self._places -= 1  # below zero where the place was taken: then nothing new begins until it is free again

    # -- units ----------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        for unit in self.units.values():
            unit.waiting = unit.node.waits_for
        if not self.units:
            self._settled_all.set()
        self._awake([unit for unit in self.units.values() if not unit.waiting])

    def _awake(self, units: Iterable[Unit]) -> None:
        """Go on with units that wait for nothing any more."""
        # The newest begin first, so that a chain of mapped tasks is finished child by child before the next children begin;
        # units that become ready together begin in their order.
        ready = [unit for unit in units if not self._pass_by(unit)]
        self._ready.extend(reversed(ready))
        self._fill_places()

    def _fill_places(self) -> None:
        for _ in range(AT_ONCE):
            if self._places <= 0 or not self._ready or self.is_stopping():
                return
            unit = self._ready.pop()
            self._places -= 1
            self._start(unit, self._run_to_end(unit))
        if not self._fill_due:
            self._fill_due = True
            asyncio.get_running_loop().call_soon(self._fill_more)

    def is_stopping(self) -> bool:
        """Whether the run is being stopped, from outside or because of an error."""
        return self._ended or (self._main is not None and self._main.cancelling() > 0)

    def _fill_more(self) -> None:
        self._fill_due = False
        self._fill_places()

    def _pass_by(self, unit: Unit) -> bool:
        """Whether `unit` needs no place to run in: its end is known, or it only turns into children."""
        if self._recorded.restore(unit):
            self._settle(unit)
        elif unit.node.task.is_constant:
            unit.state = Success("Auto-generated constant value", unit.node.task.value)
            self._settle(unit)
        elif unit.node.is_mapped and unit.index < 0:
            self._start(unit, self._expand(unit))
        else:
            return False
        return True

    def _start(self, unit: Unit, work: Coroutine[Any, Any, None]) -> None:
        assert self._tasks is not None
        kept(self._tasks.create_task(work, name=unit.label))

    async def _run_to_end(self, unit: Unit) -> None:
        try:
            await run_unit(self, unit)
        except asyncio.CancelledError:
            if not await self._cancelled(unit):
                raise
        except Exception:
            self._stop_reason = self._stop_reason or "error"  # the group stops the others because of this one
            raise
        self._places += 1
        self._settle(unit)
        self._fill_places()

    async def _cancelled(self, unit: Unit) -> bool:
        """Record a unit that was cancelled. Whether the run goes on: nobody but the task's own code wanted it."""
        assert self._main is not None
        own = self._stop_reason is None and not self._main.cancelling()
        if own:
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
        unfinished = unit.state is None or not unit.state.is_finished()
        if unfinished and (own or self._stop_reason in ("cancel", "error")):
            end = Failed("The task cancelled itself") if own else Cancelled("Task run was cancelled")
            await commit(self, unit, end, None)
        return own

    async def _expand(self, unit: Unit) -> None:
        state = expand(unit, self.units, self._max_children)
        if expanded_as(unit, state):
            unit.state = state
        else:
            await commit(self, unit, state, None)
        if not isinstance(state, Mapped):
            self._settle(unit)
            return
        unit.children = make_children(unit, self.units, state.n_map_states)
        unit.unfinished = len(unit.children)
        for node in unit.node.on_expanded:
            self._count_down(node)
        if not unit.children:
            self._settle(unit)
        self._awake([child for child in unit.children if not child.waiting])

    def _settle(self, unit: Unit) -> None:
        """Count a unit as ended, and awake what waited for it alone."""
        self._settling.append(unit)
        if len(self._settling) == 1:  # otherwise a caller further up works through them: a chain may be long
            while self._settling:
                self._settle_one(self._settling[0])
                self._settling.popleft()

    def _settle_one(self, unit: Unit) -> None:
        unit.settled = True
        if unit.waiters:
            for waiter in unit.waiters:
                waiter.waiting -= 1
            self._awake([waiter for waiter in unit.waiters if not waiter.waiting])
            unit.waiters = None
        if unit.parent is not None:
            unit.parent.unfinished -= 1
            if not unit.parent.unfinished:
                self._settle(unit.parent)
            return
        for node in unit.node.on_settled:
            self._count_down(node)
        if unit.children is None:
            for node in unit.node.on_expanded:
                self._count_down(node)
        self._unsettled -= 1
        if not self._unsettled:
            self._settled_all.set()

    def _count_down(self, node: Node) -> None:
        follower = self.units[node.task]
        follower.waiting -= 1
        if not follower.waiting:
            self._awake([follower])

    def _final_state(self) -> State:
        ends = [self.units[task].result_state() for task in self._plan.reference_tasks]
        each = [end for state in ends for end in (_children(state) or [state])]
        if any(state.is_failed() for state in each):
            _logger.info("Flow run FAILED: some reference tasks failed.")
            return Failed("Some reference tasks failed.")
        if all(state.is_successful() for state in each):
            _logger.info("Flow run SUCCESS: all reference tasks succeeded")
            return Success("All reference tasks succeeded.")
        _logger.info("Flow run SUCCESS: no reference tasks failed")
        return Success("No reference tasks failed.")


def _children(state: State) -> list[State]:
    return [child for child in state.map_states if child is not None] if isinstance(state, Mapped) else []
