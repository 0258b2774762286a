"""Cancelling, restarting and deleting by condition: what is done, what is refused, and what a second call does."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from prefectlite import Flow, Parameter, Runtime, task
from prefectlite.client.many_runs import MOST_REASONS, Changes
from prefectlite.errors import BadRequest
from prefectlite.states import Failed, Running, Success

pytestmark = pytest.mark.asyncio
broken: set[int] = set()
holding: list[asyncio.Event] = []


@task
async def work(number: int) -> int:
    if number in broken:
        raise ValueError(number)
    if number < 0:
        await holding[0].wait()
    return number


@task
async def after(number: int) -> int:
    return number


with Flow("many") as flow:
    after(work(Parameter("number", default=1)))


@pytest.fixture(autouse=True)
def fresh() -> None:
    broken.clear()
    holding[:] = [asyncio.Event()]


@pytest_asyncio.fixture
async def idle(database_url: str) -> AsyncIterator[Runtime]:
    """A runtime that begins no runs."""
    async with Runtime([flow], database_url=database_url, agent=False) as opened:
        yield opened


@pytest_asyncio.fixture
async def busy(database_url: str) -> AsyncIterator[Runtime]:
    async with Runtime([flow], database_url=database_url) as opened:
        yield opened


async def made(runtime: Runtime, count: int, **more: Any) -> list[str]:
    ((flow_id,),) = await runtime.session.database.read("SELECT id FROM flow")
    return [await runtime.session.client.create_flow_run(flow_id=flow_id, **more) for _ in range(count)]


async def states(runtime: Runtime, table: str = "flow_run") -> Counter[str]:
    return Counter(row[0] for row in await runtime.session.database.read(f"SELECT state FROM {table}"))


async def until(runtime: Runtime, **expected: int) -> None:
    async with asyncio.timeout(20):
        while await states(runtime) != expected:  # noqa: ASYNC110 - the record is asked
            await asyncio.sleep(0.01)


MANY: Any = {"flow": {"name": {"_eq": "many"}}}


async def test_cancel(idle: Runtime) -> None:
    many = idle.session.client.many
    ids = await made(idle, 5)
    await idle.session.client.set_flow_run_state(ids[0], Success("By hand"))
    assert await many.cancel(MANY, dry_run=True) == Changes(matched=4)
    assert await states(idle) == {"Scheduled": 4, "Success": 1}
    assert await many.cancel({"id": {"_in": ids[:2]}}) == Changes(matched=1, changed=1)
    assert await many.cancel(MANY, limit=2) == Changes(matched=3, changed=2, more=True)
    assert await many.cancel(MANY) == Changes(matched=1, changed=1)
    assert await many.cancel(MANY) == Changes(matched=0)
    assert await states(idle) == {"Cancelled": 4, "Success": 1}


async def test_cancelling_what_is_executed(busy: Runtime) -> None:
    await made(busy, 3, parameters={"number": -1})
    await until(busy, Running=3)
    assert await busy.session.client.many.cancel(MANY) == Changes(matched=3, changed=3)
    await until(busy, Cancelled=3)
    assert set(await states(busy, "task_run")) <= {"Cancelled", "Success"}


async def test_a_condition_has_to_say_something(idle: Runtime) -> None:
    many = idle.session.client.many
    await made(idle, 1)
    for where in ({}, {"id": {"_eq": None}}, {"_and": []}):
        with pytest.raises(BadRequest, match="true of every flow run"):
            await many.delete(where)
    for limit in (0, -1, 1_001):
        with pytest.raises(BadRequest, match=rf"limit: {limit} is not between 1 and 1,000"):
            await many.cancel(MANY, limit=limit)
    with pytest.raises(BadRequest, match=r"where\.nonsense"):
        await many.cancel({"nonsense": {"_eq": 1}})
    assert await many.cancel({"id": {"_is_null": False}}) == Changes(matched=1, changed=1)


async def test_restart(busy: Runtime) -> None:
    broken.add(7)
    await made(busy, 3, parameters={"number": 7})
    await made(busy, 1)
    await until(busy, Failed=3, Success=1)
    broken.clear()
    many, holder = busy.session.client.many, busy.session.owner.id
    assert await many.restart(MANY, holder, dry_run=True) == Changes(matched=3)
    assert await many.restart(MANY, holder) == Changes(matched=3, changed=3)
    await until(busy, Success=4)
    assert await many.restart(MANY, holder) == Changes(matched=0)


async def test_what_has_nothing_to_run_again_is_refused(idle: Runtime) -> None:
    client = idle.session.client
    ids = await made(idle, MOST_REASONS + 2)
    for run_id in ids:
        await client.set_flow_run_state(run_id, Failed("By hand"))
    changes = await client.many.restart(MANY, idle.session.owner.id)
    assert (changes.matched, changes.changed, changes.refused) == (len(ids), 0, len(ids))
    assert len(changes.refusals) == MOST_REASONS
    assert "All tasks of flow run" in changes.refusals[0].reason
    assert await states(idle) == {"Failed": len(ids)}


async def test_delete(idle: Runtime) -> None:
    client = idle.session.client
    ids = await made(idle, 45)
    await client.set_flow_run_state(ids[3], Running("Elsewhere"))
    changes = await client.many.delete(MANY)
    assert (changes.matched, changes.changed, changes.refused) == (45, 44, 1)
    assert changes.refusals[0].flow_run_id == ids[3]
    assert "is executed (it is Running): cancel it first" in changes.refusals[0].reason
    assert await states(idle) == {"Running": 1}
    assert await idle.session.database.read("SELECT DISTINCT flow_run_id FROM flow_run_state") == [(ids[3],)]
    await client.set_flow_run_state(ids[3], Failed("By hand"))
    assert await client.many.delete(MANY) == Changes(matched=1, changed=1)


async def test_a_call_that_is_cancelled_ends_between_two_changes(idle: Runtime) -> None:
    await made(idle, 60)
    call = asyncio.ensure_future(idle.session.client.many.delete(MANY))
    while not call.done() and (await states(idle)).total() == 60:  # noqa: ASYNC110 - the record is asked
        await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait([call])
    left = (await states(idle)).total()
    assert left in (40, 20, 0)  # DELETED_AT_ONCE by DELETED_AT_ONCE
    if not call.cancelled():
        assert left == 0
    assert await idle.session.client.many.delete(MANY) == Changes(matched=left, changed=left)


async def test_a_run_that_ends_meanwhile(busy: Runtime) -> None:
    """It is refused or cancelled; in the end every run has ended."""
    await made(busy, 30, parameters={"number": -1})
    await until(busy, Running=30)
    asyncio.get_running_loop().call_later(0.01, holding[0].set)
    changes = await busy.session.client.many.cancel(MANY)
    assert changes.changed + changes.refused == changes.matched
    async with asyncio.timeout(20):
        while set(await states(busy)) - {"Success", "Cancelled"}:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
