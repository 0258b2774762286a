"""Bugs that are planted are found by some seeds: a simulation that finds nothing must mean that there is nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from prefectlite.engine.recorded import Recorded
from prefectlite.errors import StoreUnavailable
from prefectlite.orchestrator.batch import Batch
from prefectlite.orchestrator.local import LocalOrchestrator
from prefectlite.repository.database import Transaction
from prefectlite.rules import flow_runs, task_runs
from prefectlite.services import agent
from prefectlite.services.rescuer import Rescuer
from tests.simulation.simulate import simulate

#: What was just begun on a machine when it died was never awaited.
pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
#: Seeds after which a bug counts as not found.
MOST = 1_500


def found(*words: str) -> str:
    """The first violation that has all these words, or any. Fails if no seed finds it."""
    for seed in range(MOST):
        for violation in simulate(seed).violations:
            if all(word in violation for word in words):
                return violation
    pytest.fail(f"{MOST} seeds did not find it")


def test_leases_that_nobody_looks_at(monkeypatch: pytest.MonkeyPatch) -> None:
    of_task_runs, refusal = task_runs.decide, flow_runs._refusal

    def without_lease(snapshot: Any, parent: Any, proposal: Any) -> Any:
        return of_task_runs(snapshot, parent, msgspec.structs.replace(proposal, lease=None))

    monkeypatch.setattr(task_runs, "decide", without_lease)
    monkeypatch.setattr(
        flow_runs, "_refusal", lambda snapshot, proposal: refusal(snapshot, msgspec.structs.replace(proposal, lease=None))
    )
    found("though it had a new owner")


def test_a_check_in_one_transaction_and_the_act_in_another(monkeypatch: pytest.MonkeyPatch) -> None:
    write = LocalOrchestrator._write

    async def looked_before(self: LocalOrchestrator, batch: Batch, durable: bool) -> Any:
        async def look(tx: Transaction) -> None:
            batch._trusting = False
            await Batch._read(batch, tx)

        async def know(tx: Transaction) -> None:
            """Nothing: that is the bug."""

        await self._database.write(look)
        batch._read = know  # type: ignore[method-assign]
        await asyncio.sleep(0.1)
        return await write(self, batch, durable)

    monkeypatch.setattr(LocalOrchestrator, "_write", looked_before)
    found()


def test_an_acknowledgement_without_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hoped(self: LocalOrchestrator, batch: Batch, durable: bool) -> Any:
        try:
            return await self._database.write(batch.apply, durable=durable)
        except StoreUnavailable:
            return [task_runs.Accept(1) for _ in batch._proposals], []

    monkeypatch.setattr(LocalOrchestrator, "_write", hoped)
    found("was told that", "there is None")


def test_a_claim_that_takes_what_somebody_else_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(snapshot: Any, proposal: Any) -> Any:
        return flow_runs.Accept(snapshot.version + 1, lease=max(snapshot.lease_epoch, 1))

    monkeypatch.setattr(flow_runs, "_claim", greedy)
    found("was given to two")


def test_final_states_that_do_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_runs, "_refusal", lambda snapshot, proposal: None)
    found("without a restart")


def test_finished_tasks_that_are_forgotten_on_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    restore = Recorded.restore

    def forgetful(self: Recorded, unit: Any) -> bool:
        if restore(self, unit) and not unit.node.is_mapped:
            unit.state, unit.restart = None, True
            return False
        return unit.state is not None

    monkeypatch.setattr(Recorded, "restore", forgetful)
    found("is Success and started by")


def test_runs_that_nobody_rescues(monkeypatch: pytest.MonkeyPatch) -> None:
    async def asleep(self: Rescuer) -> None:
        """Nothing."""

    monkeypatch.setattr(Rescuer, "rescue", asleep)
    found("do not end", "Running")


def test_an_agent_that_gives_up_when_the_database_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "StoreUnavailable", KeyboardInterrupt)
    found("do not end")
