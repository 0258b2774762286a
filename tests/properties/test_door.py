"""The door as a state machine: whatever is proposed, in whatever company, the history replays to the current row."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from prefectlite.ids import new_id
from prefectlite.records import StateRecord
from prefectlite.rules.proposals import Accept, Refuse, TaskRunProposal, Verdict
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
        await _check(
            session, [(proposal, verdict) for (proposal, _), verdict in zip(made, verdicts, strict=True)], scene.run_id
        )


async def _version(session: Session, run_id: str) -> int:
    rows = await session.database.read("SELECT version FROM task_run WHERE id = $1", (run_id,))
    return int(rows[0][0]) if rows else 0


async def _check(session: Session, answers: list[tuple[TaskRunProposal, Any]], flow_run_id: str) -> None:
    read = session.database.read
    ours = (flow_run_id,)
    history = await read(
        "SELECT task_run_id, version, state, id, seq FROM task_run_state"
        " WHERE task_run_id IN (SELECT id FROM task_run WHERE flow_run_id = $1) ORDER BY seq",
        ours,
    )
    current = {row[0]: row[1:] for row in await read("SELECT id, version, state FROM task_run WHERE flow_run_id = $1", ours)}
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


# -- several doors to one database ----------------------------------------------------------------------------------------

WRITERS = 3


class Doors(RuleBasedStateMachine):
    """Writers, each with a session of its own over the same database, that propose for the same task runs at once."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.leave: asyncio.Event
        self.answers: list[tuple[TaskRunProposal, Verdict]] = []

    @initialize()
    def open(self) -> None:
        """Every machine has a flow run of its own."""
        self.runner.run(self._open())

    async def _open(self) -> None:
        self.leave, ready = asyncio.Event(), asyncio.get_running_loop().create_future()

        async def live() -> None:
            async with contextlib.AsyncExitStack() as stack:
                opened = [
                    await stack.enter_async_context(open_session(Settings(database_url=self.url))) for _ in range(WRITERS)
                ]
                ready.set_result(opened)
                await self.leave.wait()

        self.life = asyncio.ensure_future(live())
        await asyncio.wait([self.life, ready], return_when=asyncio.FIRST_COMPLETED)
        self.sessions: list[Session] = ready.result()
        self.scene = await Scene.make(self.sessions[0])
        self.lease = await self.scene.claim()
        self.ids = [new_id() for _ in range(3)]

    @rule(
        moves=st.lists(
            st.tuples(
                st.integers(0, WRITERS - 1),
                st.sampled_from(STATES),
                st.integers(0, 2),  # which child
                st.sampled_from([None, "right", "right", 0]),
                st.sampled_from([0, 0, 0, -1]),
                st.sampled_from([False, False, False, True]),
            ),
            min_size=1,
            max_size=6,
        )
    )
    def propose_at_once(self, moves: list[tuple[Any, ...]]) -> None:
        self.runner.run(self._propose(moves))

    async def _propose(self, moves: list[tuple[Any, ...]]) -> None:
        versions = [await _version(self.sessions[0], run_id) for run_id in self.ids]
        made = []
        for writer, name, child, version, off, restart in moves:
            record = StateRecord(new_id(), name, len(self.answers))
            where = (self.ids[child], self.scene.run_id, self.scene.task_id, child, record)
            expected = versions[child] if version == "right" else version
            proposal = TaskRunProposal(*where, expected, self.lease + off, restart=restart)
            made.append((proposal, self.sessions[writer].orchestrator.propose(proposal)))
        verdicts = await asyncio.gather(*(answer for _, answer in made))
        self.answers += [(proposal, verdict) for (proposal, _), verdict in zip(made, verdicts, strict=True)]
        for run_id, version in zip(self.ids, versions, strict=True):
            self._check_winners([(p, v) for (p, _), v in zip(made, verdicts, strict=True) if p.run_id == run_id], version)

    def _check_winners(self, answers: list[tuple[TaskRunProposal, Verdict]], version: int) -> None:
        """Of those that expected the version which was there, one won."""
        accepted = [verdict.version for _, verdict in answers if isinstance(verdict, Accept)]
        assert len(set(accepted)) == len(accepted), "no version is given twice"
        exact = [verdict for p, verdict in answers if p.expected_version == version and not p.restart]
        assert sum(isinstance(verdict, Accept) for verdict in exact) <= 1

    @rule(which=st.integers(0, 100), writer=st.integers(0, WRITERS - 1))
    def propose_again(self, which: int, writer: int) -> None:
        """A proposal that brought a run to where it is gets its first answer, at whichever door; nothing is written."""
        if self.answers:
            self.runner.run(self._again(*self.answers[which % len(self.answers)], writer))

    async def _again(self, proposal: TaskRunProposal, first: Verdict, writer: int) -> None:
        read = self.sessions[0].database.read
        rows = await read("SELECT state_id FROM task_run WHERE id = $1", (proposal.run_id,))
        if rows != [(proposal.state.id,)]:
            return
        before = await read("SELECT count(*) FROM task_run_state")
        assert await self.sessions[writer].orchestrator.propose(proposal) == first
        assert await read("SELECT count(*) FROM task_run_state") == before

    @rule(writer=st.integers(0, WRITERS - 1))
    def take_over(self, writer: int) -> None:
        self.scene.session = self.sessions[writer]
        self.lease = self.runner.run(self.scene.claim(takeover=True))

    @rule(child=st.integers(0, 2), name=st.sampled_from(STATES))
    def leave_a_final_state(self, child: int, name: str) -> None:
        """A final state stays."""
        self.runner.run(self._leave(child, name))

    async def _leave(self, child: int, name: str) -> None:
        rows = await self.sessions[0].database.read("SELECT state, version FROM task_run WHERE id = $1", (self.ids[child],))
        if not rows or rows[0][0] not in FINISHED:
            return
        record = StateRecord(new_id(), name, 0)
        where = (self.ids[child], self.scene.run_id, self.scene.task_id, child)
        verdict = await self.sessions[1].orchestrator.propose(TaskRunProposal(*where, record, None, self.lease))
        assert isinstance(verdict, Refuse)
        assert (verdict.code, verdict.version) == ("FINISHED", rows[0][1])

    @invariant()
    def the_history_is_whole(self) -> None:
        if hasattr(self, "sessions"):
            self.runner.run(_check(self.sessions[0], self.answers, self.scene.run_id))

    def teardown(self) -> None:
        async def close() -> None:
            self.leave.set()
            await self.life

        if hasattr(self, "life"):
            self.runner.run(close())
        self.runner.close()


@pytest.fixture(params=["sqlite", "postgres"])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database that several sessions can open."""
    if request.param == "postgres":
        yield str(request.getfixturevalue("postgres_url"))
    else:
        yield f"sqlite:///{tmp_path / 'doors.sqlite'}"


def test_several_doors_to_one_database(shared_url: str, request: pytest.FixtureRequest) -> None:
    machine = type("Doors", (Doors,), {"url": shared_url})
    count = 100 if request.config.getoption("--long") else 6
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=count, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
