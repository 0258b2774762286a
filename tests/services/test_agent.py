"""The agent begins what is due the moment it is, and says clearly what it cannot begin."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from prefectlite import Flow, Parameter, Runtime, task
from prefectlite.errors import NotFound, ParameterError
from prefectlite.live.bus import Subscription
from prefectlite.live.events import ALL_FLOW_RUNS, StateChange
from prefectlite.registration import register_in
from prefectlite.schedules import IntervalSchedule
from prefectlite.states import Scheduled
from prefectlite.storage.source import FileSource, ModuleSource, load_flow
from tests.conftest import HeldClock

pytestmark = pytest.mark.asyncio


@task
async def echo(value: Any) -> Any:
    return value


with Flow("echoes") as ECHOES:
    echo(Parameter("value", default=0))


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest_asyncio.fixture
async def runtime(database_url: str, clock: HeldClock) -> AsyncIterator[Runtime]:
    async with Runtime(flows=[ECHOES], database_url=database_url, clock=clock) as opened:
        yield opened


async def flow_id(runtime: Runtime, name: str = "echoes") -> str:
    ((found,),) = await runtime.session.database.read("SELECT id FROM flow WHERE name = $1 AND archived = 0", (name,))
    return str(found)


async def until(news: Subscription, run_id: str, *names: str) -> str:
    """The first of these states that the run enters."""
    async with asyncio.timeout(10):
        async for event in news:
            if isinstance(event, StateChange) and event.flow_run_id == run_id and event.state.name in names:
                return event.state.name
    raise AssertionError("the news ended")


async def test_a_run_that_is_due_begins_at_once(runtime: Runtime) -> None:
    with runtime.session.bus.subscribe(ALL_FLOW_RUNS) as news:
        run_id = await runtime.session.client.create_flow_run(flow_id=await flow_id(runtime), parameters={"value": 7})
        assert await until(news, run_id, "Success", "Failed") == "Success"


async def test_a_run_of_tomorrow_begins_tomorrow(runtime: Runtime, clock: HeldClock) -> None:
    with runtime.session.bus.subscribe(ALL_FLOW_RUNS) as news:
        client, found = runtime.session.client, await flow_id(runtime)
        later = await client.create_flow_run(flow_id=found, scheduled_start_time=clock.now() + timedelta(days=1))
        sooner = await client.create_flow_run(flow_id=found, scheduled_start_time=clock.now() + timedelta(hours=1))
        await clock.sleeper()
        clock.advance(3600)
        assert await until(news, sooner, "Success") == "Success"
        assert await _state(runtime, later) == "Scheduled"
        for _ in range(23 * 60):  # it sleeps a minute at most, to notice a clock that was set
            await clock.sleeper()
            clock.advance(60)
        assert await until(news, later, "Success") == "Success"


async def test_a_run_that_is_put_off_begins_then(runtime: Runtime, clock: HeldClock) -> None:
    with runtime.session.bus.subscribe(ALL_FLOW_RUNS) as news:
        client, found = runtime.session.client, await flow_id(runtime)
        run_id = await client.create_flow_run(flow_id=found, scheduled_start_time=clock.now() + timedelta(seconds=2))
        await client.set_flow_run_state(run_id, Scheduled("later", start_time=clock.now() + timedelta(seconds=40)))
        await clock.sleeper()
        clock.advance(2)
        other = await client.create_flow_run(flow_id=found)
        assert await until(news, other, "Success") == "Success"
        assert await _state(runtime, run_id) == "Scheduled"
        await clock.sleeper()
        clock.advance(40)
        assert await until(news, run_id, "Success") == "Success"


async def test_what_was_scheduled_while_nobody_served_is_begun(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'later.sqlite'}"
    async with Runtime(flows=[ECHOES], database_url=url, agent=False) as runtime:
        run_id = await runtime.session.client.create_flow_run(flow_id=await flow_id(runtime))
        assert await _state(runtime, run_id) == "Scheduled"
    async with Runtime(flows=[ECHOES], database_url=url) as runtime:
        with runtime.session.bus.subscribe(ALL_FLOW_RUNS) as news:
            if await _state(runtime, run_id) != "Success":
                assert await until(news, run_id, "Success") == "Success"


async def test_a_registered_flows_own_runs_are_not_begun_twice(runtime: Runtime) -> None:
    runs = await asyncio.gather(*(ECHOES.run(value=number) for number in range(20)))
    assert all(run.is_successful() for run in runs)
    counted = await runtime.session.database.read("SELECT count(*) FROM task_run WHERE state = 'Success'")
    assert counted == [(40,)]  # the parameter and the task, once each
    assert await runtime.session.database.read("SELECT count(*) FROM flow") == [(1,)]


async def test_the_same_key_is_the_same_run(runtime: Runtime) -> None:
    client, found = runtime.session.client, await flow_id(runtime)
    first = await client.create_flow_run(flow_id=found, idempotency_key="today")
    assert await client.create_flow_run(flow_id=found, idempotency_key="today") == first
    assert await client.create_flow_run(flow_id=found, idempotency_key="tomorrow") != first
    at_once = await asyncio.gather(*(client.create_flow_run(flow_id=found, idempotency_key="now") for _ in range(8)))
    assert len(set(at_once)) == 1


async def test_what_cannot_be_asked_for(runtime: Runtime) -> None:
    client, found = runtime.session.client, await flow_id(runtime)
    with pytest.raises(NotFound, match="Flow nobody not found"):
        await client.create_flow_run(flow_id="nobody")
    with pytest.raises(ParameterError, match=r"no parameter colour; it takes: value"):
        await client.create_flow_run(flow_id=found, parameters={"colour": "red"})
    assert await runtime.session.database.read("SELECT count(*) FROM flow_run") == [(0,)]


FILE = """
from prefectlite import Flow, task
@task
def one():
    return 1
