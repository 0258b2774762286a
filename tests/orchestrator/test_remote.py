"""The engine behind remote ports: the same runs end the same way, whatever happens to messages on the way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from prefectlite import Flow, task
from prefectlite.api.endpoint import MAX_BODY
from prefectlite.engine.requests import RunOptions
from prefectlite.errors import BadRequest, ServerUnreachable
from prefectlite.live.bus import Bus
from prefectlite.orchestrator.calls import Call
from prefectlite.orchestrator.persistence import RETRY_DELAYS
from prefectlite.orchestrator.remote import RemoteOrchestrator, RemoteReader, RemoteRunLog
from prefectlite.records import FlowRow, FlowRunRow
from prefectlite.session import Session, open_session
from prefectlite.settings import Settings
from prefectlite.site import Site
from tests.properties.building import Built, own_api, told_evaluation
from tests.properties.profiles import examples
from tests.properties.reference import Evaluation
from tests.properties.sketches import Sketch
from tests.properties.strategies import sketches

#: More calls than these are not lost one after another: who claims a run gives up after some seconds.
IN_A_ROW = len(RETRY_DELAYS) - 1


class Wire:
    """Carries calls to a session's answers, as JSON; it loses questions and answers as the dice say."""

    def __init__(self, session: Session, losses: float, seed: int) -> None:
        self._session, self._losses, self._dice = session, losses, random.Random(seed)
        self.lost = self.largest = self._in_a_row = 0

    async def ask(self, call: Call[Any, Any], question: Any) -> Any:
        self._lose()
        written = msgspec.json.encode(question)
        self.largest = max(self.largest, len(written))
        sent = msgspec.json.decode(written)
        answers = self._session.answers
        known = answers.call_named(call.name)
        answer = await answers.answer(known, msgspec.convert(sent, known.question))
        received = msgspec.json.decode(msgspec.json.encode(answer))
        self._lose()
        self._in_a_row = 0
        return msgspec.convert(received, call.answer)

    def _lose(self) -> None:
        if self._dice.random() < self._losses and self._in_a_row < IN_A_ROW:
            self.lost += 1
            self._in_a_row += 1
            raise ServerUnreachable("the wire was cut")


class FarSite(Site):
    """A site that has nothing but a wire."""

    def __init__(self, session: Session, wire: Wire) -> None:
        self._session = session
        ports = RemoteOrchestrator(wire.ask), RemoteRunLog(wire.ask), RemoteReader(wire.ask)
        super().__init__(session.settings, session.clock, Bus(), "far away", ports, None)

    async def scheduled_runs(self, labels: Collection[str]) -> list[tuple[str, int]]:
        return await self._session.scheduled_runs(labels)

    async def flow_run(self, run_id: str) -> FlowRunRow:
        return await self._session.flow_run(run_id)

    async def flow(self, flow_id: str) -> FlowRow:
        return await self._session.flow(flow_id)


@asynccontextmanager
async def far(losses: float = 0.0, seed: int = 0) -> AsyncIterator[tuple[Session, FarSite, Wire]]:
    async with open_session(Settings(database_url="sqlite://:memory:")) as session:
        wire = Wire(session, losses, seed)
        site = FarSite(session, wire)
        async with site.at_work():
            yield session, site, wire


async def executed(session: Session, site: FarSite, flow: Flow, options: RunOptions | None = None, **parameters: Any) -> Any:
    """The final state of a run of `flow` at the far site."""
    run, row = await session.create(flow, parameters)
    kept = await session.flow_run(run.id)
    return await site.execute(flow, row, kept, options=options, takeover_from=kept.owner)


@given(sketches(5), st.sampled_from([0.0, 0.3]), st.integers(0, 1000))
@examples(40)
def test_runs_end_as_they_would_near_the_record(sketch: Sketch, losses: float, seed: int) -> None:
    evaluation = Evaluation(sketch)
    assume(evaluation.strange is None)
    expected = told_evaluation(evaluation)

    async def play() -> None:
        async with far(losses, seed) as (session, site, wire):
            built = Built(sketch, own_api())
            run, row = await session.create(built.flow, {}, context={"resume": sketch.resume})
            options = RunOptions(task_states=built.arguments()["task_states"], executor=built.flow.executor)
            final = await site.execute(built.flow, row, run, options=options, takeover_from=run.owner)
            outcome = built.outcome(final)
            assert outcome["tasks"] == expected["tasks"]
            assert outcome["flow"] == expected["flow"]
            ((state, epoch),) = await session.database.read(
                "SELECT state, lease_epoch FROM flow_run WHERE id = $1", (run.id,)
            )
            assert (state, epoch) == (type(final).__name__, 1)
            assert losses or not wire.lost

    asyncio.run(play())


@pytest.mark.asyncio
async def test_results_and_lines_travel() -> None:
    @task
    def some() -> bytes:
        return bytes(range(256))

    @task(log_stdout=True)
    def more(before: bytes) -> object:
        print("so many:", len(before))
        return {"again": before, "float": float("nan")}

    with Flow("travels") as flow:
        last = more(some())
    async with far(0.2, 3) as (session, site, wire):
        final = await executed(session, site, flow)
        assert final.result[last].result["again"] == bytes(range(256))
        assert wire.lost
        ((count,),) = await session.database.read("SELECT count(*) FROM result WHERE data IS NOT NULL")
        assert count == 2
        assert await session.database.read("SELECT message FROM log ORDER BY seq") == [("so many: 256",)]


@pytest.mark.asyncio
async def test_no_message_is_larger_than_a_server_takes() -> None:
    @task
    def large(number: int) -> bytes:
        return bytes([number]) * 500_000

    with Flow("heavy") as flow:
        large.map(list(range(40)))
    async with far() as (session, site, wire):
        assert (await executed(session, site, flow)).is_successful()
        assert 4_000_000 < wire.largest < MAX_BODY
        ((count,),) = await session.database.read("SELECT count(*) FROM result WHERE length(data) > 500000")
        assert count == 40


@pytest.mark.asyncio
async def test_who_has_lost_the_run_is_refused() -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    @task
    async def hold() -> None:
        begun.set()
        await go.wait()

    with Flow("taken over") as flow:
        hold()
    async with far() as (session, site, _):
        run, row = await session.create(flow, {})
        running = asyncio.create_task(site.execute(flow, row, run, takeover_from=run.owner))
        await begun.wait()
        taken = await session.flow_run(run.id)
        go.set()
        final = await session.execute(flow, row, taken, takeover_from="far away")
        assert final.is_successful()
        await asyncio.wait([running])
        assert "another process executes" in str(running.exception())


@pytest.mark.asyncio
async def test_calls_that_nobody_knows() -> None:
    async with far() as (session, _, wire):
        with pytest.raises(BadRequest, match="There is no call 'fly' here"):
            await wire.ask(Call("fly", str, str), "")
        assert session.answers.call_named("propose").name == "propose"
