"""Runs that are cancelled, or interrupted and taken up again, at any moment: what the record has, what goes on from it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from prefectlite.engine.host import Host
from prefectlite.engine.requests import RunOptions
from prefectlite.errors import RunInterrupted
from prefectlite.repository import runs
from prefectlite.session import Session, open_session
from prefectlite.settings import Settings
from prefectlite.states import FINISHED, State
from tests.properties.building import Built, own_api, told_evaluation
from tests.properties.profiles import examples
from tests.properties.reference import Evaluation
from tests.properties.sketches import Sketch
from tests.properties.strategies import sketches

moments = st.tuples(
    st.integers(1, 25), st.integers(0, 6)
)  # after so many calls of tasks and handlers, and turns of the loop


@given(sketches(5), moments)
@examples(50)
def test_a_cancelled_run_leaves_only_final_states(sketch: Sketch, moment: tuple[int, int]) -> None:
    assume(Evaluation(sketch).strange is None)

    async def play() -> None:
        async with open_session(Settings(database_url="sqlite://:memory:")) as session:
            built = Built(sketch, own_api())
            run, row = await session.create(built.flow, {}, context={"resume": sketch.resume})
            _at(built, moment, lambda: session.host.cancel(run.id))
            options = RunOptions(task_states=built.arguments()["task_states"], executor=built.flow.executor)
            final = await session.execute(built.flow, row, run, options=options)
            rows = await _rows(session)
            assert {state for _, _, _, state in rows.values()} <= FINISHED, rows
            assert await _replayed(session) == {run_id: (version, state) for run_id, (version, *_, state) in rows.items()}
            flow_rows = await session.database.read("SELECT state FROM flow_run WHERE id = $1", (run.id,))
            assert flow_rows == [(type(final).__name__,)]
            assert final.is_finished()

    asyncio.run(play())


@given(sketches(5), st.lists(moments, min_size=1, max_size=2))
@examples(100)
def test_an_interrupted_run_ends_as_if_nothing_had_happened(sketch: Sketch, interruptions: list[tuple[int, int]]) -> None:
    for node in sketch.nodes:  # what handlers did, and what was given, only the first process knows
        node.given, node.reactions = None, []
    evaluation = Evaluation(sketch)
    assume(all(len(ledger.calls) < 6 for ledger in evaluation.ledgers.values()))
    expected = told_evaluation(evaluation)

    async def play() -> None:
        async with open_session(Settings(database_url="sqlite://:memory:")) as session:
            built = Built(sketch, own_api())
            run, row = await session.create(built.flow, {}, context={"resume": sketch.resume})
            owner, final = session.owner.id, None
            for number, moment in enumerate([*interruptions, (10**6, 0)]):
                host = Host(f"process {number}", session._surroundings())
                _at(built, moment, host.interrupt)
                before = {who: len(calls) for who, calls in built.calls.items()}
                finished = await _finished(session, built)
                final = await _executed(host, built, session, row, run.id, owner)
                host.close()
                for who, calls in built.calls.items():
                    new, begun = calls[before.get(who, 0) :], evaluation.ledgers[who].calls
                    assert not new or who not in finished, f"{who} was finished and is called again"
                    assert new == begun[begun.index(new[0]) :][: len(new)] if new else True
                if final is not None:
                    break
                owner = f"process {number}"
            outcome = built.outcome(final)
            assert outcome["tasks"] == expected["tasks"]
            assert outcome["flow"] == expected["flow"]
            for who, calls in built.calls.items():
                assert sorted(set(calls)) == sorted(set(evaluation.ledgers[who].calls))
                assert len(calls) <= len(evaluation.ledgers[who].calls) + len(interruptions)

    asyncio.run(play())


async def _executed(host: Host, built: Built, session: Session, row: Any, run_id: str, owner: str) -> State | None:
    """How the run ended; None where it was interrupted."""
    run = await runs.flow_run(session.database, run_id)
    work = host.execute(
        built.flow, row.task_ids, run, {}, run.context, RunOptions(executor=built.flow.executor),
        takeover_from=owner,
    )  # fmt: skip
    task = asyncio.ensure_future(work)
    await asyncio.wait([task])
    try:
        return await task
    except (asyncio.CancelledError, RunInterrupted):
        return None


def _at(built: Built, moment: tuple[int, int], do: Callable[[], Any]) -> None:
    """Have `do` called at this moment of the run."""
    loop, left = asyncio.get_running_loop(), [moment[0]]

    def later(turns: int) -> None:
        if turns:
            loop.call_soon(later, turns - 1)
        else:
            do()

    def count() -> None:
        left[0] -= 1
        if not left[0]:
            loop.call_soon_threadsafe(later, moment[1])

    built.on_event = count


async def _rows(session: Session) -> dict[str, tuple[int, str, int, str]]:
    found = await session.database.read(
        "SELECT r.id, r.version, t.name, r.map_index, r.state FROM task_run r JOIN task t ON t.id = r.task_id"
    )
    return {row[0]: tuple(row[1:]) for row in found}  # type: ignore[misc]


async def _finished(session: Session, built: Built) -> set[tuple[int, int]]:
    names = {made.name: number for number, made in enumerate(built.tasks)}
    return {
        (names[name], index)
        for _, name, index, state in (await _rows(session)).values()
        if name in names and state in FINISHED
    }


async def _replayed(session: Session) -> dict[str, tuple[int, str]]:
    """What the history says of every task run; it has no gaps, and nothing after a final state."""
    history = await session.database.read("SELECT task_run_id, version, state FROM task_run_state ORDER BY seq")
    replayed: dict[str, tuple[int, str]] = {}
    for run_id, version, state in history:
        before = replayed.get(run_id, (0, ""))
        assert version == before[0] + 1
        assert before[1] not in FINISHED
        replayed[run_id] = (version, state)
    return replayed
