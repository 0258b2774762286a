"""A schedule's run that is due while another of its flow is under way: begun, left out, kept waiting, or in its place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prefectlite import Flow, Parameter, Runtime, context, task
from prefectlite.ids import new_id
from prefectlite.records import record_state
from prefectlite.rules.proposals import Accept, FlowRunProposal, Verdict
from prefectlite.schedules import IntervalSchedule, Schedule
from prefectlite.schedules.clocks import IntervalClock
from prefectlite.settings import load_settings
from prefectlite.state import State
from prefectlite.states import Running, Scheduled, Success
from tests.conftest import HeldClock

pytestmark = pytest.mark.asyncio
MINUTE = timedelta(minutes=1)


class Work:
    """Runs that go on until they are let go, and how often each was begun."""

    def __init__(self, schedule: Schedule | None = None, **policies: Any) -> None:
        self.begun: list[str] = []
        self._ends: dict[str, asyncio.Future[None]] = {}
        self.flow = self._flow(schedule or IntervalSchedule(interval=MINUTE, **policies))

    def _flow(self, schedule: Schedule) -> Flow:
        @task
        async def work(x: int) -> None:
            run_id = context.flow_run_id
            self.begun.append(run_id)
            self._ends[run_id] = asyncio.get_running_loop().create_future()
            await self._ends[run_id]

        with Flow("work", schedule=schedule) as flow:
            work(Parameter("x", default=1))
        return flow

    async def has_begun(self, count: int) -> str:
        """The run that begins as the `count`th."""

        async def enough() -> bool:
            return len(self.begun) >= count

        await until(enough)
        return self.begun[count - 1]

    def end(self, run_id: str, error: Exception | None = None) -> None:
        """Let a run end."""
        if error is None:
            self._ends[run_id].set_result(None)
        else:
            self._ends[run_id].set_exception(error)

    def end_all(self) -> None:
        """Let all runs end that go on."""
        for end in self._ends.values():
            if not end.done():
                end.set_result(None)


async def until(check: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not await check():  # noqa: ASYNC110 - the record is asked
            await asyncio.sleep(0.01)


@asynccontextmanager
async def runtime(url: str, clock: HeldClock, *works: Work) -> AsyncIterator[Runtime]:
    async with Runtime([work.flow for work in works], database_url=url, clock=clock) as opened:
        yield opened


async def minute(runtime: Runtime, clock: HeldClock, count: int = 1) -> None:
    """Let minutes pass, and the agent notice each."""
    for _ in range(count):
        async with asyncio.timeout(20):
            await clock.sleeper()
        clock.advance(60)
        await settled(runtime)


async def settled(runtime: Runtime) -> None:
    """Return when everything that is due has been looked at: none of the schedule's runs is just Scheduled."""

    async def is_settled() -> bool:
        now = int(runtime.session.clock.now().timestamp() * 1_000_000)
        sql = "SELECT 1 FROM flow_run WHERE state = 'Scheduled' AND state_start_time <= $1"
        return not await runtime.session.database.read(sql, (now,))

    await until(is_settled)


async def states(runtime: Runtime) -> list[tuple[int, str]]:
    """(minute after noon, state) of the runs that were due."""
    rows = await runtime.session.database.read(
        "SELECT scheduled_start_time, state FROM flow_run WHERE state <> 'Scheduled' ORDER BY scheduled_start_time, id"
    )
    return [(datetime.fromtimestamp(due / 1_000_000, UTC).minute, state) for due, state in rows]


async def message(runtime: Runtime, state: str) -> str:
    rows = await runtime.session.database.read("SELECT state_message FROM flow_run WHERE state = $1", (state,))
    return str(rows[0][0])


async def becomes(runtime: Runtime, *expected: tuple[int, str]) -> None:
    async def is_so() -> bool:
        return await states(runtime) == list(expected)

    try:
        await until(is_so)
    except TimeoutError:
        assert await states(runtime) == list(expected)


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()  # it is noon


