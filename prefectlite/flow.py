"""Flows: written with `with Flow(...)`, run with `flow.run(...)`, given to servers with `flow.register(...)`."""

from __future__ import annotations

import asyncio
import sys
import warnings
from contextvars import Token
from types import TracebackType
from typing import Any

from prefectlite.contexts import active_graph, loading_flow
from prefectlite.errors import FlowError, UnsupportedLoop
from prefectlite.flow_run import FlowRun
from prefectlite.language import collections
from prefectlite.language.graph import Graph
from prefectlite.language.parameter import check_parameters
from prefectlite.registration import Registration, source_of
from prefectlite.session import Session
from prefectlite.settings import load_settings
from prefectlite.states import Cancelled, State

collections.make_known()


class Flow(Graph):
    """A workflow: tasks and what they wait for.

        with Flow("daily load") as flow:
            day = Parameter("day")
            load(clean(extract(day)))

        flow.run(day="2024-03-01")          # in a script
        await flow.run(day="2024-03-01")    # in async code

    Raises FlowError for a name that is empty.
    """

    def __init__(self, name: str) -> None:
        if not name:
            raise FlowError("A name must be provided for the flow.")
        if not name.isprintable():
            raise FlowError(f"The name of a flow must be printable text, not {name!r}")
        super().__init__(name)
        self.made_in = _module_file(_caller())
        self._tokens: list[Token[Any]] = []

    def __repr__(self) -> str:
        return f'<Flow: name="{self.name}">'

    def __enter__(self) -> Flow:
        self._tokens.append(active_graph.set(self))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        active_graph.reset(self._tokens.pop())

    def run(
        self,
        parameters: dict[str, Any] | None = None,
        *,
        context: dict[str, Any] | None = None,
        flow_run_name: str | None = None,
        **kwargs: Any,
    ) -> FlowRun:
        """Run the flow once, recorded in the database; parameters may be given as keywords.

        In a thread without a running event loop it returns when the run has ended; in async code it returns at once, and the
        run begins when it is awaited. Raises ParameterError for missing or unknown parameters, FlowError for a flow that
        cannot be run, at once; a run that fails raises nothing.
        """
        if active_graph.get() is not None:
            raise RuntimeError(f"Flow {self.name!r} cannot be run inside a `with Flow` block: leave the block first")
        values = {**(parameters or {}), **kwargs}
        if loading_flow.get():
            _warn_loading(self.name, "run")
            return None  # type: ignore[return-value]
        self.validate()
        check_parameters(self, values)
        caller = _caller()
        run = FlowRun(self, _work(self, values, context, flow_run_name), load_settings(), _site(caller))
        return run if _in_event_loop() else run.run_blocking()

    def register(self, project_name: str) -> Registration:
        """Write this version of the flow down under a project, which is made if need be, so that a server can run it.

        With `PREFECTLITE_API_URL` set it goes to that server, else to the local database. Await it in async code. Raises
        FlowError if the flow has no file that a server could load it from.
        """
        if active_graph.get() is not None:
            raise FlowError(f"Flow {self.name!r} cannot be registered inside a `with Flow` block: leave the block first")
        if loading_flow.get():
            _warn_loading(self.name, "register")
            return None  # type: ignore[return-value]
        self.validate()
        registration = Registration(self, project_name, source_of(self, self.made_in), load_settings())
        return registration if _in_event_loop() else registration.run_blocking()


def _work(flow: Flow, values: dict[str, Any], context: dict[str, Any] | None, name: str | None) -> Any:
    async def work(handle: FlowRun, session: Session) -> State:
        run, row = await session.create(flow, values, name=name, context=context)
        if not handle.entered(run.id):
            await session.client.cancel_flow_run(run.id)
            return Cancelled("Flow run was cancelled before it ran", {})
        return await session.execute(flow, row, run, values)

    return work


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        trio = sys.modules.get("trio")
        if trio is not None and trio.lowlevel.in_trio_run():
            raise UnsupportedLoop(
                "flow.run() needs asyncio: under trio, run it in a thread (trio.to_thread.run_sync)"
            ) from None
        return False
    return True


def _caller() -> Any:
    """The frame of the user's code that called into this module."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return frame


def _module_file(frame: Any) -> str:
    """The file of the module that is being executed further up: importing it makes the flow again."""
    while frame.f_back is not None and frame.f_code.co_name != "<module>":
        frame = frame.f_back
    return str(frame.f_code.co_filename)


def _site(frame: Any) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _warn_loading(name: str, verb: str) -> None:
    warnings.warn(
        f"flow {name!r}: {verb}() does nothing while the file is being loaded; guard it with `if __name__ == '__main__':`",
        UserWarning,
        stacklevel=3,
    )
