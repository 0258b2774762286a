"""What tests of the result store share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import pytest_asyncio

from prefectlite import Flow, task
from prefectlite.ids import new_id
from prefectlite.records import ResultRecord, StateRecord
from prefectlite.results.files import FileResultStore
from prefectlite.results.seal import Seal
from prefectlite.rules.proposals import Accept, FlowRunProposal, TaskRunProposal
from prefectlite.session import Session


@pytest.fixture
def store_of(tmp_path: Path) -> Callable[[], FileResultStore]:
    """Makes stores over one directory, each as another process has it."""
    return lambda: FileResultStore(tmp_path / "kept.results", Seal(tmp_path / "kept.results.key"))


@pytest.fixture
def store(store_of: Callable[[], FileResultStore]) -> FileResultStore:
    return store_of()


class Record:
    """A run in the record, in which task runs name results."""

    def __init__(self, session: Session, flow_run_id: str, task_id: str) -> None:
        self.session, self.database = session, session.database
        self._flow_run_id, self._task_id, self._number = flow_run_id, task_id, -1

    async def name(self, *results: ResultRecord) -> None:
        """Commit a finished task run for each result."""
        proposals = []
        for result in results:
            self._number += 1
            where = (new_id(), self._flow_run_id, self._task_id, self._number)
            proposals.append(TaskRunProposal(*where, StateRecord(new_id(), "Success", 1), 0, result=result))
        verdicts = await asyncio.gather(*map(self.session.orchestrator.propose, proposals))
        assert all(isinstance(verdict, Accept) for verdict in verdicts)


@pytest_asyncio.fixture
async def record(session: Session) -> Record:
    """The record, on each kind of database."""
    with Flow("f") as flow:
        task(lambda: None, name="t")()
    run, row = await session.create(flow, {})
    verdict = await session.orchestrator.propose(
        FlowRunProposal(run.id, StateRecord(new_id(), "Running", 1), claim=session.owner.id)
    )
    assert isinstance(verdict, Accept)
    return Record(session, run.id, next(iter(row.task_ids.values())))