async def test_allow(database_url: str, clock: HeldClock) -> None:
    work = Work()
    async with runtime(database_url, clock, work) as opened:
        await minute(opened, clock, 2)
        await work.has_begun(2)
        await becomes(opened, (1, "Running"), (2, "Running"))
        for run in work.begun:
            work.end(run)
        await becomes(opened, (1, "Success"), (2, "Success"))


async def test_skip(database_url: str, clock: HeldClock) -> None:
    work = Work(overlap="skip")
    async with runtime(database_url, clock, work) as opened:
        await minute(opened, clock)
        first = await work.has_begun(1)
        await minute(opened, clock, 2)
        await becomes(opened, (1, "Running"), (2, "Cancelled"), (3, "Cancelled"))
        told = await message(opened, "Cancelled")
        assert told.startswith("Skipped: flow run '")
        assert told.endswith(f"({first}) was under way when this run was due.")
        work.end(first)
        await becomes(opened, (1, "Success"), (2, "Cancelled"), (3, "Cancelled"))
        await minute(opened, clock)
        await work.has_begun(2)
        await becomes(opened, (1, "Success"), (2, "Cancelled"), (3, "Cancelled"), (4, "Running"))
        work.end(work.begun[1])


async def test_queue(database_url: str, clock: HeldClock) -> None:
    work = Work(overlap="queue")
    async with runtime(database_url, clock, work) as opened:
        await minute(opened, clock)
        await work.has_begun(1)
        await minute(opened, clock, 2)
        await becomes(opened, (1, "Running"), (2, "Queued"), (3, "Queued"))
        assert (await message(opened, "Queued")).endswith(f"({work.begun[0]}) was under way.")
        work.end(work.begun[0], ValueError("it goes wrong"))
        await work.has_begun(2)
        await becomes(opened, (1, "Failed"), (2, "Running"), (3, "Queued"))
        work.end(work.begun[1])
        await work.has_begun(3)
        work.end(work.begun[2])
        await becomes(opened, (1, "Failed"), (2, "Success"), (3, "Success"))
        assert len(set(work.begun)) == 3


async def test_cancel(database_url: str, clock: HeldClock) -> None:
    work = Work(overlap="cancel")
    async with runtime(database_url, clock, work) as opened:
        await minute(opened, clock)
        await work.has_begun(1)
        await minute(opened, clock)
        await work.has_begun(2)
        await becomes(opened, (1, "Cancelled"), (2, "Running"))
        await minute(opened, clock)
        await work.has_begun(3)
        await becomes(opened, (1, "Cancelled"), (2, "Cancelled"), (3, "Running"))
        work.end(work.begun[2])
        await becomes(opened, (1, "Cancelled"), (2, "Cancelled"), (3, "Success"))


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("allow", ["Running", "Running"]),
        ("skip", ["Cancelled", "Running"]),
        ("queue", ["Queued", "Running"]),
        ("cancel", ["Cancelled", "Running"]),
    ],
)
async def test_two_are_due_at_the_same_moment(policy: Any, expected: list[str], database_url: str, clock: HeldClock) -> None:
    clocks = [IntervalClock(timedelta(hours=1), parameter_defaults={"x": n}) for n in (1, 2)]
    work = Work(Schedule(clocks, overlap=policy))
    async with runtime(database_url, clock, work) as opened:
        await minute(opened, clock, 60)

        async def is_so() -> bool:
            return sorted(state for _, state in await states(opened)) == expected

        await until(is_so)

        async def all_ended() -> bool:
            work.end_all()
            return {state for _, state in await states(opened)} <= {"Success", "Cancelled"}

        await until(all_ended)
        assert len(set(work.begun)) == len(work.begun)
        assert (await states(opened)).count((0, "Success")) == (2 if policy in ("allow", "queue") else 1)


