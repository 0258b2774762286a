"""Spans of flow runs and task runs, for who uses OpenTelemetry: they go where the user's exporter sends them.

Nothing is imported for it: who has not loaded OpenTelemetry's API has no exporter for spans either.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from prefectlite.engine.requests import RunRequest
from prefectlite.engine.units import Unit
from prefectlite.states import Retrying, State
from prefectlite.version import __version__

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

_OWN = "prefectlite"


class Trace:
    """The spans of one flow run: its own, and inside it those of its task runs."""

    def __init__(self, api: Any, tracer: Tracer) -> None:
        self._api, self._tracer = api, tracer
        self._run: dict[str, Any] = {}

    @contextmanager
    def flow_run(self, request: RunRequest) -> Iterator[RunSpan]:
        """In this block the flow run's span is the current one."""
        values = request.values
        self._run = {
            f"{_OWN}.flow.name": request.graph.name,
            f"{_OWN}.flow.id": str(values.get("flow_id") or ""),
            f"{_OWN}.flow_run.id": request.flow_run_id,
            f"{_OWN}.flow_run.name": str(values.get("flow_run_name") or ""),
        }
        with self._span(f"flow run {request.graph.name}", self._run) as span:
            token = active_trace.set(self)
            try:
                yield span
            finally:
                active_trace.reset(token)

    @contextmanager
    def task_run(self, unit: Unit) -> Iterator[RunSpan]:
        """In this block the task run's span is the current one."""
        task = unit.node.task
        more = {
            f"{_OWN}.task.name": task.name,
            f"{_OWN}.task.slug": unit.node.slug,
            f"{_OWN}.task_run.id": unit.run_id,
            f"{_OWN}.task_run.map_index": unit.index,
        }
        with self._span(f"task run {task.name}", {**self._run, **more}) as span:
            try:
                yield span
            finally:
                if unit.state is not None:
                    span.end_in(unit.state)

    @contextmanager
    def _span(self, name: str, attributes: dict[str, Any]) -> Iterator[RunSpan]:
        span = self._tracer.start_span(name, attributes=attributes)
        with self._api.use_span(span, end_on_exit=True, record_exception=True, set_status_on_exception=True):
            yield RunSpan(self._api, span)


class RunSpan:
    """The span of one flow run or task run."""

    def __init__(self, api: Any, span: Span) -> None:
        self._api, self._span = api, span

    def begin_pass(self, state: State) -> None:
        """Say that an attempt begins, and what the one before it came to."""
        if isinstance(state, Retrying):
            failure = str(state.context.get("failure") or "")
            self._span.add_event("retry", {f"{_OWN}.task_run.run_count": state.run_count + 1, f"{_OWN}.failure": failure})
        else:
            self._span.add_event("attempt", {f"{_OWN}.from_state": state.name})

    def end_in(self, state: State) -> None:
        """Say how the run ended, or where it stands when this process leaves it."""
        self._span.set_attribute(f"{_OWN}.state", state.name)
        if not state.is_failed():
            return
        error = state.result if isinstance(state.result, BaseException) else None
        if error is not None:
            self._span.record_exception(error)
            self._span.set_attribute("error.type", f"{type(error).__module__}.{type(error).__qualname__}")
        self._span.set_status(self._api.Status(self._api.StatusCode.ERROR, state.message or state.name))


#: The trace of the flow run that is executed here, if there is one.
active_trace: ContextVar[Trace | None] = ContextVar("active_trace", default=None)


def trace_of(telemetry: bool) -> Trace | None:
    """The spans of a flow run that begins, where somebody would take them."""
    api = sys.modules.get("opentelemetry.trace") if telemetry else None
    if api is None:
        return None
    provider = api.get_tracer_provider()
    if isinstance(provider, api.ProxyTracerProvider):  # nobody has set one
        return None
    return Trace(api, provider.get_tracer(_OWN, __version__))
