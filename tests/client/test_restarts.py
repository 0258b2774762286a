"""What a restart runs again, and what it leaves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from prefectlite import Flow, context, flatten, signals, task, triggers
from prefectlite.errors import BadRequest, NotFound, TransitionRefused
from prefectlite.ids import new_id
from prefectlite.records import FlowRunRow
from prefectlite.session import Session
from prefectlite.states import State

pytestmark = pytest.mark.asyncio
calls: list[Any] = []
broken: set[Any] = set()


@pytest.fixture(autouse=True)
def fresh() -> None:
    calls.clear()
    broken.clear()


@task
async def numbers() -> list[int]:
    calls.append("numbers")
    return [1, 2, 3]


@task
async def double(x: int) -> int:
    calls.append(("double", x))
    if x in broken:
        raise ValueError(x)
    return 2 * x


@task
async def text(x: int) -> str:
    calls.append(("text", x))
    return str(x)


@task
async def together(xs: list[Any]) -> int:
    calls.append("together")
    return len(xs)


@task(trigger=triggers.any_failed)
async def complain(xs: list[Any]) -> None:
    calls.append("complain")


with Flow("map") as MAP:
    _doubled = double.map(numbers())
    REDUCED = together(text.map(_doubled))
    MAP.set_reference_tasks([REDUCED])
    COMPLAINT = complain(_doubled)

with Flow("flat") as FLAT:
    FLAT_END = together(text.map(flatten([double.map(numbers())])))


async def run(session: Session, flow: Flow) -> tuple[str, State]:
    row, of = await session.create(flow, {})
    return row.id, await session.execute(flow, of, row)


async def restarted(session: Session, flow: Flow, run_id: str, *tasks: str) -> State:
    """How the run ends this time; `calls` are those of this time."""
    calls.clear()
    row = await session.client.restart_flow_run(run_id, session.owner.id, tasks)
    return await session.execute(flow, await session.flow(row.flow_id), row)


async def test_children_that_failed_and_what_follows_from_them(session: Session) -> None:
    broken.add(2)
    run_id, state = await run(session, MAP)
    assert state.is_failed()
    assert "complain" in calls
    broken.clear()
    state = await restarted(session, MAP, run_id)
    assert state.is_successful()
    assert sorted(map(str, calls)) == ["('double', 2)", "('text', 4)", "together"]
    assert state.result[REDUCED].result == 3
    assert type(state.result[COMPLAINT]).__name__ == "TriggerFailed"  # nothing failed any more


async def test_from_a_chosen_task_on(session: Session) -> None:
    run_id, _ = await run(session, MAP)
    state = await restarted(session, MAP, run_id, "text")
    assert state.is_successful()
    assert sorted(map(str, calls)) == ["('text', 2)", "('text', 4)", "('text', 6)", "together"]


async def test_children_of_what_is_flattened_begin_anew_together(session: Session) -> None:
    broken.add(2)
    run_id, state = await run(session, FLAT)
    assert state.is_failed()
    broken.clear()
    state = await restarted(session, FLAT, run_id)
    assert state.is_successful()
    assert state.result[FLAT_END].result == 3
    assert ("double", 1) not in calls


async def test_a_cancelled_run_goes_on(session: Session) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    @task
    async def wait(x: int) -> int:
        calls.append(("wait", x))
        begun.set()
        await may_end.wait()
        return x

    with Flow("cancelled") as flow:
        wait(together(numbers()))
    row, of = await session.create(flow, {})
    running = asyncio.create_task(session.execute(flow, of, row))
    await begun.wait()
    assert await session.client.cancel_flow_run(row.id) == "Cancelling"
    assert type(await running).__name__ == "Cancelled"
    calls.clear()
    may_end.set()
    again = await session.client.restart_flow_run(row.id, session.owner.id)
    state = await session.execute(flow, of, again)
    assert state.is_successful()
    assert calls == [("wait", 3)]


async def test_the_history_keeps_both_attempts(session: Session) -> None:
    broken.add(2)
    run_id, _ = await run(session, MAP)
    broken.clear()
    await restarted(session, MAP, run_id)
    rows = await session.database.read("SELECT state FROM flow_run_state WHERE flow_run_id = $1 ORDER BY version", (run_id,))
    assert [state for (state,) in rows] == ["Scheduled", "Running", "Failed", "Scheduled", "Running", "Success"]


async def test_what_cannot_be_restarted(session: Session) -> None:
    run_id, _ = await run(session, FLAT)
    with pytest.raises(BadRequest, match=r"All tasks of flow run .* succeeded"):
        await session.client.restart_flow_run(run_id, session.owner.id)
    with pytest.raises(BadRequest, match=r"has no task 'txt'.*text"):
        await session.client.restart_flow_run(run_id, session.owner.id, ["txt"])
    with pytest.raises(NotFound):
        await session.client.restart_flow_run(new_id(), session.owner.id)
    waiting, _ = await session.create(MAP, {})
    with pytest.raises(BadRequest, match="has not ended"):
        await session.client.restart_flow_run(waiting.id, session.owner.id)


async def test_of_two_restarts_at_once_one_is_refused(session: Session) -> None:
    broken.add(2)
    run_id, _ = await run(session, MAP)
    twice = [session.client.restart_flow_run(run_id, session.owner.id) for _ in range(2)]
    outcomes = await asyncio.gather(*twice, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(FlowRunRow) == 1
    assert sum(isinstance(outcome, TransitionRefused | BadRequest) for outcome in outcomes) == 1


async def test_a_skip_stays_skipped(session: Session) -> None:
    @task
    async def skip(x: int) -> None:
        calls.append("skip")
        raise signals.SKIP

    with Flow("skips") as flow:
        double(numbers.copy(name="n")()[0])
        skip(1)
    broken.add(1)
    run_id, state = await run(session, flow)
    assert state.is_failed()
    broken.clear()
    assert (await restarted(session, flow, run_id)).is_successful()
    assert "skip" not in calls


async def test_the_idempotency_key_of_a_task_is_the_same_when_it_runs_again(session: Session) -> None:
    keys: list[str] = []

    @task(max_retries=1, retry_delay=0.001)
    async def pay() -> None:
        keys.append(context.idempotency_key)
        if len(keys) < 3:
            raise ValueError

    with Flow("pays") as flow:
        pay()
    run_id, state = await run(session, flow)
    assert state.is_failed()
    assert (await restarted(session, flow, run_id)).is_successful()
    assert len(keys) == 3
    assert len(set(keys)) == 1


async def test_each_round_of_a_loop_has_a_key_of_its_own(session: Session) -> None:
    keys: list[str] = []

    @task
    async def turn() -> None:
        keys.append(context.idempotency_key)
        if len(keys) < 3:
            raise signals.LOOP(result=len(keys))

    with Flow("loops") as flow:
        turn()
    await run(session, flow)
    assert len(set(keys)) == 3