with Flow("from a file") as flow:
    one()
"""


async def _registered(runtime: Runtime, file: Path) -> str:
    source = FileSource(None, str(file))
    flow = await asyncio.to_thread(load_flow, source)
    return (await register_in(runtime.session, flow, "default", source)).id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, "there is no such file"),
        ("1 / 0", "ZeroDivisionError"),
        (FILE.replace("one()\n", "one()\n    one()\n"), "register it again"),
        (FILE.replace("from a file", "another"), "no flow 'from a file' in it; it has: another"),
    ],
)
async def test_code_that_is_gone_or_changed_fails_the_run_with_the_reason(
    runtime: Runtime, tmp_path: Path, change: str | None, message: str
) -> None:
    file = tmp_path / "flow.py"
    file.write_text(FILE)
    found = await _registered(runtime, file)
    if change is None:
        file.unlink()
    else:
        file.write_text(change)
    with runtime.session.bus.subscribe(ALL_FLOW_RUNS) as news:
        run_id = await runtime.session.client.create_flow_run(flow_id=found)
        assert await until(news, run_id, "Success", "Failed") == "Failed"
        # The agent lives, and begins the next run.
        other = await runtime.session.client.create_flow_run(flow_id=await flow_id(runtime))
        assert await until(news, other, "Success") == "Success"
    ((reason,),) = await runtime.session.database.read("SELECT state_message FROM flow_run WHERE id = $1", (run_id,))
    assert message in reason


async def test_code_that_changed_without_changing_the_flow_runs_with_a_warning(runtime: Runtime, tmp_path: Path) -> None:
    file = tmp_path / "flow.py"
    file.write_text(FILE)
    found = await _registered(runtime, file)
    file.write_text(FILE.replace("return 1", "return 2"))
    with runtime.session.bus.subscribe(ALL_FLOW_RUNS) as news:
        run_id = await runtime.session.client.create_flow_run(flow_id=found)
        assert await until(news, run_id, "Success", "Failed") == "Success"


@pytest.mark.parametrize("kind", ["file", "module"])
async def test_a_new_version_runs_its_own_code_and_helpers(runtime: Runtime, tmp_path: Path, kind: str) -> None:
    name = f"versioned_{kind}_{runtime.session.owner.id[-8:]}"
    file, helper = tmp_path / f"{name}.py", tmp_path / f"{name}_helper.py"
    source = FileSource(None, str(file)) if kind == "file" else ModuleSource(None, name)
    sys.path.insert(0, str(tmp_path))
    try:
        for number in (1, 10):  # of another length: Python knows an edited file by its second and its size
            helper.write_text(f"NUMBER = {number}")
            file.write_text(FILE.replace("return 1", f"return {number} * 10 + NUMBER"))
            file.write_text(f"from {name}_helper import NUMBER\n" + file.read_text())
            flow = await asyncio.to_thread(load_flow, source)
            found = (await register_in(runtime.session, flow, "default", source)).id
            with runtime.session.bus.subscribe(ALL_FLOW_RUNS) as news:
                run_id = await runtime.session.client.create_flow_run(flow_id=found)
                assert await until(news, run_id, "Success", "Failed") == "Success"
            rows = await runtime.session.database.read(
                "SELECT x.data FROM result x JOIN task_run r ON r.id = x.task_run_id WHERE r.flow_run_id = $1", (run_id,)
            )
            assert rows == [(bytes([number * 10 + number]),)]  # as MessagePack writes small numbers
    finally:
        sys.path.remove(str(tmp_path))


async def _state(runtime: Runtime, run_id: str) -> str:
    ((state,),) = await runtime.session.database.read("SELECT state FROM flow_run WHERE id = $1", (run_id,))
    return str(state)


async def test_runs_that_a_schedule_forgot_are_no_error(
    database_url: str, clock: HeldClock, caplog: pytest.LogCaptureFixture
) -> None:
    with Flow("now and then", schedule=IntervalSchedule(interval=timedelta(minutes=1))) as flow:
        echo(1)
    async with Runtime(flows=[flow, ECHOES], database_url=database_url, clock=clock) as runtime:
        client, found = runtime.session.client, await flow_id(runtime, "now and then")
        await client.flows.set_schedule_active(found, is_active=False)
        with runtime.session.bus.subscribe(ALL_FLOW_RUNS) as news:
            last = await client.create_flow_run(
                flow_id=await flow_id(runtime), scheduled_start_time=clock.now() + timedelta(seconds=61)
            )
            await clock.sleeper()
            clock.advance(61)
            assert await until(news, last, "Success") == "Success"
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
