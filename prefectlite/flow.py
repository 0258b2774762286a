"""Flows: written with `with Flow(...)`, run with `flow.run(...)`, given to servers with `flow.register(...)`."""

from __future__ import annotations

import asyncio
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from prefectlite.clock import current_time
from prefectlite.contexts import active_case, active_graph, active_resource, loading_flow, worker_process
from prefectlite.errors import FlowError, FlowStorageError, UnsupportedLoop
from prefectlite.flow_call import call_of
from prefectlite.flow_run import FlowRun
from prefectlite.flow_work import next_event, on_schedule, once
from prefectlite.language import collections
from prefectlite.language.callbacks import handlers_of
from prefectlite.language.executor import checked_executor
from prefectlite.language.graph import Edge, Graph
from prefectlite.language.parameter import check_parameters
from prefectlite.language.serialized import digest_of, serialized_flow
from prefectlite.language.task import Task
from prefectlite.lazily import lazily
from prefectlite.registration import Registration, source_of
from prefectlite.settings import current_settings, load_settings

if TYPE_CHECKING:
    from prefectlite import diagnostics
    from prefectlite.language import drawing
    from prefectlite.schedules import Schedule
    from prefectlite.storage import flow_file
else:
    diagnostics, drawing = lazily("prefectlite.diagnostics"), lazily("prefectlite.language.drawing")
    flow_file = lazily("prefectlite.storage.flow_file")

collections.make_known()


