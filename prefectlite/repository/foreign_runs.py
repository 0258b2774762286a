"""What executors of another runtime tell and ask of the runs that they execute."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import msgspec

from prefectlite.errors import NotFound
from prefectlite.repository import computed
from prefectlite.repository.database import Database, Transaction
from prefectlite.repository.flows import FOREIGN
from prefectlite.repository.runs import UNFINISHED
from prefectlite.repository.tables import TABLES

_NAMES = uuid.UUID("5f8c3c1a-6f0e-5d4b-9c39-0d4a4d8f1b11")  # of ids that are made of a place in a run


class TaskRunState(msgspec.Struct, frozen=True):
    """Where a task run stands; `serialized_state` is JSON text."""

    id: str
    version: int
    state: str
    serialized_state: str


def place_id(flow_run_id: str, task_id: str, map_index: int) -> str:
    """The id that everybody gives the run of this task: who makes it a second time finds the first."""
    return str(uuid.uuid5(_NAMES, f"{flow_run_id}/{task_id}/{map_index}"))


async def is_foreign(database: Database, flow_run_id: str) -> bool:
    """Whether another runtime executes the run. Raises NotFound, in the words that Prefect's clients know."""
    sql = "SELECT f.runtime FROM flow_run r JOIN flow f ON f.id = r.flow_id WHERE r.id = $1"
    rows = await database.read(sql, (flow_run_id,))
    if not rows:
        raise NotFound(f"State update failed for flow run ID {flow_run_id}: there is no such run")
    return bool(rows[0][0] == FOREIGN)


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


async def mapped_children(database: Database, task_run_id: str) -> tuple[dict[str, int], int | None, int | None]:
    """({state: how many children of a mapped task run are in it}, when the first began, when the last ended)."""
    sql = """
    SELECT c.state, count(*), min(c.start_time), max(c.end_time)
    FROM task_run p JOIN task_run c ON c.flow_run_id = p.flow_run_id AND c.task_id = p.task_id AND c.map_index >= 0
    WHERE p.id = $1 GROUP BY c.state ORDER BY c.state
    """
    rows = await database.read(sql, (task_run_id,))
    begun = [row[2] for row in rows if row[2] is not None]
    ended = [row[3] for row in rows if row[3] is not None]
    return {row[0]: row[1] for row in rows}, min(begun, default=None), max(ended, default=None)


async def tasks_without_runs(database: Database, flow_run_id: str) -> list[str]:
    """The ids of those tasks of a run's flow that have no run in it."""
    sql = """
    SELECT t.id FROM flow_run r JOIN task t ON t.flow_id = r.flow_id
    WHERE r.id = $1 AND NOT EXISTS (SELECT 1 FROM task_run x WHERE x.flow_run_id = r.id AND x.task_id = t.id)
    """
    return [row[0] for row in await database.read(sql, (flow_run_id,))]


async def unfinished_task_runs(database: Database, flow_run_id: str) -> list[tuple[str, str, int]]:
    """(id, task id, map index) of the task runs that have not ended."""
    sql = f"SELECT id, task_id, map_index FROM task_run WHERE flow_run_id = $1 AND state IN ({UNFINISHED})"
    return [(run_id, task_id, index) for run_id, task_id, index in await database.read(sql, (flow_run_id,))]


async def known_runs(tx: Transaction, ids: Iterable[str]) -> set[str]:
    """Those of these ids that flow runs have."""
    sql = f"SELECT id FROM flow_run WHERE {tx.dialect.among('id', '$1')}"
    return {row[0] for row in await tx.fetch(sql, (tx.dialect.listed(ids),))}


class SilentRun(msgspec.Struct, frozen=True):
    """A run that has not been heard of for long, and what its flow's group says of such runs."""

    id: str
    state: str
    version: int
    heartbeat: int
    times_resurrected: int
    settings: dict[str, Any]

    @property
    def heartbeat_enabled(self) -> bool:
        """Whether silence means anything."""
        return self.settings.get("heartbeat_enabled") is not False

    @property
    def lazarus_enabled(self) -> bool:
        """Whether the run may be begun again."""
        return self.settings.get("lazarus_enabled") is not False


class RunningTask(msgspec.Struct, frozen=True):
    """A task run that was executing; `retry_delay` in microseconds, `retries` how often it was retried."""

    id: str
    task_id: str
    map_index: int
    version: int
    name: str
    max_retries: int
    retry_delay: int | None
    retries: int


async def silent_runs(database: Database, before: int) -> list[SilentRun]:
    """Runs of another runtime that should beat and did not since the moment `before`; the longest silent first."""
    rows = await database.read(
        f"""
        SELECT r.id, r.state, r.version, r.heartbeat, r.times_resurrected, g.settings
        FROM flow_run r JOIN flow f ON f.id = r.flow_id JOIN flow_group g ON g.id = f.flow_group_id
        WHERE r.state IN ('Running', 'Submitted', 'Cancelling') AND f.runtime = '{FOREIGN}' AND r.heartbeat <= $1
        ORDER BY r.heartbeat LIMIT 500
        """,
        (before,),
    )
    return [
        SilentRun(run_id, state, version, heartbeat, resurrected, msgspec.json.decode(settings))
        for run_id, state, version, heartbeat, resurrected, settings in rows
    ]


async def running_tasks(database: Database, flow_run_id: str) -> list[RunningTask]:
    """The task runs of a run that are Running."""
    rows = await database.read(
        """
        SELECT r.id, r.task_id, r.map_index, r.version, t.name, t.max_retries, t.retry_delay,
            (SELECT count(*) FROM task_run_state s WHERE s.task_run_id = r.id AND s.state = 'Retrying')
        FROM task_run r JOIN task t ON t.id = r.task_id WHERE r.flow_run_id = $1 AND r.state = 'Running'
        """,
        (flow_run_id,),
    )
    return [RunningTask(*row) for row in rows]


async def has_waiting_tasks(database: Database, flow_run_id: str) -> bool:
    """Whether a run has task runs that wait for a time, or for somebody, or that execute."""
    states = "'Scheduled', 'Paused', 'Resume', 'Retrying', 'Running', 'Cancelling'"
    sql = f"SELECT 1 FROM task_run WHERE flow_run_id = $1 AND state IN ({states}) LIMIT 1"
    return bool(await database.read(sql, (flow_run_id,)))


async def count_resurrection(tx: Transaction, flow_run_id: str) -> None:
    """Note that a run was begun again."""
    await tx.execute("UPDATE flow_run SET times_resurrected = times_resurrected + 1 WHERE id = $1", (flow_run_id,))


async def beat(tx: Transaction, flow_run_id: str, now: int, agent_id: str | None = None) -> None:
    """Note that a run is alive, and, if it is given, which agent has it."""
    await tx.execute(
        "UPDATE flow_run SET heartbeat = $2, agent_id = coalesce((SELECT id FROM agent WHERE id = $3), agent_id)"
        " WHERE id = $1",
        (flow_run_id, now, agent_id),
    )
