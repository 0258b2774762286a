"""Spans, as OpenTelemetry's own SDK gets them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from prefectlite import Flow, Runtime, task
from prefectlite.engine.tracing import active_trace, trace_of


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Takes the spans of this test; a process has one provider for good, so this one is put in place by hand."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


def spans(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


def own(span: ReadableSpan) -> dict[str, object]:
    return {key.removeprefix("prefectlite."): value for key, value in (span.attributes or {}).items()}


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent is not None else None


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


def user_span(name: str) -> None:
    with trace.get_tracer("user").start_as_current_span(name):
        pass


@task
async def in_the_loop(number: int) -> int:
    await asyncio.sleep(0)
    user_span("in the loop")
    return number


@task
def in_a_thread() -> None:
    user_span("in a thread")


@pytest.mark.asyncio
async def test_a_span_for_each_run(exporter: InMemorySpanExporter) -> None:
    with Flow("spans") as flow:
        in_the_loop.map([1, 2, 3])
        in_a_thread()
    async with Runtime(agent=False):
        with trace.get_tracer("user").start_as_current_span("outside"):
            run = await flow.run()
    [flow_span] = spans(exporter, "flow run spans")
    assert own(flow_span)["flow.name"] == "spans"
    assert own(flow_span)["flow_run.id"] == run.id
    assert own(flow_span)["flow_run.name"]
    assert own(flow_span)["state"] == "Success"
    assert flow_span.status.status_code is StatusCode.UNSET
    assert parent_of(flow_span) == id_of(spans(exporter, "outside")[0])
    children = spans(exporter, "task run in_the_loop")
    [threaded] = spans(exporter, "task run in_a_thread")
    assert sorted(own(span)["task_run.map_index"] for span in children) == [0, 1, 2]  # type: ignore[type-var]
    for span in (*children, threaded):
        assert parent_of(span) == id_of(flow_span)
        assert own(span)["flow_run.id"] == run.id
        assert own(span)["state"] == "Success"
        assert [event.name for event in span.events] == ["attempt"]
    # The user's own spans are inside those of their tasks, on the loop and in threads.
    assert {parent_of(span) for span in spans(exporter, "in the loop")} == {id_of(span) for span in children}
    assert [parent_of(span) for span in spans(exporter, "in a thread")] == [id_of(threaded)]
    assert active_trace.get() is None


@pytest.mark.asyncio
async def test_failures_and_retries(exporter: InMemorySpanExporter) -> None:
    @task(max_retries=1, retry_delay=timedelta(0))
    def fails() -> None:
        raise ValueError("no luck")

    @task
    def follows() -> None: ...

    with Flow("failing") as flow:
        follows(upstream_tasks=[fails()])
    async with Runtime(agent=False):
        run = await flow.run()
    assert run.is_failed()
    [failed], [blocked] = spans(exporter, "task run fails"), spans(exporter, "task run follows")
    assert [event.name for event in failed.events] == ["attempt", "retry", "exception"]
    retry, exception = (event.attributes or {} for event in failed.events[1:])
    assert retry["prefectlite.task_run.run_count"] == 2
    assert "no luck" in str(retry["prefectlite.failure"])
    assert exception["exception.type"] == "ValueError"
    assert exception["exception.message"] == "no luck"
    assert "raise ValueError" in str(exception["exception.stacktrace"])
    assert failed.status.status_code is StatusCode.ERROR
    assert (failed.attributes or {})["error.type"] == "builtins.ValueError"
    assert own(blocked)["state"] == "TriggerFailed"
    [flow_span] = spans(exporter, "flow run failing")
    assert flow_span.status.status_code is StatusCode.ERROR
    assert own(flow_span)["state"] == "Failed"


@pytest.mark.asyncio
async def test_a_run_that_is_cancelled_has_an_end(exporter: InMemorySpanExporter) -> None:
    begun = asyncio.Event()

    @task
    async def waits() -> None:
        begun.set()
        await asyncio.Event().wait()

    with Flow("cancelled") as flow:
        waits()
    async with Runtime(agent=False):
        running = asyncio.ensure_future(flow.run())
        await begun.wait()
        running.cancel()
        await asyncio.wait([running])
    [span] = spans(exporter, "flow run cancelled")
    assert own(span)["state"] == "Cancelled"
    assert len(spans(exporter, "task run waits")) == 1


@pytest.mark.asyncio
async def test_the_setting_turns_it_off(exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECTLITE_TELEMETRY", "false")
    with Flow("silent") as flow:
        in_a_thread()
    async with Runtime(agent=False):
        await flow.run()
    assert [span.name for span in exporter.get_finished_spans()] == ["in a thread"]


def test_without_a_provider_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    assert trace_of(telemetry=True) is None
    monkeypatch.delitem(sys.modules, "opentelemetry.trace")
    assert trace_of(telemetry=True) is None


def test_running_a_flow_does_not_load_opentelemetry() -> None:
    code = """
import sys
from prefectlite import Flow, task
@task
def nothing(): ...
with Flow("f") as flow:
    nothing()
assert flow.run().is_successful()
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    subprocess.run([sys.executable, "-c", code], check=True)
