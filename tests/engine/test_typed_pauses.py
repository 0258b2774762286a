"""Tasks that ask a person for something: what is checked, what they get, and what happens when nobody comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated, Any

import msgspec
import pytest
import pytest_asyncio

from prefectlite import Flow, Runtime, pause_task
from prefectlite.errors import BadRequest, FlowError
from prefectlite.session import Session
from prefectlite.settings import Settings
from prefectlite.states import State
from tests.conftest import HeldClock
from tests.engine.conftest import Made, Seen

pytestmark = pytest.mark.asyncio


class Approval(msgspec.Struct):
    approved: bool
    count: Annotated[int, msgspec.Meta(ge=1)] = 1
    note: str | None = None


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest_asyncio.fixture
async def runtime(database_url: str, clock: HeldClock) -> AsyncIterator[Runtime]:
    async with Runtime(settings=Settings(database_url=database_url), clock=clock) as opened:
        yield opened


async def paused_task(session: Session, run: asyncio.Future[Any] | None = None, times: int = 1) -> str:
    """The id of the task run that is paused, for the so-manieth time."""
    async with asyncio.timeout(20):
        while True:
            sql = "SELECT task_run_id FROM task_run_state WHERE state = 'Paused'"
            found = await session.database.read(sql)
            if len(found) >= times:
                return str(found[-1][0])
            assert run is None or not run.done(), run
            await asyncio.sleep(0.01)


async def test_the_task_gets_what_was_given(runtime: Runtime, made: Made) -> None:
    with Flow("asks") as flow:
        asked = made(lambda: pause_task("deploy?", input=Approval))()
    run = asyncio.ensure_future(flow.run())
    session, pauses = runtime.session, runtime.session.client.pauses
    task_run = await paused_task(session, run)
    for given, words in (
        (None, "input: object is expected, not None"),
        ({}, "input.approved: it is missing"),
        ({"approved": "yes"}, "input.approved: boolean is expected, not 'yes'"),
        ({"approved": True, "count": 0}, "input.count: 0 is not within its bounds: minimum 1"),
        ({"approved": True, "note": 3}, "input.note: string is expected, not 3"),
        ({"approved": True, "note": "x" * 100_000}, "input: it is larger than 65,536 bytes"),
    ):
        with pytest.raises(BadRequest) as caught:
            await pauses.resume_task_run(task_run, "go", "ann", given)
        assert str(caught.value) == words
    assert await session.database.read("SELECT state FROM task_run") == [("Paused",)]
    await pauses.resume_task_run(task_run, "go", "ann", {"approved": True, "count": 3})
    done = await asyncio.wait_for(run, 20)
    assert done[asked] == Approval(approved=True, count=3)
    history = await session.database.read("SELECT state, message FROM task_run_state ORDER BY seq")
    assert [state for state, _ in history] == ["Running", "Paused", "Resume", "Running", "Success"]
    assert history[2][1] == "Resumed by ann: go"
    with pytest.raises(BadRequest, match="is not paused: it is Success"):
        await pauses.resume_task_run(task_run)


async def test_several_questions(runtime: Runtime, made: Made) -> None:
    """Each has its own answer, though the task runs anew; after a failure nobody is asked again."""
    calls: list[Any] = []

    def asks() -> Any:
        number = pause_task("first", input=int)
        calls.append(number)
        names = pause_task("second", input=list[str])
        if len(calls) < 3:
            raise ValueError("once")
        return number, names

    with Flow("asks twice") as flow:
        asked = made(asks, max_retries=1, retry_delay=timedelta(0))()
    run = asyncio.ensure_future(flow.run())
    pauses = runtime.session.client.pauses
    await pauses.resume_task_run(await paused_task(runtime.session, run), given=7)
    task_run = await paused_task(runtime.session, run, 2)
    with pytest.raises(BadRequest, match=r"input\[1\]: string is expected, not 1"):
        await pauses.resume_task_run(task_run, given=["a", 1])
    await pauses.resume_task_run(task_run, given=["a"])
    done = await asyncio.wait_for(run, 20)
    assert done[asked] == (7, ["a"])
    assert calls == [7, 7, 7]


async def test_what_a_schema_cannot_say_is_asked_for_again(runtime: Runtime, made: Made) -> None:
    with Flow("picky") as flow:
        asked = made(lambda: pause_task("code", input=Annotated[str, msgspec.Meta(pattern="^a+$")]))()
    run = asyncio.ensure_future(flow.run())
    pauses = runtime.session.client.pauses
    await pauses.resume_task_run(await paused_task(runtime.session, run), given="bbb")
    task_run = await paused_task(runtime.session, run, 2)
    [(message,)] = await runtime.session.database.read("SELECT state_message FROM task_run")
    assert message.startswith("code What was given last is not as asked for: Expected `str` matching regex")
    await pauses.resume_task_run(task_run, given="aaa")
    assert (await asyncio.wait_for(run, 20))[asked] == "aaa"


async def test_nothing_was_asked_for(runtime: Runtime, made: Made) -> None:
    with Flow("plain") as flow:
        made(lambda: pause_task("look"))()
    run = asyncio.ensure_future(flow.run())
    task_run = await paused_task(runtime.session, run)
    with pytest.raises(BadRequest, match="did not ask for any"):
        await runtime.session.client.pauses.resume_task_run(task_run, given=1)
    await runtime.session.client.pauses.resume_task_run(task_run)
    assert (await asyncio.wait_for(run, 20)).is_successful()


@pytest.mark.parametrize(
    ("then", "state"), [(None, "Failed"), ("fail", "Failed"), ("cancel", "Cancelled"), ("resume", "Success")]
)
async def test_nobody_comes(
    runtime: Runtime, clock: HeldClock, made: Made, seen: Seen, then: str | None, state: str
) -> None:
    with Flow("waits") as flow:
        asked = made(
            lambda: pause_task("anybody?", expires=timedelta(hours=1), then=then),
            state_handlers=[seen],
            max_retries=3,
            retry_delay=timedelta(0),
        )()
    run = asyncio.ensure_future(flow.run())
    await paused_task(runtime.session, run)
    clock.advance(3590)
    await asyncio.sleep(0.05)
    assert not run.done()
    async with asyncio.timeout(20):
        while not run.done():
            clock.advance(10)
            await asyncio.sleep(0.01)
    ended: State = (await run).result[asked]
    assert ended.name == state
    if state != "Success":
        assert str(ended.message).startswith("Nobody resumed it until 2024-03-01T13:00")
        assert seen == ["Pending>Running", "Running>Paused", f"Paused>{state}"]


async def test_what_cannot_be_asked_for(runtime: Runtime, made: Made) -> None:
    with Flow("wrong") as flow:
        a = made(lambda: pause_task(input=object()), name="a")()  # type: ignore[call-overload]
        b = made(lambda: pause_task(duration=timedelta(1), input=int), name="b")()  # type: ignore[call-overload]
        c = made(lambda: pause_task(then="fail"), name="c")()
    done = await flow.run()
    assert isinstance(done.result[a].result, FlowError)
    assert "takes no input" in str(done.result[b].result)
    assert "say with expires when" in str(done.result[c].result)
