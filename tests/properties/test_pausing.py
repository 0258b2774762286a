"""Runs that are paused and resumed at any moment end as if nobody had: nothing is lost, and nothing runs twice."""

from __future__ import annotations

import asyncio

from hypothesis import assume, given
from hypothesis import strategies as st

from prefectlite.engine.requests import RunOptions
from prefectlite.errors import BadRequest, TransitionRefused
from prefectlite.session import Session, open_session
from prefectlite.settings import Settings
from tests.properties.building import Built, own_api, told_evaluation
from tests.properties.profiles import examples
from tests.properties.reference import Evaluation
from tests.properties.sketches import Sketch
from tests.properties.strategies import sketches
from tests.properties.test_interruption import _at, _replayed, moments


@given(sketches(5), moments, st.lists(st.integers(0, 12), min_size=1, max_size=4))
@examples(50)
def test_a_paused_run_ends_as_if_nothing_had_happened(sketch: Sketch, moment: tuple[int, int], lengths: list[int]) -> None:
    for node in sketch.nodes:  # what was given in Python is not the matter here
        node.given, node.reactions = None, []
    evaluation = Evaluation(sketch)
    assume(all(len(ledger.calls) < 6 for ledger in evaluation.ledgers.values()))
    expected = told_evaluation(evaluation)

    async def play() -> None:
        async with open_session(Settings(database_url="sqlite://:memory:")) as session:
            built = Built(sketch, own_api())
            run, row = await session.create(built.flow, {}, context={"resume": sketch.resume})
            person: list[asyncio.Task[None]] = []
            _at(built, moment, lambda: person.append(asyncio.ensure_future(_interfere(session, run.id, lengths))))
            options = RunOptions(executor=built.flow.executor)
            async with asyncio.timeout(60):
                final = await session.execute(built.flow, row, run, options=options)
                await asyncio.gather(*person)
            outcome = built.outcome(final)
            assert (outcome["tasks"], outcome["flow"]) == (expected["tasks"], expected["flow"])
            for who, calls in built.calls.items():
                assert sorted(calls) == sorted(evaluation.ledgers[who].calls)
            await _replayed(session)
            flow_rows = await session.database.read("SELECT state FROM flow_run WHERE id = $1", (run.id,))
            assert flow_rows == [(type(final).__name__,)]

    asyncio.run(play())


async def _interfere(session: Session, run_id: str, lengths: list[int]) -> None:
    """Pause and resume the run, again and again, until it has ended."""
    for turns in lengths:
        try:
            await session.client.pauses.pause_flow_run(run_id)
        except TransitionRefused:
            return
        for _ in range(turns):
            await asyncio.sleep(0)
        try:
            await session.client.pauses.resume_flow_run(run_id)
        except BadRequest:
            return