@pytest.mark.parametrize("policy", ["queue", "cancel"])
async def test_what_people_ask_for_begins_and_is_waited_for(policy: Any, database_url: str, clock: HeldClock) -> None:
    work = Work(overlap=policy)
    async with runtime(database_url, clock, work) as opened:
        ((flow_id,),) = await opened.session.database.read("SELECT id FROM flow")
        asked = await opened.session.client.create_flow_run(flow_id=flow_id)
        assert await work.has_begun(1) == asked
        await minute(opened, clock)
        again = await opened.session.client.create_flow_run(flow_id=flow_id)
        assert await work.has_begun(2) == again
        work.end(asked)
        work.end(again)
        made = await work.has_begun(3)
        assert made not in (asked, again)
        work.end(made)

        async def all_ended() -> bool:
            return {state for _, state in await states(opened)} == {"Success"}

        await until(all_ended)


async def test_other_versions_count_and_other_flows_do_not(database_url: str, clock: HeldClock) -> None:
    work = Work(overlap="queue")
    async with runtime(database_url, clock, work) as opened:
        await minute(opened, clock)
        await work.has_begun(1)
        other = Work(overlap="queue")
        other.flow.add_task(Parameter("more", default=2))
        await opened.register(other.flow)
        await minute(opened, clock)
        await becomes(opened, (1, "Running"), (2, "Queued"))
        third = Work(overlap="queue")
        third.flow.name = "third"
        await opened.register(third.flow)
        await minute(opened, clock)
        await third.has_begun(1)
        work.end(work.begun[0])
        await other.has_begun(1)
        other.end(other.begun[0])
        await other.has_begun(2)
        other.end(other.begun[1])
        third.end(third.begun[0])


async def test_what_waits_outlasts_the_process(database_url: str, clock: HeldClock) -> None:
    if database_url.endswith(":memory:"):
        pytest.skip("nothing outlasts it")
    work = Work(overlap="queue")
    async with runtime(database_url, clock, work) as opened:
        await minute(opened, clock)
        await work.has_begun(1)
        await minute(opened, clock, 2)
        await becomes(opened, (1, "Running"), (2, "Queued"), (3, "Queued"))
    clock.advance(20)  # longer than a run may be late without being missed
    again = Work(overlap="queue")
    async with runtime(database_url, clock, again) as opened:
        assert await again.has_begun(1) == work.begun[0]  # taken up
        again.end(again.begun[0])
        for n in (2, 3):
            again.end(await again.has_begun(n))
        await becomes(opened, (1, "Success"), (2, "Success"), (3, "Success"))
        assert len(set(again.begun)) == 3


async def test_what_was_waited_for_goes_away(database_url: str, clock: HeldClock) -> None:
    work = Work(overlap="queue")
    async with runtime(database_url, clock, work) as opened:
        client = opened.session.client
        await minute(opened, clock)
        await work.has_begun(1)
        await minute(opened, clock, 3)
        await becomes(opened, (1, "Running"), *((n, "Queued") for n in (2, 3, 4)))
        rows = await opened.session.database.read("SELECT id FROM flow_run WHERE state = 'Queued' ORDER BY id")
        second, third, fourth = (str(row[0]) for row in rows)
        await client.cancel_flow_run(second)
        await client.set_flow_run_state(third, Scheduled("later", start_time=clock.now() + timedelta(seconds=30)))
        await client.cancel_flow_run(work.begun[0])
        assert await work.has_begun(2) == fourth
        await client.flows.delete("flow_run", fourth)  # which its process hears of when it ends
        work.end(fourth)
        await clock.sleeper()
        clock.advance(30)
        assert await work.has_begun(3) == third
        work.end(third)


