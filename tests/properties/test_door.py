"""The door as a state machine: whatever is proposed, in whatever company, the history replays to the current row."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from prefectlite.ids import new_id
from prefectlite.records import StateRecord
from prefectlite.rules.proposals import Accept, TaskRunProposal, Verdict
from prefectlite.session import Session, open_session
from prefectlite.settings import Settings
from prefectlite.states import FINISHED
from tests.orchestrator.test_local import Scene

STATES = ("Running", "Success", "Failed", "Retrying", "Mapped", "Skipped", "Cancelled")

moves = st.one_of(
    st.tuples(
        st.just("task"),
        st.sampled_from(STATES),
        st.integers(0, 3),  # which child
        st.sampled_from([None, 0, 1, 2, "right"]),  # the version it expects
        st.sampled_from([0, 0, 0, -1]),  # how far its lease is off
        st.booleans(),  # restart
    ),
    st.tuples(st.just("repeat"), st.integers(0, 30)),
    st.tuples(st.just("takeover")),
    st.tuples(st.just("pause")),  # wait for the verdicts so far: what follows is another commit
)


@given(st.lists(moves, max_size=40))
@settings(max_examples=60, deadline=None)
def test_history_replays_to_the_current_row(plan: list[tuple[object, ...]]) -> None:
    asyncio.run(_play(plan))


async def _play(plan: list[tuple[object, ...]]) -> None:
    async with open_session(Settings(database_url="sqlite://:memory:")) as session:
        scene = await Scene.make(session)
        lease = await scene.claim()
        ids = [new_id() for _ in range(4)]
        made: list[tuple[TaskRunProposal, asyncio.Future[Verdict]]] = []
        for move in plan:
            if move[0] == "pause":
                await asyncio.gather(*(future for _, future in made))
            elif move[0] == "takeover":
                lease = await scene.claim(takeover=True)
            elif move[0] == "repeat" and made:
                proposal = made[int(str(move[1])) % len(made)][0]
                made.append((proposal, session.orchestrator.propose(proposal)))
            elif move[0] == "task":
                _, name, child, version, off, restart = move
                expected = await _version(session, ids[int(str(child))]) if version == "right" else version
                record = StateRecord(new_id(), str(name), len(made))
                proposal = TaskRunProposal(
                    ids[int(str(child))], scene.run_id, scene.task_id, int(str(child)), record,
                    expected, lease + int(str(off)), restart=bool(restart),
                )  # fmt: skip
                made.append((proposal, session.orchestrator.propose(proposal)))
        verdicts = await asyncio.gather(*(future for _, future in made))
        await _check(session, [(proposal, verdict) for (proposal, _), verdict in zip(made, verdicts, strict=True)])


async def _version(session: Session, run_id: str) -> int:
    rows = await session.database.read("SELECT version FROM task_run WHERE id = $1", (run_id,))
    return int(rows[0][0]) if rows else 0


async def _check(session: Session, answers: list[tuple[TaskRunProposal, object]]) -> None:
    read = session.database.read
    history = await read("SELECT task_run_id, version, state, id, seq FROM task_run_state ORDER BY seq")
    current = {row[0]: row[1:] for row in await read("SELECT id, version, state FROM task_run")}
    replayed: dict[str, tuple[int, str]] = {}
    by_id = {answer[0].state.id: answer[0] for answer in answers}
    for run_id, version, state, state_id, _ in history:
        before = replayed.get(run_id, (0, ""))
        assert version == before[0] + 1, "versions count up by one"
        assert before[1] not in FINISHED or by_id[state_id].restart, "a final state is left by a restart only"
        replayed[run_id] = (version, state)
    assert replayed == current
    written = {state_id for _, _, _, state_id, _ in history}
    accepted = {proposal.state.id for proposal, verdict in answers if isinstance(verdict, Accept)}
    assert accepted == written, "what was accepted is written, once, and nothing else is"
