"""Automations: something is done once because of what happened to a run, or because it did not happen in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from prefectlite import Flow, Parameter, Runtime, task
from prefectlite.errors import BadRequest, NotFound
from prefectlite.notifications.courier import Courier
from prefectlite.schedules import IntervalSchedule, Schedule
from prefectlite.services.automations import DEEPEST, DEPTH, AutomationService
from prefectlite.services.notifier import Notifier
from prefectlite.settings import Settings
from prefectlite.states import Failed, Running, Scheduled, State, Success
from tests.conftest import HeldClock
from tests.notifications.servers import Receiver

pytestmark = pytest.mark.asyncio


@task
def nothing(value: object) -> None:
    pass


def flow(name: str, schedule: Schedule | None = None) -> Flow:
    with Flow(name, schedule=schedule) as made:
        nothing(Parameter("x", default=1))
    return made


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest_asyncio.fixture
async def runtime(database_url: str, clock: HeldClock) -> AsyncIterator[Runtime]:
    settings = Settings(database_url=database_url, hook_allow_private=True)
    flows = [flow("watched"), flow("other"), flow("hourly", IntervalSchedule(interval=timedelta(hours=1)))]
    async with Runtime(flows, settings=settings, clock=clock, agent=False) as opened:
        yield opened


@asynccontextmanager
async def at_work(*services: Any) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(service.run()) for service in services]
    try:
        yield
    finally:
        for one in tasks:
            assert not one.done(), one.exception()
            one.cancel()
        await asyncio.wait(tasks)


async def group(runtime: Runtime, name: str) -> str:
    rows = await runtime.session.database.read("SELECT flow_group_id FROM flow WHERE name = $1", (name,))
    return str(rows[0][0])


async def run_of(runtime: Runtime, *states: State, name: str = "watched", **more: Any) -> str:
    client = runtime.session.client
    rows = await runtime.session.database.read("SELECT id FROM flow WHERE name = $1", (name,))
    run_id = await client.create_flow_run(flow_id=rows[0][0], **more)
    for state in states:
        await client.set_flow_run_state(run_id, state)
    return run_id


async def automation(runtime: Runtime, event: str, action: str, **more: Any) -> str:
    given = {"name": f"{event} {action}", "event": event, "action": action, **more}
    return await runtime.session.client.automations.create(given)


async def hook(runtime: Runtime, receiver: Receiver) -> str:
    courier = Courier(runtime.session.settings)
    return await runtime.session.client.hooks.create(courier, "WEBHOOK", [], {"url": receiver.url})


async def look(runtime: Runtime) -> None:
    """As a service does that has just begun."""
    await AutomationService(runtime.session).look()


async def state_of(runtime: Runtime, run_id: str) -> str:
    rows = await runtime.session.database.read("SELECT state FROM flow_run WHERE id = $1", (run_id,))
    return str(rows[0][0])


async def firings(runtime: Runtime) -> list[tuple[Any, ...]]:
    return await runtime.session.database.read("SELECT status, message FROM automation_firing ORDER BY created, id")


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await check():  # noqa: ASYNC110 - the record is asked
            await asyncio.sleep(0.01)


async def test_a_state_notifies_a_hook(runtime: Runtime, clock: HeldClock) -> None:
    async with Receiver().open() as receiver:
        hook_id = await hook(runtime, receiver)
        await run_of(runtime, Running(), Failed())  # before there was an automation
        await automation(runtime, "STATE", "NOTIFY", states=["failed"], cloud_hook_id=hook_id)
        async with at_work(AutomationService(runtime.session), Notifier(runtime.session)):
            await run_of(runtime, Running(), Success())
            run_id = await run_of(runtime, Running(), Failed("it broke"))
            await receiver.has(1)
        await look(runtime)
    [event] = receiver.events
    assert (event["flow_run"]["id"], event["state"]["message"]) == (run_id, "it broke")
    assert event["reason"] == "Automation 'STATE NOTIFY'"
    [(status, message)] = await firings(runtime)
    assert (status, message[:9]) == ("Done", "Delivery ")


async def test_a_run_that_is_late_is_cancelled(runtime: Runtime, clock: HeldClock) -> None:
    watched = await group(runtime, "watched")
    async with at_work(AutomationService(runtime.session)):
        late = await run_of(runtime, scheduled_start_time=clock.now() + timedelta(seconds=10))
        spared = await run_of(runtime, name="other")
        in_time = await run_of(runtime, Running())
        await automation(runtime, "LATE", "CANCEL", seconds=30, flow_group_id=watched)
        await clock.sleeper()
        clock.advance(39)
        await look(runtime)
        assert await state_of(runtime, late) == "Scheduled"
        clock.advance(1)

        async def is_cancelled() -> bool:
            return await state_of(runtime, late) == "Cancelled"

        await until(is_cancelled)
    assert await state_of(runtime, spared) == "Scheduled"
    assert await state_of(runtime, in_time) == "Running"


async def test_a_run_that_goes_on_for_too_long(runtime: Runtime, clock: HeldClock) -> None:
    async with Receiver().open() as receiver:
        hook_id = await hook(runtime, receiver)
        await automation(runtime, "RUNNING", "NOTIFY", seconds=60, cloud_hook_id=hook_id)
        async with at_work(AutomationService(runtime.session), Notifier(runtime.session)):
            first = await run_of(runtime, Running())
            await run_of(runtime, Running(), Success())
            for _ in range(2):
                await clock.sleeper()
                clock.advance(30)
            await receiver.has(1)
            clock.advance(600)
        await look(runtime)
    assert [event["flow_run"]["id"] for event in receiver.events] == [first]
    assert receiver.events[0]["reason"] == "Automation 'RUNNING NOTIFY': it goes on for more than 60 s"
    assert len(await firings(runtime)) == 1


async def test_a_restarted_run_has_not_been_running_all_the_time(runtime: Runtime, clock: HeldClock) -> None:
    run_id = await run_of(runtime, Running(), Failed())
    clock.advance(86_400)
    for state in (Scheduled(start_time=clock.now()), Running()):
        await runtime.session.client.set_flow_run_state(run_id, state)
    await automation(runtime, "RUNNING", "CANCEL", seconds=60)
    await look(runtime)
    assert await firings(runtime) == []
    clock.advance(60)
    await look(runtime)
    assert await firings(runtime) == [("Done", "The run is Cancelling")]


async def test_a_flow_is_run(runtime: Runtime) -> None:
    other = await group(runtime, "other")
    await automation(runtime, "STATE", "RUN_FLOW", states=["FAILED"], target_flow_group_id=other, parameters={"x": 7})
    cause = await run_of(runtime, Running(), Failed())
    await look(runtime)
    sql = "SELECT r.parameters, r.context FROM flow_run r JOIN flow f ON f.id = r.flow_id WHERE f.name = 'other'"
    [(parameters, context)] = await runtime.session.database.read(sql)
    assert parameters == '{"x":7}'
    assert context == f'{{"automation_depth":1,"automation":{{"name":"STATE RUN_FLOW","flow_run_id":"{cause}"}}}}'


async def test_a_loop_ends(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    watched = await group(runtime, "watched")
    await automation(runtime, "STATE", "RUN_FLOW", states=["SCHEDULED"], target_flow_group_id=watched)
    await run_of(runtime)
    for _ in range(DEEPEST + 3):
        await look(runtime)
    found = await firings(runtime)
    assert [status for status, _ in found] == ["Done"] * DEEPEST + ["Failed"]
    assert "this one would make a loop of it" in found[-1][1]
    assert "this one would make a loop of it" in caplog.text


async def test_who_claims_to_be_deep_is_not_believed_to_be_shallow(runtime: Runtime) -> None:
    watched = await group(runtime, "watched")
    await automation(runtime, "STATE", "RUN_FLOW", states=["SCHEDULED"], target_flow_group_id=watched)
    await run_of(runtime, context={DEPTH: "x"})
    await look(runtime)
    assert [status for status, _ in await firings(runtime)] == ["Failed"]


async def test_a_schedule_is_paused_though_that_forgets_the_run(runtime: Runtime, clock: HeldClock) -> None:
    hourly = await group(runtime, "hourly")
    await automation(runtime, "LATE", "PAUSE_SCHEDULE", seconds=60, flow_group_id=hourly)
    clock.advance(3600 + 60)
    await look(runtime)
    rows = await runtime.session.database.read("SELECT is_schedule_active FROM flow WHERE name = 'hourly'")
    assert rows == [(0,)]
    assert await runtime.session.database.read("SELECT flow_run_id FROM automation_firing") == [(None,)]
    assert await firings(runtime) == [("Done", "The schedule is paused")]
    clock.advance(31 * 86_400)
    async with at_work(AutomationService(runtime.session)):

        async def is_forgotten() -> bool:
            return await firings(runtime) == []

        await until(is_forgotten)


async def test_what_was_begun_and_not_done_is_done_once(runtime: Runtime) -> None:
    """A crash after it was written down that something is to be done, and one after it was done."""
    other = await group(runtime, "other")
    await automation(runtime, "STATE", "RUN_FLOW", states=["FAILED"], target_flow_group_id=other)
    await run_of(runtime, Running(), Failed())
    await look(runtime)

    async def as_before(tx: Any) -> None:
        await tx.execute("UPDATE automation_firing SET status = 'Pending', message = NULL")
        await tx.execute("UPDATE counter SET value = 0 WHERE name = 'automations'")

    await runtime.session.database.write(as_before)
    await look(runtime)
    assert [status for status, _ in await firings(runtime)] == ["Done"]
    sql = "SELECT count(*) FROM flow_run r JOIN flow f ON f.id = r.flow_id WHERE f.name = 'other'"
    assert await runtime.session.database.read(sql) == [(1,)]


async def test_two_services_act_once(runtime: Runtime) -> None:
    other = await group(runtime, "other")
    await automation(runtime, "STATE", "RUN_FLOW", states=["RUNNING"], target_flow_group_id=other)
    services = [AutomationService(runtime.session) for _ in range(2)]
    async with at_work(*services):
        for _ in range(10):
            await run_of(runtime, Running())

        async def all_done() -> bool:
            return [status for status, _ in await firings(runtime)] == ["Done"] * 10

        await until(all_done)
    sql = "SELECT count(*) FROM flow_run r JOIN flow f ON f.id = r.flow_id WHERE f.name = 'other'"
    assert await runtime.session.database.read(sql) == [(10,)]


async def test_what_cannot_be_done_is_said(runtime: Runtime) -> None:
    async with Receiver().open() as receiver:
        hook_id = await hook(runtime, receiver)
        await automation(runtime, "STATE", "NOTIFY", states=["RUNNING"], cloud_hook_id=hook_id)
        await runtime.session.client.hooks.set_active(hook_id, is_active=False)
        await run_of(runtime, Running())
        await look(runtime)
    assert await firings(runtime) == [("Failed", "The hook is switched off")]
    with pytest.raises(BadRequest, match="Automation 'STATE NOTIFY' notifies cloud hook"):
        await runtime.session.client.hooks.delete(hook_id)


async def test_changes(runtime: Runtime) -> None:
    client = runtime.session.client.automations
    known = await automation(runtime, "STATE", "CANCEL", states=["RUNNING"])
    await client.update(known, {"is_active": False})
    spared = await run_of(runtime, Running())
    await look(runtime)
    await client.update(known, {"is_active": True})  # from now on
    await look(runtime)
    assert await state_of(runtime, spared) == "Running"
    run_id = await run_of(runtime, Running())
    await client.update(known, {"name": "another"})
    await look(runtime)
    assert await state_of(runtime, run_id) == "Cancelling"
    await client.update(known, {"event": "LATE", "states": None, "seconds": 5})
    await client.delete(known)
    assert await firings(runtime) == []
    with pytest.raises(NotFound):
        await client.update(known, {})
    with pytest.raises(NotFound):
        await client.delete(known)


NOBODY = "00000000-0000-4000-8000-00000000dead"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "taken"}, "name"),
        ({"states": []}, "states"),
        ({"states": ["RUNNIN"]}, "states"),
        ({"seconds": 5}, "seconds"),
        ({"event": "LATE"}, "seconds"),
        ({"event": "LATE", "states": [], "seconds": 0}, "seconds"),
        ({"event": "LATE", "seconds": 5}, "states"),
        ({"event": None}, "event"),
        ({"action": "NOTIFY"}, "cloud_hook_id"),
        ({"action": "RUN_FLOW"}, "target_flow_group_id"),
        ({"target_flow_group_id": NOBODY}, "target_flow_group_id"),
        ({"parameters": {"x": 1}}, "parameters"),
    ],
)
async def test_what_makes_no_sense(runtime: Runtime, given: dict[str, Any], field: str) -> None:
    await automation(runtime, "STATE", "CANCEL", states=["RUNNING"], name="taken")
    with pytest.raises(BadRequest, match=rf"^{field}: "):
        await automation(runtime, **{"event": "STATE", "action": "CANCEL", "states": ["RUNNING"], **given})


async def test_what_is_not_there(runtime: Runtime) -> None:
    with pytest.raises(NotFound, match=r"^Cloud hook"):
        await automation(runtime, "STATE", "NOTIFY", states=["RUNNING"], cloud_hook_id=NOBODY)
    with pytest.raises(NotFound, match=r"^Flow group"):
        await automation(runtime, "STATE", "CANCEL", states=["RUNNING"], flow_group_id=NOBODY)


async def test_all_services_of_a_runtime_together(database_url: str) -> None:
    """A run fails; an automation runs the flow that mends things; a hook is told of both."""

    @task
    def broken() -> None:
        raise ValueError("canary")

    with Flow("breaks") as breaks:
        broken()
    settings = Settings(database_url=database_url, hook_allow_private=True)
    async with Receiver().open() as receiver, Runtime([breaks, flow("mends")], settings=settings) as runtime:
        courier, client = Courier(settings), runtime.session.client
        mends = await group(runtime, "mends")
        await client.hooks.create(courier, "WEBHOOK", ["FINISHED"], {"url": receiver.url})
        await automation(runtime, "STATE", "RUN_FLOW", states=["FAILED"], target_flow_group_id=mends)
        await run_of(runtime, name="breaks")
        await receiver.has(2)
    assert {(event["flow"]["name"], event["state"]["state"]) for event in receiver.events} == {
        ("breaks", "Failed"),
        ("mends", "Success"),
    }
