"""What executors of another runtime tell and ask of the runs that they execute."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

import msgspec

from prefectlite.errors import NotFound
from prefectlite.repository import computed
from prefectlite.repository.database import Database, Transaction
from prefectlite.repository.tables import TABLES
from prefectlite.states import BY_NAME, FINISHED

_NAMES = uuid.UUID("5f8c3c1a-6f0e-5d4b-9c39-0d4a4d8f1b11")  # of ids that are made of a place in a run
_UNFINISHED = "', '".join(sorted(set(BY_NAME) - FINISHED))


class TaskRunState(msgspec.Struct, frozen=True):
    """Where a task run stands; `serialized_state` is JSON text."""

    id: str
    version: int
    state: str
    serialized_state: str


def place_id(flow_run_id: str, task_id: str, map_index: int) -> str:
    """The id that everybody gives the run of this task: who makes it a second time finds the first."""
    return str(uuid.uuid5(_NAMES, f"{flow_run_id}/{task_id}/{map_index}"))


async def runtime_of(database: Database, flow_run_id: str) -> tuple[str, str]:
    """(what executes the run, the state it is in). Raises NotFound, in the words that Prefect's clients know."""
    sql = "SELECT f.runtime, r.state FROM flow_run r JOIN flow f ON f.id = r.flow_id WHERE r.id = $1"
    rows = await database.read(sql, (flow_run_id,))
    if not rows:
        raise NotFound(f"State update failed for flow run ID {flow_run_id}: there is no such run")
    return rows[0][0], rows[0][1]


async def check_place(database: Database, flow_run_id: str, task_id: str) -> None:
    """Raises NotFound if the run is not there, or its flow has no such task."""
    sql = "SELECT EXISTS (SELECT 1 FROM task t WHERE t.id = $2 AND t.flow_id = r.flow_id) FROM flow_run r WHERE r.id = $1"
    rows = await database.read(sql, (flow_run_id, task_id))
    if not rows:
        raise NotFound(f"Invalid flow run: {flow_run_id} not found")
    if not rows[0][0]:
        raise NotFound(f"Invalid task: {task_id} not found in the flow of flow run {flow_run_id}")


async def task_run_at(database: Database, flow_run_id: str, task_id: str, map_index: int) -> TaskRunState | None:
    """The run of this task, or of this child of it, if there is one."""
    return await _task_run(
        database, "r.flow_run_id = $1 AND r.task_id = $2 AND r.map_index = $3", flow_run_id, task_id, map_index
    )


async def task_run_state(database: Database, task_run_id: str) -> TaskRunState:
    """One task run. Raises NotFound."""
    found = await _task_run(database, "r.id = $1", task_run_id)
    if found is None:
        raise NotFound(f"Task run {task_run_id} not found")
    return found


async def _task_run(database: Database, where: str, *values: object) -> TaskRunState | None:
    serialized = computed.value(database.dialect, TABLES["task_run"], "serialized_state", "r")
    rows = await database.read(f"SELECT r.id, r.version, r.state, {serialized} FROM task_run r WHERE {where}", values)
    return TaskRunState(*rows[0]) if rows else None


async def tasks_without_runs(database: Database, flow_run_id: str) -> list[str]:
    """The ids of those tasks of a run's flow that have no run in it."""
    sql = """
    SELECT t.id FROM flow_run r JOIN task t ON t.flow_id = r.flow_id
    WHERE r.id = $1 AND NOT EXISTS (SELECT 1 FROM task_run x WHERE x.flow_run_id = r.id AND x.task_id = t.id)
    """
    return [row[0] for row in await database.read(sql, (flow_run_id,))]


async def unfinished_task_runs(database: Database, flow_run_id: str) -> list[str]:
    """The ids of the task runs that have not ended."""
    sql = f"SELECT id FROM task_run WHERE flow_run_id = $1 AND state IN ('{_UNFINISHED}')"
    return [row[0] for row in await database.read(sql, (flow_run_id,))]


async def known_runs(tx: Transaction, ids: Iterable[str]) -> set[str]:
    """Those of these ids that flow runs have."""
    sql = f"SELECT id FROM flow_run WHERE {tx.dialect.among('id', '$1')}"
    return {row[0] for row in await tx.fetch(sql, (tx.dialect.listed(ids),))}


async def beat(tx: Transaction, flow_run_id: str, now: int, agent_id: str | None = None) -> None:
    """Note that a run is alive, and, if it is given, which agent has it."""
    await tx.execute(
        "UPDATE flow_run SET heartbeat = $2, agent_id = coalesce((SELECT id FROM agent WHERE id = $3), agent_id)"
        " WHERE id = $1",
        (flow_run_id, now, agent_id),
    )