class Flow(Graph):
    """A workflow: tasks and what they wait for.

        with Flow("daily load") as flow:
            day = Parameter("day")
            load(clean(extract(day)))

        flow.run(day="2024-03-01")          # in a script
        await flow.run(day="2024-03-01")    # in async code

    `state_handlers` are called as `handler(flow, old, new)` at every change of a run's state, and may return another one;
    `on_failure(flow, state)` when it fails; `terminal_state_handler(flow, state, reference_states)` may change how it ends.
    `schedule` says when it is to run; `executor` says where and how many tasks execute at once, `result` where tasks without
    one of their own write theirs.
    Raises FlowError for a name that is empty.
    """

    def __init__(
        self,
        name: str,
        schedule: Schedule | None = None,
        executor: Any = None,
        run_config: Any = None,
        storage: Any = None,
        tasks: Iterable[Task] | None = None,
        edges: Iterable[Edge] | None = None,
        reference_tasks: Iterable[Task] | None = None,
        state_handlers: Sequence[Callable[..., Any]] | None = None,
        on_failure: Callable[..., Any] | None = None,
        validate: bool | None = None,
        result: Any = None,
        terminal_state_handler: Callable[..., Any] | None = None,
    ) -> None:
        if not name:
            raise FlowError("A name must be provided for the flow.")
        if not name.isprintable():
            raise FlowError(f"The name of a flow must be printable text, not {name!r}")
        super().__init__(name)
        self.made_in = _module_file(_caller())
        self.schedule, self.run_config, self.storage, self.result = schedule, run_config, storage, result
        if schedule is not None and not callable(getattr(schedule, "next", None)):
            raise FlowError(f"Flow {name!r}: schedule takes a Schedule, such as CronSchedule('0 9 * * *'), not {schedule!r}")
        self.executor = checked_executor(executor, f"Flow {name!r}")
        self.state_handlers = handlers_of(state_handlers, on_failure, f"Flow {name!r}")
        self.terminal_state_handler = terminal_state_handler
        self._tokens: list[list[tuple[Any, Token[Any]]]] = []
        for task in tasks or ():
            self.add_task(task)
        for edge in edges or ():
            self.add_edge(edge.upstream_task, edge.downstream_task, edge.key, edge.mapped, edge.flattened)
        if reference_tasks is not None:
            self.set_reference_tasks(reference_tasks)
        if validate:
            self.validate()

    def __repr__(self) -> str:
        return f'<Flow: name="{self.name}">'

    def __enter__(self) -> Flow:
        # A flow that is written inside a block of another one is none of that block's business.
        entered = ((active_graph, self), (active_case, None), (active_resource, None))
        self._tokens.append([(variable, variable.set(value)) for variable, value in entered])
        self.made = {}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for variable, token in self._tokens.pop():
            variable.reset(token)
        if error is None and (unused := self.unused_tasks()):
            warnings.warn(
                f"Tasks were created but not added to the flow: {set(unused)}. This can occur when `Task` classes, including"
                " `Parameters`, are made inside a `with flow:` block but neither called nor added to it.",
                UserWarning,
                stacklevel=2,
            )

    def run(
        self,
        parameters: dict[str, Any] | None = None,
        run_on_schedule: bool | None = None,
        runner_cls: Any = None,
        **kwargs: Any,
    ) -> FlowRun:
        """Run the flow, recorded in the database: once, or, where it has a schedule, at every moment of it.

        Parameters may be given as keywords. Other keywords: `context` (values for `prefectlite.context`), `task_contexts`
        (by task), `task_states` (by task: those of finished ones are taken as they are), `executor`, `flow_run_name`,
        `flow_run_id`, `state` (a Scheduled one says when), `task_runner_state_handlers`. `run_on_schedule=False` runs once,
        now.

        In a thread without a running event loop it returns when the run has ended; in async code it returns at once, and the
        run begins when it is awaited. Raises ParameterError for missing or unknown parameters, FlowError for a flow that
        cannot be run, at once; a run that fails raises nothing.
        """
        if active_graph.get() is not None:
            raise RuntimeError(f"Flow {self.name!r} cannot be run inside a `with Flow` block: leave the block first")
        if worker_process.get():
            raise FlowError(
                f"Flow {self.name!r} cannot be run in a worker process, which has no database: run it in a task without"
                " ProcessExecutor, for example in one with executor=LocalExecutor()"
            )
        if runner_cls is not None:
            raise FlowError(f"Flow {self.name!r}: a runner_cls cannot be used: the engine of prefectlite runs every flow")
        if loading_flow.get():
            _warn_loading(self.name, "run")
            return None  # type: ignore[return-value]
        settings = current_settings()
        call = call_of(self, parameters or {}, kwargs)
        self.validate()
        on_time = settings.run_on_schedule if run_on_schedule is None else run_on_schedule
        if self.schedule is not None and on_time:
            event = next_event(self.schedule, self.name, current_time())
            check_parameters(self, {**call.parameters, **(event.parameter_defaults or {})})
            work = on_schedule(call, self.schedule)
        else:
            check_parameters(self, call.parameters)
            work = once(call)
        run = FlowRun(self, work, settings, _site(_caller()))
        return run if _in_event_loop() else run.run_blocking()

    def copy(self) -> Self:
        """The same flow again, to be changed on its own; it shares the tasks."""
        new = super().copy()
        new._tokens = []
        return new

    # -- on paper ---------------------------------------------------------------------------------------------------------

    def visualize(
        self,
        flow_state: Any = None,
        filename: str | None = None,
        format: str | None = None,
        horizontal: bool = False,
    ) -> Any:
        """A drawing of the flow by Graphviz: shown, or written to `filename`; coloured by `flow_state`, a FlowRun or State.

        Raises ImportError where the graphviz package is not installed. `to_mermaid` and `to_text` need nothing.
        """
        return drawing.visualize(self, flow_state, filename, format, horizontal)

    def to_mermaid(self, flow_state: Any = None, *, horizontal: bool = False) -> str:
        """A drawing of the flow in Mermaid's language, coloured by the states of a run if one is given."""
        return drawing.to_mermaid(self, flow_state, horizontal=horizontal)

    def to_text(self) -> str:
        """The flow as a tree for the terminal."""
        return drawing.to_text(self)

    def serialize(self, build: bool = False) -> dict[str, Any]:
        """The flow as JSON values: its name, parameters, tasks and edges, and what it is run with.

        Raises FlowError for a flow that cannot be run, or that is to be built and has no storage.
        """
        self.validate()
        if build and self.storage is None:
            raise FlowError(f"This flow doesn't have a storage: {self.name!r} cannot be built")
        return serialized_flow(self)

    def serialized_hash(self, build: bool = False) -> str:
        """SHA-256 of the serialized flow, the same in every process."""
        return digest_of(self.serialize(build))

    def save(self, fpath: str | os.PathLike[str] | None = None) -> str:
        """The path of the file the flow was written to: `fpath`, else one named after it in the user's data directory.

        Raises FlowSerializationError, naming the attribute, for a flow that holds what cannot be written down.
        """
        return flow_file.save(self, fpath)

    @staticmethod
    def load(fpath: str | os.PathLike[str]) -> Flow:
        """The flow that was saved under this path, or this name. Raises FlowStorageError if it cannot be read."""
        flow = flow_file.load(fpath)
        if not isinstance(flow, Flow):
            raise FlowStorageError(f"{fpath} does not hold a flow, but {flow!r}")
        return flow

    def diagnostics(self, include_secret_names: bool = False) -> str:
        """What to tell when asking for help, as JSON: versions, settings that were changed, and the flow's make-up."""
        return diagnostics.diagnostics(self, include_secret_names)

    # -- at a server ------------------------------------------------------------------------------------------------------

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
