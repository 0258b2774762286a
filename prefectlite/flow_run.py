"""FlowRun: the handle of one run of a flow, the same in scripts and in async code."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import warnings
import weakref
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from prefectlite import hosting
from prefectlite.errors import RunFailedError, RunInterrupted, RunNotStartedError
from prefectlite.executors.threads import waiting_for
from prefectlite.session import Session
from prefectlite.settings import Settings
from prefectlite.states import Mapped, State, TriggerFailed
from prefectlite.workload import idle_until

if TYPE_CHECKING:
    from prefectlite.language.graph import Graph
    from prefectlite.language.task import Task


#: How many failed tasks an error names.
_REASONS_SHOWN = 5


class FlowRun(Coroutine[Any, Any, "FlowRun"]):
    """One run of a flow. Await it, or give it to anything that takes a coroutine; the outcome is the FlowRun itself.

    Awaiting only waits, so it may be repeated and done by several tasks. Cancelling who awaits cancels the run: its
    Cancelled state is committed before CancelledError goes on; `detach()` leaves it running. A run that failed does not
    raise: see `state`, `is_successful()`, `raise_for_state()`.
    """

    def __init__(
        self, flow: Graph, work: Callable[[FlowRun, Session], Coroutine[Any, Any, State]], settings: Settings, site: str
    ):
        self._flow_name, self._work, self._settings, self._site = flow.name, work, settings, site
        self._id: str | None = None
        self._state: State | None = None
        self._started = self._taken = False
        self.is_blocking = False  # whether a thread waits for it: a script's, with a person at its terminal, maybe
        self._left_last = False
        self._detached = False
        self._lock = threading.Lock()
        self._host: hosting.SessionHost | None = None
        self._outcome: concurrent.futures.Future[State] | None = None
        self._awaits: dict[Any, Coroutine[Any, Any, FlowRun]] = {}
        self.cancel_requested = False

    # -- what came of it --------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The id of the flow run in the record. Raises RunNotStartedError before it is there."""
        if self._id is None:
            raise RunNotStartedError(self._not_started())
        return self._id

    @property
    def state(self) -> State:
        """The final state; its result is `{task: state}`. Raises RunNotStartedError before the end."""
        if self._state is None:
            raise RunNotStartedError(self._not_started())
        return self._state

    @property
    def result(self) -> dict[Task, State]:
        """The final state of every task, by task."""
        return self.state.result or {}

    @property
    def message(self) -> str | None:
        """The final state's message."""
        return self.state.message

    def __getitem__(self, task: Task) -> Any:
        """What `task` returned, for a mapped one the list of what its children returned.

        The exception it failed with, or the first of its children, is raised; RunFailedError where it did not come to run.
        """
        state = self.result[task]
        children = [child for child in state.map_states if child is not None] if isinstance(state, Mapped) else []
        for failed in (end for end in [*children, state] if end.is_failed()):
            if isinstance(failed.result, Exception):
                raise failed.result
            raise RunFailedError(f"Task {task.name!r} of flow {self._flow_name!r} ended as {failed!r}")
        return state.result

    def raise_for_state(self) -> FlowRun:
        """This run, if it succeeded. Raises RunFailedError otherwise."""
        if not self.state.is_successful():
            reasons = [f"{task.name}: {_reason(state)}" for task, state in self.result.items() if _is_cause(state)]
            detail = "".join(f"\n  {reason}" for reason in reasons[:_REASONS_SHOWN])
            raise RunFailedError(f"Flow run {self.id} of {self._flow_name!r} ended as {self.state!r}{detail}")
        return self

    def is_finished(self) -> bool:
        """Whether the run has ended."""
        return self._state is not None

    def is_successful(self) -> bool:
        """Whether it ended well."""
        return self.state.is_successful()

    def is_failed(self) -> bool:
        """Whether it failed."""
        return self.state.is_failed()

    def __repr__(self) -> str:
        if self._state is not None:
            return f"<FlowRun of {self._flow_name!r}: {self._state!r}>"
        return f"<FlowRun of {self._flow_name!r}: {'running' if self._started else 'not started: await it'}>"

    # -- running it -------------------------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """Ask the run to stop; it ends as Cancelled. Nothing happens when it has ended."""
        self.cancel_requested = True
        host, run_id = self._host, self._id
        if self._state is None and host is not None and run_id is not None:
            host.submit(lambda session: session.client.cancel_flow_run(run_id))

    def _stop(self) -> None:
        # At once, if need be without the record knowing first: the loop may be about to end.
        assert self._host is not None
        if self._id is None or not self._host.cancel(self._id):
            self.cancel()

    def detach(self) -> FlowRun:
        """This run, started, and going on even if who awaits it is cancelled."""
        self._detached = True
        self._start()
        return self

    def run_blocking(self) -> FlowRun:
        """Run to the end in a thread that has no event loop."""
        self._taken = self.is_blocking = True
        if not hosting.joinable(self._settings):
            with asyncio.Runner() as runner:
                try:
                    runner.run(self._wait())
                except KeyboardInterrupt:
                    if self._state is None and self._host is not None:  # pressed again, before the run had ended
                        self._host.hurry()
                    raise KeyboardInterrupt from None
            return self
        self._start()
        assert self._outcome is not None
        idle_until(self._outcome)
        with waiting_for(self.cancel):  # a task that runs a flow must not keep the thread it waits in from the flow's tasks
            try:
                self._state = self._outcome.result()
            except KeyboardInterrupt:
                self.cancel()
                self._state = self._outcome.result()
                raise
        return self

    def __await__(self) -> Generator[Any, None, FlowRun]:
        return self._wait().__await__()

    async def _wait(self) -> FlowRun:
        if self._state is not None:
            return self
        self._start()
        assert self._outcome is not None
        assert self._host is not None
        idle_until(self._outcome)
        try:
            self._state = await asyncio.wrap_future(self._outcome)  # which cannot be cancelled
        except asyncio.CancelledError:
            if not self._detached:
                self._stop()
                with suppress(RunInterrupted):
                    self._state = await asyncio.wrap_future(self._outcome)
            raise
        finally:
            if self._left_last:  # the session is put away before this goes on: nothing is left behind when a loop ends
                await asyncio.shield(asyncio.wrap_future(self._host.closed))
        return self

    def _start(self) -> None:
        with self._lock:
            if self._started:
                return
            self._started = True
            self._host = hosting.join(self._settings)
            self._outcome = self._host.submit(partial(self._work, self))
            self._outcome.add_done_callback(partial(_ended, weakref.ref(self), self._host))

    def entered(self, run_id: str) -> bool:
        """The run is in the record under this id. Whether it is to be executed: nobody has cancelled it meanwhile."""
        self._id = run_id
        return not self.cancel_requested

    # -- the coroutine protocol, so that create_task, gather and run take it ----------------------------------------------

    def send(self, value: Any) -> Any:
        """One step, as of any coroutine."""
        return self._step(lambda waiting: waiting.send(value))

    def throw(self, *args: Any) -> Any:
        """An exception at the point of waiting, as of any coroutine."""
        return self._step(lambda waiting: waiting.throw(*args))

    def close(self) -> None:
        """Wait no longer; a run that was started goes on."""
        for waiting in self._awaits.values():
            waiting.close()
        self._awaits.clear()

    def _step(self, advance: Callable[[Coroutine[Any, Any, FlowRun]], Any]) -> Any:
        # Each task that drives this handle has its own place of waiting.
        key = asyncio.current_task()
        if key not in self._awaits:
            self._awaits[key] = self._wait()
        try:
            return advance(self._awaits[key])
        except BaseException:
            self._awaits.pop(key, None)
            self._taken = True  # by a task that may have been cancelled before its first step
            raise

    # -- odds -------------------------------------------------------------------------------------------------------------

    def _not_started(self) -> str:
        hint = "it is still running: await it" if self._started else "not started: await it"
        return f"This run of flow {self._flow_name!r} has no outcome yet ({hint})"

    def __reduce__(self) -> Any:
        if self._state is None:
            raise TypeError("a FlowRun can be pickled once it has ended")
        return _restored, (self._flow_name, self._id, self._state)

    def __del__(self) -> None:
        if not self._started and not self._taken and self._state is None:
            warnings.warn(
                f"flow {self._flow_name!r} was called at {self._site} and never awaited: nothing ran",
                RuntimeWarning,
                stacklevel=2,
            )


def _ended(handle: weakref.ref[FlowRun], host: hosting.SessionHost, outcome: concurrent.futures.Future[State]) -> None:
    # A future keeps its callbacks: with a strong reference, what a run gave would stay until the garbage collector comes.
    run = handle()
    if run is not None and outcome.exception() is None:
        run._state = outcome.result()
    left_last = host.leave()
    if run is not None:
        run._left_last = left_last


def _is_cause(state: State) -> bool:
    """Whether a task failed by itself, or children of it did, rather than because of what it waited for."""
    if isinstance(state, Mapped):
        return any(child is not None and _is_cause(child) for child in state.map_states)
    return state.is_failed() and not isinstance(state, TriggerFailed)


def _reason(state: State) -> str | None:
    if not isinstance(state, Mapped):
        return state.message
    failed = [child for child in state.map_states if child is not None and _is_cause(child)]
    return f"{len(failed):,} of {len(state.map_states):,} children failed, the first: {failed[0].message}"


def _restored(flow_name: str, run_id: str, state: State) -> FlowRun:
    run = FlowRun.__new__(FlowRun)
    run._flow_name, run._id, run._state, run._started = flow_name, run_id, state, True
    run._awaits = {}
    return run
