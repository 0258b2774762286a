"""Runs that schedules ask for: made ahead, once per event, and what becomes of missed ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from prefectlite import Flow, Parameter, Runtime, task
from prefectlite.errors import BadRequest
from prefectlite.registration import register_in, source_of
from prefectlite.schedules import CronSchedule, IntervalSchedule, Schedule
from prefectlite.schedules.clocks import CronClock, IntervalClock
from prefectlite.services.scheduler import Scheduler
from prefectlite.session import open_session
from prefectlite.settings import Settings, load_settings
from prefectlite.states import Scheduled
from tests.conftest import HeldClock

pytestmark = pytest.mark.asyncio
HOUR = timedelta(hours=1)
MINUTELY = IntervalSchedule(interval=timedelta(minutes=1))


@task
def nothing(value: object = None) -> None:
    pass


def scheduled(schedule: Schedule | None, name: str = "scheduled") -> Flow:
    with Flow(name, schedule=schedule) as flow:
        nothing(Parameter("x", default=1))
    return flow


@asynccontextmanager
async def runtime(url: str, clock: HeldClock, *flows: Flow, agent: bool = False) -> AsyncIterator[Runtime]:
    async with Runtime(list(flows), database_url=url, clock=clock, agent=agent) as opened:
        yield opened


@asynccontextmanager
async def scheduling(runtime: Runtime) -> AsyncIterator[None]:
    service = asyncio.create_task(Scheduler(runtime.session).run())
    try:
        yield
    finally:
        service.cancel()
        await asyncio.wait([service])
        assert service.cancelled()


async def due(runtime: Runtime, state: str = "Scheduled") -> list[datetime]:
    """When the runs are due that are in this state, in order."""
    sql = "SELECT scheduled_start_time FROM flow_run WHERE state = $1 ORDER BY scheduled_start_time, id"
    rows = await runtime.session.database.read(sql, (state,))
    return [datetime.fromtimestamp(row[0] / 1_000_000, UTC) for row in rows]


async def until(check: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not await check():  # noqa: ASYNC110 - the record is asked
            await asyncio.sleep(0.01)


async def flow_id(runtime: Runtime) -> str:
    ((found,),) = await runtime.session.database.read("SELECT id FROM flow WHERE archived = 0")
    return str(found)


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()  # it is noon


async def test_registering_makes_the_next_runs(database_url: str, clock: HeldClock) -> None:
    async with runtime(database_url, clock, scheduled(CronSchedule("0 * * * *"))) as opened:
        assert await due(opened) == [clock.began + n * HOUR for n in range(1, 11)]
        rows = await opened.session.database.read("SELECT DISTINCT auto_scheduled, is_schedule_active FROM flow_run, flow")
        assert rows == [(1, 1)]
        await opened.register(scheduled(CronSchedule("0 * * * *")))  # the same flow
        assert len(await due(opened)) == 10


async def test_runs_are_made_as_time_goes_by_and_each_event_once(database_url: str, clock: HeldClock) -> None:
    async with runtime(database_url, clock, scheduled(CronSchedule("0 * * * *"))) as opened, scheduling(opened):
        for n in range(1, 4):
            clock.advance(3600)
            last = clock.began + (10 + n) * HOUR

            async def is_made(last: datetime = last) -> bool:
                return (await due(opened))[-1] == last

            await until(is_made)
        assert await due(opened) == [clock.began + n * HOUR for n in range(1, 14)]


async def test_two_schedulers_make_no_run_twice(database_url: str, clock: HeldClock) -> None:
    async with runtime(database_url, clock, scheduled(MINUTELY)) as opened:
        client, known = opened.session.client, await flow_id(opened)
        clock.advance(300)
        await asyncio.gather(*(client.schedules.plan(known) for _ in range(5)))
        found = await due(opened)
        assert found == [clock.began + timedelta(minutes=n) for n in range(1, 16)]


async def test_off_forgets_what_was_made_and_on_makes_it_again(database_url: str, clock: HeldClock) -> None:
    async with runtime(database_url, clock, scheduled(MINUTELY)) as opened:
        flows, known = opened.session.client.flows, await flow_id(opened)
        made = await due(opened)
        asked = await opened.session.client.create_flow_run(flow_id=known)
        await flows.set_schedule_active(known, is_active=False)
        assert await opened.session.database.read("SELECT id FROM flow_run") == [(asked,)]
        assert await opened.session.client.schedules.plan(known) is None
        assert await flows.set_schedule_active(known, is_active=True)
        assert (await due(opened))[1:] == made


async def test_a_new_version_takes_over_and_inherits_a_pause(database_url: str, clock: HeldClock) -> None:
    async with runtime(database_url, clock, scheduled(MINUTELY)) as opened:
        await opened.register(scheduled(CronSchedule("30 * * * *")))
        assert {moment.minute for moment in await due(opened)} == {30}
        await opened.session.client.flows.set_schedule_active(await flow_id(opened), is_active=False)
        await opened.register(scheduled(MINUTELY))
        assert await due(opened) == []
        rows = await opened.session.database.read("SELECT version, is_schedule_active FROM flow ORDER BY version")
        assert rows == [(1, 0), (2, 0), (3, 0)]


async def test_the_schedule_of_a_group_counts_before_the_flows_own(database_url: str, clock: HeldClock) -> None:
    async with runtime(database_url, clock, scheduled(MINUTELY)) as opened, scheduling(opened):
        flows = opened.session.client.flows
        ((group,),) = await opened.session.database.read("SELECT flow_group_id FROM flow")
        await flows.set_group_schedule(group, CronSchedule("15 9 * * *").serialize())
        assert {(moment.hour, moment.minute) for moment in await due(opened)} == {(9, 15)}
        await flows.set_group_schedule(group, None)
        assert (await due(opened))[0] == clock.began + timedelta(minutes=1)


async def test_clocks_at_the_same_time_make_a_run_each(database_url: str, clock: HeldClock) -> None:
    clocks = [CronClock("0 * * * *", parameter_defaults={"x": n}, labels=[f"l{n}"]) for n in (12, 21)]
    async with runtime(database_url, clock, scheduled(Schedule(clocks))) as opened:
        rows = await opened.session.database.read(
            "SELECT parameters, labels FROM flow_run WHERE scheduled_start_time ="
            " (SELECT min(scheduled_start_time) FROM flow_run) ORDER BY parameters"
        )
        assert rows == [('{"x":12}', '["l12"]'), ('{"x":21}', '["l21"]')]


async def test_the_horizon_and_at_least_the_next_run(database_url: str, clock: HeldClock) -> None:
    async with runtime(database_url, clock, scheduled(CronSchedule("0 0 1 1 *"))) as opened:
        assert await due(opened) == [datetime(2025, 1, 1, tzinfo=UTC)]


async def test_jitter_is_the_same_for_the_same_event(database_url: str, clock: HeldClock) -> None:
    schedule = IntervalSchedule(interval=HOUR, jitter=timedelta(minutes=10))
    async with runtime(database_url, clock, scheduled(schedule)) as opened:
        sql = "SELECT state_start_time - scheduled_start_time FROM flow_run ORDER BY scheduled_start_time"
        late = [row[0] / 1_000_000 for row in await opened.session.database.read(sql)]
        assert all(0 <= seconds < 600 for seconds in late)
        assert len(set(late)) == 10
        await opened.session.client.flows.set_schedule_active(await flow_id(opened), is_active=False)
        await opened.session.client.flows.set_schedule_active(await flow_id(opened), is_active=True)
        assert [row[0] / 1_000_000 for row in await opened.session.database.read(sql)] == late


@pytest.mark.parametrize(
    ("policy", "begun"),
    [
        ({}, []),
        ({"missed": "latest"}, [25]),
        ({"missed": "all"}, list(range(1, 26))),
        ({"missed": "all", "missed_window": timedelta(hours=3)}, [23, 24, 25]),
        ({"missed": "latest", "missed_window": timedelta(minutes=20)}, []),
    ],
)
async def test_missed_runs(policy: dict[str, Any], begun: list[int], database_url: str, clock: HeldClock) -> None:
    if database_url.endswith(":memory:"):
        pytest.skip("nothing outlasts it")
    flow = scheduled(IntervalSchedule(interval=HOUR, **policy))
    async with runtime(database_url, clock, flow) as opened:
        assert len(await due(opened)) == 10
    clock.advance(25 * 3600 + 1800)  # nobody was there
    async with runtime(database_url, clock, agent=True) as opened:
        expected = [clock.began + n * HOUR for n in begun]

        async def are_begun() -> bool:
            return [moment for moment in await due(opened, "Cancelled") if moment in expected] == [] and await all_made()

        async def all_made() -> bool:
            waiting = [moment for moment in await due(opened) if moment > clock.now()]
            return len(waiting) == 10 and len(expected) == len(
                await opened.session.database.read(
                    "SELECT 1 FROM flow_run WHERE scheduled_start_time < $1 AND state <> 'Cancelled'",
                    (int(clock.now().timestamp() * 1_000_000),),
                )
            )

        await until(are_begun)


async def test_a_required_parameter_needs_a_value_from_every_clock(database_url: str, clock: HeldClock) -> None:
    def needing(clocks: list[Any]) -> Flow:
        with Flow("needs", schedule=Schedule(clocks)) as flow:
            nothing(Parameter("x"))
        return flow

    async with runtime(database_url, clock) as opened:
        await opened.register(needing([IntervalClock(HOUR)]))
        assert await due(opened) == []
        with pytest.raises(BadRequest, match=r"Can not schedule a flow that has required parameters\."):
            await opened.session.client.flows.set_schedule_active(await flow_id(opened), is_active=True)
        await opened.register(needing([IntervalClock(HOUR, parameter_defaults={"x": 2})]))
        assert len(await due(opened)) == 10


async def test_backfill_makes_only_what_is_missing(database_url: str, clock: HeldClock) -> None:
    async with runtime(database_url, clock, scheduled(IntervalSchedule(interval=HOUR))) as opened:
        schedules, known = opened.session.client.schedules, await flow_id(opened)
        start, end = clock.began - 3 * HOUR, clock.began + 2 * HOUR
        assert len(await schedules.backfill(known, start, end)) == 4  # two are made already
        assert await schedules.backfill(known, start, end) == []
        with pytest.raises(BadRequest, match="more than 1,000 runs: backfill shorter ranges"):
            await schedules.backfill(known, start - timedelta(days=99), end)
        await opened.session.client.flows.set_schedule_active(known, is_active=False)
        assert await due(opened) == [start + n * HOUR for n in range(4)]  # those were asked for


async def test_a_flow_without_a_schedule(database_url: str, clock: HeldClock) -> None:
    async with runtime(database_url, clock, scheduled(None)) as opened:
        assert not await opened.session.client.flows.set_schedule_active(await flow_id(opened), is_active=True)
        with pytest.raises(BadRequest, match="has no schedule"):
            await opened.session.client.schedules.backfill(await flow_id(opened), clock.began, clock.began + HOUR)


async def test_scheduled_runs_are_executed_when_they_are_due(database_url: str, clock: HeldClock) -> None:
    async with runtime(database_url, clock, scheduled(MINUTELY), agent=True) as opened:
        for n in (1, 2, 3):
            await clock.sleeper()
            clock.advance(60)

            async def has_run(n: int = n) -> bool:
                return len(await due(opened, "Success")) == n

            await until(has_run)


async def test_what_another_server_is_late_with_is_not_missed(postgres_url: str, clock: HeldClock) -> None:
    flow = scheduled(IntervalSchedule(interval=HOUR))
    async with runtime(postgres_url, clock, flow) as opened:
        assert len(await due(opened)) == 10
    clock.advance(3 * 3600 + 60)
    async with open_session(Settings(database_url=postgres_url)), runtime(postgres_url, clock, flow, agent=True) as opened:

        async def all_ran() -> bool:
            return len(await due(opened, "Success")) == 3

        await until(all_ran)
        assert await due(opened, "Cancelled") == []


async def test_off_keeps_what_has_begun(database_url: str, clock: HeldClock) -> None:
    async with runtime(database_url, clock, scheduled(MINUTELY), agent=True) as opened:
        client, known = opened.session.client, await flow_id(opened)

        async def is_over() -> bool:
            return len(await due(opened, "Success")) == 1

        await clock.sleeper()
        clock.advance(60)
        await until(is_over)
        ((begun,),) = await opened.session.database.read("SELECT id FROM flow_run WHERE state = 'Success'")
        await opened.stop_services()
        await client.set_flow_run_state(begun, Scheduled("once more", start_time=clock.now() + HOUR))
        await client.flows.set_schedule_active(known, is_active=False)
        assert await opened.session.database.read("SELECT id, state FROM flow_run") == [(begun, "Scheduled")]


@pytest.mark.parametrize("kind", ["sqlite file", "postgres"])
async def test_a_schedule_goes_on_when_the_process_that_was_told_of_it_is_gone(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, clock: HeldClock
) -> None:
    postgres = kind == "postgres"
    url = str(request.getfixturevalue("postgres_url")) if postgres else f"sqlite:///{tmp_path / 'shared.sqlite'}"
    flow = scheduled(MINUTELY)
    async with runtime(url, clock) as opened, scheduling(opened):
        async with open_session(load_settings(database_url=url), clock) as other:  # as another process has it
            await register_in(other, flow, "p", source_of(flow, flow.made_in))
        await clock.sleeper()  # it knows of the flow
        for n in range(1, 4):
            clock.advance(60)

            async def is_made(last: datetime = clock.began + timedelta(minutes=10 + n)) -> bool:
                return (await due(opened))[-1] == last

            await until(is_made)
