"""The door: what it accepts, what it refuses, and that its history replays to the current row."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest

from prefectlite.ids import new_id
from prefectlite.records import ResultRecord, StateRecord
from prefectlite.repository.flows import FlowVersion
from prefectlite.rules.proposals import (
    Accept,
    FlowRunCreation,
    FlowRunProposal,
    Order,
    Refuse,
    Replace,
    TaskRunProposal,
)
from prefectlite.session import Session, open_session
from prefectlite.settings import Settings

pytestmark = pytest.mark.asyncio

TASK = {
    "slug": "a-1",
    "name": "a",
    "type": "t",
    "mapped": False,
    "max_retries": 0,
    "retry_delay": None,
    "timeout": None,
    "trigger": "all_successful",
    "is_root_task": True,
    "is_terminal_task": True,
    "is_reference_task": True,
    "tags": [],
}
FLOW = {"name": "f", "parameters": [], "tasks": [TASK], "edges": []}


def state(name: str, at: int = 1) -> StateRecord:
    return StateRecord(new_id(), name, at, f"now {name}")


class Scene:
    """A flow with one task and a run of it."""

    def __init__(self, session: Session, task_id: str, run_id: str) -> None:
        self.session, self.task_id, self.run_id = session, task_id, run_id
        self.task_run_id = new_id()
        self.owner: str | None = None

    @classmethod
    async def make(cls, session: Session) -> Scene:
        flow = await session.client.save_flow(FlowVersion(FLOW, "digest"))
        facts = FlowRunCreation(flow.id, "run", {}, {}, [], 0)
        return cls(session, flow.task_ids["a-1"], (await session.client.create_run(facts)).id)

    async def claim(self, takeover: bool = False) -> int:
        former, self.owner = self.owner if takeover else None, new_id()
        verdict = await self.session.orchestrator.propose(
            FlowRunProposal(self.run_id, state("Running"), claim=self.owner, takeover_from=former)
        )
        assert isinstance(verdict, Accept)
        assert verdict.lease is not None
        return verdict.lease

    def task(self, name: str, version: int | None = None, lease: int | None = None, **fields: object) -> TaskRunProposal:
        where = (self.task_run_id, self.run_id, self.task_id, -1)
        return TaskRunProposal(*where, state(name), version, lease, **fields)  # type: ignore[arg-type]

    async def row(self) -> tuple[str, int] | None:
        rows = await self.session.database.read("SELECT state, version FROM task_run WHERE id = $1", (self.task_run_id,))
        return rows[0] if rows else None  # type: ignore[return-value]


async def test_a_task_run_is_made_by_its_first_state(session: Session) -> None:
    scene = await Scene.make(session)
    lease = await scene.claim()
    assert await session.orchestrator.propose(scene.task("Running", 0, lease)) == Accept(1)
    assert await session.orchestrator.propose(scene.task("Success", 1, lease)) == Accept(2)
    assert await scene.row() == ("Success", 2)


async def test_proposals_made_together_see_each_other(session: Session) -> None:
    scene = await Scene.make(session)
    lease = await scene.claim()
    session.orchestrator.note(scene.task("Running", 0, lease))
    assert await session.orchestrator.propose(scene.task("Success", 1, lease)) == Accept(2)
    rows = await session.database.read("SELECT version, state FROM task_run_state ORDER BY seq")
    assert rows == [(1, "Running"), (2, "Success")]


async def test_what_is_only_noted_is_committed_soon(session: Session) -> None:
    scene = await Scene.make(session)
    lease = await scene.claim()
    with session.bus.subscribe(("flow_run", scene.run_id)) as news:
        session.orchestrator.note(scene.task("Running", 0, lease))
        async with asyncio.timeout(2):
            await anext(news)
    assert await scene.row() == ("Running", 1)


async def test_a_repeated_proposal_gets_the_first_answer(session: Session) -> None:
    scene = await Scene.make(session)
    lease = await scene.claim()
    proposal = scene.task("Running", 0, lease)
    assert await session.orchestrator.propose(proposal) == await session.orchestrator.propose(proposal) == Accept(1)
    assert len(await session.database.read("SELECT 1 FROM task_run_state")) == 1


@pytest.mark.parametrize(
    ("version", "lease_off", "name", "code"),
    [(5, 0, "Success", "VERSION_CONFLICT"), (1, -1, "Success", "STALE_LEASE"), (1, 1, "Success", "STALE_LEASE")],
)
async def test_what_the_door_refuses(session: Session, version: int, lease_off: int, name: str, code: str) -> None:
    scene = await Scene.make(session)
    lease = await scene.claim()
    await session.orchestrator.propose(scene.task("Running", 0, lease))
    verdict = await session.orchestrator.propose(scene.task(name, version, lease + lease_off))
    assert isinstance(verdict, Refuse)
    assert verdict.code == code
    assert await scene.row() == ("Running", 1)


async def test_a_final_state_is_left_by_an_explicit_restart_only(session: Session) -> None:
    scene = await Scene.make(session)
    lease = await scene.claim()
    await session.orchestrator.propose(scene.task("Success", 0, lease))
    refused = await session.orchestrator.propose(scene.task("Running", 1, lease))
    assert isinstance(refused, Refuse)
    assert refused.code == "FINISHED"
    assert await session.orchestrator.propose(scene.task("Running", 1, lease, restart=True)) == Accept(2)


async def test_one_that_loses_does_not_fail_its_batch(session: Session) -> None:
    scene = await Scene.make(session)
    lease = await scene.claim()
    good, bad = scene.task("Running", 0, lease), scene.task("Success", 7, lease)
    unwritable = TaskRunProposal(new_id(), scene.run_id, "no such task", -1, state("Running"), 0, lease)
    futures = [session.orchestrator.propose(proposal) for proposal in (bad, unwritable, good)]
    verdicts = await asyncio.gather(*futures, return_exceptions=True)
    assert isinstance(verdicts[0], Refuse)
    assert isinstance(verdicts[1], Exception)
    assert verdicts[2] == Accept(1)


async def test_a_claim_is_granted_once(session: Session) -> None:
    scene = await Scene.make(session)
    claims = [FlowRunProposal(scene.run_id, state("Running"), claim=new_id()) for _ in range(20)]
    verdicts = await asyncio.gather(*(session.orchestrator.propose(claim) for claim in claims))
    assert sum(isinstance(verdict, Accept) for verdict in verdicts) == 1
    assert {verdict.code for verdict in verdicts if isinstance(verdict, Refuse)} == {"OWNED"}


async def test_a_takeover_fences_off_the_former_owner(session: Session) -> None:
    scene = await Scene.make(session)
    old = await scene.claim()
    new = await scene.claim(takeover=True)
    assert new == old + 1
    refused = await session.orchestrator.propose(scene.task("Running", 0, old))
    assert isinstance(refused, Refuse)
    assert refused.code == "STALE_LEASE"


async def test_of_several_that_find_the_owner_gone_one_takes_the_run_up(session: Session) -> None:
    scene = await Scene.make(session)
    await scene.claim()
    claims = [FlowRunProposal(scene.run_id, state("Running"), claim=new_id(), takeover_from=scene.owner) for _ in range(5)]
    verdicts = await asyncio.gather(*(session.orchestrator.propose(claim) for claim in claims))
    assert [type(verdict) for verdict in verdicts] == [Accept, Refuse, Refuse, Refuse, Refuse]


async def test_cancelling_what_has_not_begun_ends_it(session: Session) -> None:
    scene = await Scene.make(session)
    verdict = await session.orchestrator.propose(FlowRunProposal(scene.run_id, state("Cancelling")))
    assert isinstance(verdict, Replace)
    assert verdict.state.name == "Cancelled"
    again = await session.orchestrator.propose(FlowRunProposal(scene.run_id, state("Running"), claim=new_id()))
    assert isinstance(again, Refuse)


async def test_the_order_to_cancel_rides_on_verdicts(session: Session) -> None:
    scene = await Scene.make(session)
    lease = await scene.claim()
    await session.orchestrator.propose(FlowRunProposal(scene.run_id, state("Cancelling")))
    assert await session.orchestrator.propose(scene.task("Running", 0, lease)) == Accept(1, Order.CANCEL)
    foreign = await session.orchestrator.propose(TaskRunProposal(new_id(), scene.run_id, scene.task_id, 5, state("Running")))
    assert isinstance(foreign, Refuse)
    assert "State update failed" in foreign.reason


async def test_a_result_comes_with_its_state(session: Session) -> None:
    scene = await Scene.make(session)
    lease = await scene.claim()
    result = ResultRecord("msgpack", b"\x05")
    await session.orchestrator.propose(scene.task("Success", 0, lease, result=result))
    assert await session.database.read("SELECT task_run_id, encoding, data FROM result") == [
        (scene.task_run_id, "msgpack", b"\x05")
    ]


async def test_a_database_that_is_locked_for_a_while_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "locked.sqlite"
    async with open_session(Settings(database_url=f"sqlite:///{file}")) as session:
        scene = await Scene.make(session)
        lease = await scene.claim()
        writer = session.database._writer  # type: ignore[attr-defined]
        await writer.run(lambda connection: connection.execute("PRAGMA busy_timeout=0").fetchall())
        with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            session.orchestrator.note(scene.task("Running", 0, lease))
            ended = session.orchestrator.propose(scene.task("Success", 1, lease))
            await asyncio.sleep(0.2)
            assert not ended.done()
            other.execute("ROLLBACK")
        assert await ended == Accept(2)
        assert await scene.row() == ("Success", 2)