async def test_archiving_cancels_what_waits(database_url: str, clock: HeldClock) -> None:
    work = Work(overlap="queue")
    async with runtime(database_url, clock, work) as opened:
        await minute(opened, clock)
        await work.has_begun(1)
        await minute(opened, clock)
        await becomes(opened, (1, "Running"), (2, "Queued"))
        ((flow_id,),) = await opened.session.database.read("SELECT id FROM flow")
        await opened.session.client.flows.archive(flow_id)
        await becomes(opened, (1, "Running"), (2, "Cancelled"))
        work.end(work.begun[0])
        await becomes(opened, (1, "Success"), (2, "Cancelled"))


@given(steps=st.lists(st.sampled_from(["minute", "end", "fail", "cancel", "ask"]), max_size=14))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_nothing_is_forgotten_or_begun_twice(steps: list[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    work, clock = Work(overlap="queue"), HeldClock()
    async with runtime("sqlite://:memory:", clock, work) as opened:
        client, database = opened.session.client, opened.session.database
        ((flow_id,),) = await database.read("SELECT id FROM flow")
        ended: set[str] = set()
        for step in steps:
            going = [run for run in work.begun if run not in ended]
            if step == "minute":
                await minute(opened, clock)
            elif step == "ask":
                await client.create_flow_run(flow_id=flow_id)
                await settled(opened)
            elif going:
                ended.add(going[0])
                if step == "cancel":
                    await client.cancel_flow_run(going[0])
                else:
                    work.end(going[0], ValueError() if step == "fail" else None)
            by_schedule = await database.read("SELECT count(*) FROM flow_run WHERE state = 'Running' AND auto_scheduled = 1")
            assert by_schedule[0][0] <= 1

        async def all_ended() -> bool:
            work.end_all()
            return {state for _, state in await states(opened)} <= {"Success", "Failed", "Cancelled"}

        await until(all_ended)
        assert len(set(work.begun)) == len(work.begun)
        assert len(await states(opened)) == steps.count("minute") + steps.count("ask")


async def test_runs_of_agents_elsewhere_take_their_turns(database_url: str, clock: HeldClock) -> None:
    work = Work(overlap="queue")
    settings = load_settings(database_url=database_url, agent=False)
    async with Runtime([work.flow], settings=settings, clock=clock) as opened:
        session = opened.session
        rows = await session.database.read("SELECT id FROM flow_run ORDER BY scheduled_start_time LIMIT 2")
        first, second = (row[0] for row in rows)
        clock.advance(120)

        async def state(run_id: str) -> str:
            return (await session.flow_run(run_id)).state

        async def propose(state: State, **more: Any) -> Verdict:
            record = record_state(state, new_id(), clock.micros())
            return await session.orchestrator.propose(FlowRunProposal(first, record, **more))

        may_begin = session.answers.call_named("may_begin")
        assert not await session.answers.answer(may_begin, second), "the first was due before"
        assert await state(second) == "Queued"
        assert await session.answers.answer(may_begin, first)
        claimed = await propose(Running(), claim="far away")
        assert isinstance(claimed, Accept)
        assert not await session.answers.answer(may_begin, second)
        await propose(Success(), lease=claimed.lease)

        async def is_its_turn() -> bool:
            return await state(second) == "Scheduled"

        await until(is_its_turn)
        assert await session.answers.answer(may_begin, second)


async def test_a_run_that_waits_for_another_agent_is_under_way(database_url: str, clock: HeldClock) -> None:
    work = Work(overlap="skip")
    async with runtime(database_url, clock, work) as opened:
        ((flow_id,),) = await opened.session.database.read("SELECT id FROM flow")
        await opened.session.client.create_flow_run(flow_id=flow_id, labels=["elsewhere"])
        # As it is after the agent that executed it was killed, until another one of this label takes it.
        sql = "UPDATE flow_run SET lease_epoch = 1 WHERE auto_scheduled = 0"
        await opened.session.database.write(lambda tx: tx.execute(sql))
        async with asyncio.timeout(20):
            await clock.sleeper()
        clock.advance(60)
        await becomes(opened, (1, "Cancelled"))
        assert "was under way when this run was due" in await message(opened, "Cancelled")
