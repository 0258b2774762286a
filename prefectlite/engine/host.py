"""The host: executes the flow runs handed to it, several at once, and lets go of them in good order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from prefectlite.clock import active_clock
from prefectlite.contexts import active_log, active_mask, enter_values
from prefectlite.engine.final_state import as_handled
from prefectlite.engine.flow_run import FlowRunExecution
from prefectlite.engine.handlers import EndRun, Handlers
from prefectlite.engine.pass_around import raise_if_wanted
from prefectlite.engine.requests import RunOptions, RunRequest
from prefectlite.engine.run_logs import LogSink
from prefectlite.engine.run_values import run_values
from prefectlite.engine.slots import is_queued
from prefectlite.engine.surroundings import Surroundings
from prefectlite.engine.tracing import trace_of
from prefectlite.errors import RunInterrupted, StoreError, TransitionRefused
from prefectlite.ids import new_id
from prefectlite.language.graph import Graph
from prefectlite.masks import Mask
from prefectlite.orchestrator.queue import Place
from prefectlite.records import FlowRunRow, StateRecord, TaskRunRow, record_state
from prefectlite.rules.proposals import Accept, FlowRunProposal, Order, Refuse, Replace, TaskRunProposal, Verdict, Wait
from prefectlite.shown import told
from prefectlite.states import Cancelled, Failed, Running, Scheduled, State
from prefectlite.workload import idle

_NOT_RUN = "Flow run was cancelled before it ran"
_logger = logging.getLogger("prefectlite.FlowRunner")


class _Claim(NamedTuple):
    """The lease on a run, and what earlier executions of it left in the record."""

    lease: int
    recorded: Sequence[TaskRunRow]
    is_paused: bool


class Host:
    """Executes flow runs in this process, under the name `owner`."""

    def __init__(self, owner: str, around: Surroundings) -> None:
        self._owner, self._around = owner, around
        self._executions: dict[str, FlowRunExecution] = {}
        self._ends: dict[str, asyncio.Event] = {}  # of executions that somebody waits for
        self._claimed: dict[str, Order | None] = {}  # runs about to begin, and what is wanted of them
        self._places: dict[str, Place] = {}  # of these, in the queue for a slot
        self._interrupted = False
        self._ended: dict[str, State] = {}  # runs that somebody else ended while they were executed here
        self._idle = asyncio.Event()
        self._idle.set()

    async def execute(
        self,
        graph: Graph,
        task_ids: dict[str, str],
        run: FlowRunRow,
        parameters: dict[str, Any],
        context: dict[str, Any],
        options: RunOptions,
        *,
        takeover_from: str | None = None,
    ) -> State:
        """The final state of `run`, committed, with `{task: state}` as its result.

        `parameters` and `context` are the values to use, which need not be JSON values. Raises TransitionRefused if another
        process executes the run. Cancelled without `cancel()` being called, it leaves the run in the record to be taken up
        again.
        """
        claim = await self._claim(run, takeover_from)
        if claim is None:
            return Cancelled(_NOT_RUN, {})
        lease = claim.lease
        around = self._around
        values = run_values(graph, run, parameters, context, around.clock)
        values["checkpointing"], values["config"] = around.settings.checkpointing, around.settings
        active_log.set(LogSink(around.run_log, around.clock, run.id))
        active_mask.set(Mask(active_mask.get()))
        active_clock.set(around.clock)
        enter_values(values)
        request = RunRequest(run.id, graph, task_ids, lease, values, options, claim.recorded, claim.is_paused)
        state, raised = await self._execute(request)
        await around.run_log.drain()
        if (ended := self._ended.pop(run.id, None)) is not None:
            ended.result = state.result
            return ended
        await self._finish(run.id, lease, state)
        if raised is not None:
            raise raised
        return state

    def cancel(self, flow_run_id: str, ended: State | None = None) -> bool:
        """Stop a run, because somebody asked, or has ended it as `ended`. False if it is not executed here."""
        if flow_run_id in self._claimed:
            self._claimed[flow_run_id] = Order.CANCEL
            if flow_run_id in self._places:
                self._places[flow_run_id].wake()
            return True
        execution = self._executions.get(flow_run_id)
        if execution is None:
            return False
        if ended is not None:
            self._ended[flow_run_id] = ended
        execution.cancel()
        return True

    def pause(self, flow_run_id: str) -> None:
        """Begin no more task runs of this run until it is resumed, if it is executed here."""
        if flow_run_id in self._claimed:
            self._claimed[flow_run_id] = self._claimed[flow_run_id] or Order.PAUSE
        elif flow_run_id in self._executions:
            self._executions[flow_run_id].pause()

    def has(self, flow_run_id: str) -> bool:
        """Whether this run is executed here, or about to be."""
        return flow_run_id in self._executions or flow_run_id in self._claimed

    @property
    def running(self) -> int:
        """How many runs are executed now."""
        return len(self._executions)

    async def wait_idle(self) -> None:
        """Return when no run is executed."""
        await self._idle.wait()

    def interrupt(self) -> None:
        """Stop all runs, so that another process can take them up where they are, and begin no more."""
        self._interrupted = True
        for place in self._places.values():
            place.wake()
        for execution in list(self._executions.values()):
            execution.interrupt()

    def close(self) -> None:
        """Let go of the worker threads and processes."""
        self._around.caller.close()
        self._around.watchdog.close()

    async def _claim(self, run: FlowRunRow, takeover_from: str | None) -> _Claim | None:
        """The right to execute `run`, now Running; None where it was cancelled before."""
        if run.id in self._claimed or (takeover_from is None and run.id in self._executions):
            raise TransitionRefused(f"flow run {run.id} is executed by this process already")
        self._claimed[run.id] = None
        try:
            return await self._claim_here(run, takeover_from)
        finally:
            del self._claimed[run.id]

    async def _claim_here(self, run: FlowRunRow, takeover_from: str | None) -> _Claim | None:
        verdict = await self._admitted(run, takeover_from)
        if isinstance(verdict, Refuse) and verdict.code == "FINISHED" and self._claimed[run.id] is Order.CANCEL:
            return None  # while it waited for a slot
        if isinstance(verdict, Refuse):
            raise TransitionRefused(verdict.reason)
        if (former := self._executions.get(run.id)) is not None:
            former.interrupt()  # somebody else had the run in between: what goes on here cannot be written any more
            await self._ends.setdefault(run.id, asyncio.Event()).wait()
        if isinstance(verdict, Replace) and verdict.lease is not None:
            await self._end_interrupted(run.id, verdict.lease)
            return None
        if not isinstance(verdict, Accept) or verdict.lease is None:
            return None
        recorded = await self._around.reader.task_runs(run.id) if run.version > 1 else []
        if self._claimed[run.id] is Order.CANCEL:
            await self._end_interrupted(run.id, verdict.lease)
            return None
        if self._interrupted:
            raise RunInterrupted(f"This process stopped before flow run {run.name!r} began")
        return _Claim(verdict.lease, recorded, self._claimed[run.id] is Order.PAUSE)

    async def reserve(self, run: FlowRunRow, takeover_from: str | None) -> bool:
        """Have `run` Running for a process of its own that will take it over; False where that cannot be.

        It waits until there is a slot of every concurrency limit on its labels.
        """
        if self.has(run.id):
            return False
        self._claimed[run.id] = None
        try:
            return isinstance(await self._admitted(run, takeover_from), Accept)
        finally:
            del self._claimed[run.id]

    async def _admitted(self, run: FlowRunRow, takeover_from: str | None) -> Verdict:
        """The verdict on the claim of `run`, once it is not that it has to wait for a slot."""
        orchestrator = self._around.orchestrator
        with orchestrator.queue.place("label", run.labels) as place:
            self._places[run.id] = place
            try:
                while True:
                    seen, record = orchestrator.queue.stirs, self._record(Running("Running flow."))
                    claim = FlowRunProposal(run.id, record, claim=self._owner, takeover_from=takeover_from)
                    verdict = await orchestrator.propose(claim)
                    if not is_queued(verdict):
                        return verdict
                    if self._interrupted:
                        raise RunInterrupted(f"This process stopped before flow run {run.name!r} began")
                    with idle():
                        await place.turn(seen, verdict.until if isinstance(verdict, Wait) else None)
            finally:
                del self._places[run.id]

    async def _execute(self, request: RunRequest) -> tuple[State, BaseException | None]:
        """The final state, and the exception that is wanted outside (`raise_on_exception`)."""
        trace = trace_of(self._around.settings.telemetry)
        if trace is None:
            return await self._watched(request)
        with trace.flow_run(request) as span:
            state, raised = await self._watched(request)
            span.end_in(state)
            return state, raised

    async def _watched(self, request: RunRequest) -> tuple[State, BaseException | None]:
        execution = FlowRunExecution(request, self._around)
        self._executions[request.flow_run_id] = execution
        self._idle.clear()
        try:
            with self._around.watchdog.watching():
                return await self._ended_as(execution, request.graph), execution.wanted
        finally:
            del self._executions[request.flow_run_id]
            if (end := self._ends.pop(request.flow_run_id, None)) is not None:
                end.set()
            if not self._executions:
                self._idle.set()

    async def _ended_as(self, execution: FlowRunExecution, graph: Graph) -> State:
        """How the run ended, as the flow's own handlers have it."""
        handlers = Handlers(self._around.caller.threads, graph, [*graph.state_handlers, *execution.options.flow_handlers])
        start = execution.options.state or Scheduled()
        try:
            begun = start if start.is_running() else await handlers.see(start, Running("Running flow."))
            if not begun.is_running():
                return execution.states(begun)
            state = await self._run(execution, graph)
            if not state.is_finished():
                return execution.states(begun)
            return execution.states(await handlers.see(begun, state))
        except EndRun as end:
            if end.error is not None:
                raise_if_wanted(execution, end.error)
            return execution.states(end.state)

    async def _run(self, execution: FlowRunExecution, graph: Graph) -> State:
        if not graph.slugs:
            _logger.warning("Flow %r has no tasks: there is nothing to do. Call them inside its `with` block", graph.name)
        try:
            state = await execution.run()
            reference = {state.result[task] for task in graph.reference_tasks()}
            return execution.states(await as_handled(execution, state, reference))
        except (TransitionRefused, StoreError):  # what is in the record is what another process goes on from
            raise
        except Exception as error:
            if error is not execution.wanted:
                _logger.error("Unexpected error while running flow %r", graph.name, exc_info=error)
            return execution.states(Failed(f"Unexpected error: {told(error)}"))

    async def _end_interrupted(self, flow_run_id: str, lease: int) -> None:
        """End a run that was to be cancelled when its process went away, with what it had begun."""
        recorded = await self._around.reader.task_runs(flow_run_id)
        for row in recorded:
            if not row.state.is_finished:
                state = self._record(Cancelled("Task run was cancelled"))
                where = (row.id, flow_run_id, row.task_id, row.map_index)
                self._around.orchestrator.note(TaskRunProposal(*where, state, None, lease))
        await self._finish(flow_run_id, lease, Cancelled("Flow run is cancelled"))

    async def _finish(self, flow_run_id: str, lease: int, state: State) -> None:
        # The result ({task: state}) is for the caller; the record has the task runs.
        proposal = FlowRunProposal(flow_run_id, self._record(state), lease=lease)
        verdict: Verdict = await self._around.orchestrator.propose(proposal)
        if isinstance(verdict, Refuse):
            raise TransitionRefused(verdict.reason)

    def _record(self, state: State) -> StateRecord:
        return record_state(state, new_id(), self._around.clock.micros())
