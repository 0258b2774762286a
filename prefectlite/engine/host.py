"""The host: executes the flow runs handed to it, several at once, and lets go of them in good order."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from prefectlite.clock import Clock, from_micros, to_micros
from prefectlite.contexts import active_log, enter_values
from prefectlite.engine.calling import Caller
from prefectlite.engine.flow_run import FlowRunExecution, RunRequest
from prefectlite.engine.run_logs import LogSink
from prefectlite.errors import RunInterrupted, StoreClosed, TransitionRefused
from prefectlite.executors.threads import ThreadPool
from prefectlite.ids import new_id
from prefectlite.language.graph import Graph
from prefectlite.orchestrator.protocols import Orchestrator, RunLog, RunReader
from prefectlite.records import FlowRunRow, record_state
from prefectlite.rules.proposals import Accept, FlowRunProposal, Order, Refuse, Verdict
from prefectlite.settings import Settings
from prefectlite.states import Cancelled, Failed, Running, State

_NOT_RUN = "Flow run was cancelled before it ran"
_logger = logging.getLogger("prefectlite.FlowRunner")


class Host:
    """Executes flow runs in this process, under the name `owner`."""

    def __init__(
        self,
        owner: str,
        orchestrator: Orchestrator,
        run_log: RunLog,
        reader: RunReader,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._owner, self._orchestrator, self._run_log, self._reader = owner, orchestrator, run_log, reader
        self._clock, self._settings = clock, settings
        self._threads = ThreadPool(settings.max_threads)
        self._caller = Caller(self._threads, settings.max_result_bytes)
        self._executions: dict[str, FlowRunExecution] = {}
        self._claimed: dict[str, Order | None] = {}  # runs about to begin, and whether they are to be cancelled
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
        *,
        takeover_from: str | None = None,
    ) -> State:
        """The final state of `run`, committed, with `{task: state}` as its result.

        `parameters` are the values to use, which need not be JSON values. Raises TransitionRefused if another process
        executes the run. Cancelled without `cancel()` being called, it leaves the run in the record to be taken up again.
        """
        self._claimed[run.id] = None
        try:
            verdict = await self._orchestrator.propose(
                FlowRunProposal(
                    run.id, self._record(Running("Running flow.")), claim=self._owner, takeover_from=takeover_from
                )
            )
        finally:
            order = self._claimed.pop(run.id)
        if isinstance(verdict, Refuse):
            raise TransitionRefused(verdict.reason)
        if not isinstance(verdict, Accept) or verdict.lease is None:
            return Cancelled(_NOT_RUN, {})
        if order is Order.CANCEL:
            await self._finish(run.id, verdict.lease, cancelled := Cancelled(_NOT_RUN, {}))
            return cancelled
        if self._interrupted:
            raise RunInterrupted(f"This process stopped before flow run {run.name!r} began")
        values = _values(graph, run, parameters, self._clock)
        active_log.set(LogSink(self._run_log, self._clock, run.id))
        enter_values(values)
        recorded = await self._reader.task_runs(run.id) if run.version > 1 else []
        request = RunRequest(run.id, graph, task_ids, verdict.lease, values, recorded)
        state = await self._execute(request)
        await self._run_log.drain()
        if (ended := self._ended.pop(run.id, None)) is not None:
            ended.result = state.result
            return ended
        await self._finish(run.id, verdict.lease, state)
        return state

    def cancel(self, flow_run_id: str, ended: State | None = None) -> bool:
        """Stop a run, because somebody asked, or has ended it as `ended`. False if it is not executed here."""
        if flow_run_id in self._claimed:
            self._claimed[flow_run_id] = Order.CANCEL
            return True
        execution = self._executions.get(flow_run_id)
        if execution is None:
            return False
        if ended is not None:
            self._ended[flow_run_id] = ended
        execution.cancel()
        return True

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
        for execution in list(self._executions.values()):
            execution.interrupt()

    def close(self) -> None:
        """Let go of the worker threads."""
        self._threads.close()

    async def _execute(self, request: RunRequest) -> State:
        execution = FlowRunExecution(
            request,
            self._orchestrator,
            self._caller,
            self._clock,
            max_running=self._settings.max_coroutines,
            max_children=self._settings.max_map_children,
        )
        self._executions[request.flow_run_id] = execution
        self._idle.clear()
        try:
            return await execution.run()
        except BaseExceptionGroup as group:
            error = _first(group)
            if isinstance(error, TransitionRefused | StoreClosed) or not isinstance(error, Exception):
                raise error from None
            _logger.error("Unexpected error while running flow %r", request.graph.name, exc_info=error)
            return execution.states(Failed(f"Unexpected error while running flow: {error!r}"))
        finally:
            del self._executions[request.flow_run_id]
            if not self._executions:
                self._idle.set()

    async def _finish(self, flow_run_id: str, lease: int, state: State) -> None:
        # The result ({task: state}) is for the caller; the record has the task runs.
        without_result = type(state)(state.message)
        verdict: Verdict = await self._orchestrator.propose(
            FlowRunProposal(flow_run_id, self._record(without_result), lease=lease)
        )
        if isinstance(verdict, Refuse):
            raise TransitionRefused(verdict.reason)

    def _record(self, state: State) -> Any:
        return record_state(state, new_id(), to_micros(self._clock.now()))


def _values(graph: Graph, run: FlowRunRow, parameters: dict[str, Any], clock: Clock) -> dict[str, Any]:
    now = clock.now()
    return {
        "date": now,
        "today": f"{now:%Y-%m-%d}",
        **run.context,
        "parameters": parameters,
        "flow_name": graph.name,
        "flow_id": run.flow_id,
        "flow_run_id": run.id,
        "flow_run_name": run.name,
        "scheduled_start_time": from_micros(run.scheduled_start_time),
    }


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
