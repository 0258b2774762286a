"""Reading runs: what an executor needs to begin one or to go on with it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from prefectlite.errors import BadRequest, NotFound
from prefectlite.ids import is_id
from prefectlite.records import FlowRunRow, ResultRecord, StateRecord, TaskRunRow
from prefectlite.repository.database import Database, Row
from prefectlite.repository.labels import fitting
from prefectlite.states import BY_NAME, FINISHED, Scheduled, names_of

_FLOW_RUN = """
SELECT id, flow_id, name, parameters, context, scheduled_start_time, version, state, state_message, state_start_time,
    owner, lease_epoch, auto_scheduled, labels, run_config
FROM flow_run
"""
_TASK_RUNS = """
SELECT r.id, r.task_id, r.map_index, r.version, r.state, r.state_timestamp, r.state_message, r.state_start_time,
    r.state_details, x.encoding, x.data
FROM task_run r LEFT JOIN result x ON x.task_run_id = r.id
WHERE r.flow_run_id = $1 ORDER BY r.map_index
"""
_TASK_RUN_STATES = """
SELECT id, task_id, map_index, version, state, state_timestamp, state_message, state_start_time, state_details, NULL, NULL
FROM task_run WHERE flow_run_id = $1 ORDER BY map_index
"""
#: Of what was cached under one key, so much is looked at: with a validator that looks at inputs there may be any number.
_MOST_CACHED = 100
_CACHED = f"""
SELECT r.state, r.state_timestamp, r.state_message, r.state_start_time, r.state_details, x.encoding, x.data
FROM task_run r LEFT JOIN result x ON x.task_run_id = r.id
WHERE r.cache_key = $1 AND r.state = 'Cached' AND r.flow_run_id <> $2
ORDER BY CASE WHEN r.map_index = $3 THEN 0 ELSE 1 END, r.end_time DESC LIMIT {_MOST_CACHED}
"""
#: Names of states, for `state IN (…)`: those of a run that has not ended, and of one that waits to be begun.
UNFINISHED = ", ".join(f"'{name}'" for name in sorted(set(BY_NAME) - FINISHED))
WAITING = ", ".join(f"'{name}'" for name in (*names_of(Scheduled), "Queued"))
_TO_BEGIN = WAITING.replace("'Paused', ", "")  # what is paused is not due
_PLACE = """
SELECT t.flow_run_id, t.task_id, t.map_index, t.state, t.state_details, f.runtime
FROM task_run t JOIN flow_run r ON r.id = t.flow_run_id JOIN flow f ON f.id = r.flow_id WHERE t.id = $1
"""


class TaskRunPlace(msgspec.Struct, frozen=True):
    """Which run of which task it is, its state with what is kept of it beside, and what executes it."""

    flow_run_id: str
    task_id: str
    map_index: int
    state: str
    state_details: str | None
    runtime: str


async def flow_run(database: Database, run_id: str) -> FlowRunRow:
    """One flow run. Raises NotFound."""
    rows = await database.read(f"{_FLOW_RUN} WHERE id = $1", (run_id,))
    if not rows:
        raise NotFound(f"Flow run {run_id} not found")
    return _flow_run(rows[0])


async def task_runs(database: Database, flow_run_id: str) -> list[TaskRunRow]:
    """All task runs of a flow run with their results, children of mapped tasks in order."""
    return [_task_run(row) for row in await database.read(_TASK_RUNS, (flow_run_id,))]


async def task_run_states(database: Database, flow_run_id: str) -> list[TaskRunRow]:
    """As `task_runs`, without the results."""
    return [_task_run(row) for row in await database.read(_TASK_RUN_STATES, (flow_run_id,))]


async def interrupted_runs(database: Database, flow_name: str) -> list[FlowRunRow]:
    """The runs of a script's flow that have not ended and belong to some process, which may be gone; the newest first."""
    rows = await database.read(
        f"{_FLOW_RUN} WHERE state IN ({UNFINISHED}) AND owner IS NOT NULL AND flow_id IN"
        " (SELECT id FROM flow WHERE name = $1 AND project_id IS NULL) ORDER BY scheduled_start_time DESC",
        (flow_name,),
    )
    return [_flow_run(row) for row in rows]


async def run_called(database: Database, name: str) -> FlowRunRow:
    """The flow run with this id, or this name. Raises NotFound, and BadRequest for a name that several have."""
    if is_id(name):
        return await flow_run(database, name.lower())
    rows = await database.read(f"{_FLOW_RUN} WHERE name = $1 ORDER BY scheduled_start_time DESC LIMIT 4", (name,))
    if not rows:
        raise NotFound(f"There is no flow run {name!r} in {database.place}: give its id or its name")
    if len(rows) > 1:
        newest = ", ".join(row[0] for row in rows[:3])
        raise BadRequest(f"Several flow runs are called {name!r}: give the id of one, such as {newest}")
    return _flow_run(rows[0])


async def cached_states(
    database: Database, key: str, flow_run_id: str, map_index: int
) -> list[tuple[StateRecord, ResultRecord | None]]:
    """What task runs cached under `key` in other runs than this one: those with this map index first, then the newest."""
    rows = await database.read(_CACHED, (key, flow_run_id, map_index))
    return [(StateRecord("", *row[:5]), None if row[5] is None else ResultRecord(*row[5:])) for row in rows]


async def state_of(database: Database, table: str, run_id: str) -> tuple[StateRecord, int]:
    """(its state, version) of a flow run or task run; `table` says which. Raises NotFound."""
    rows = await database.read(
        "SELECT version, state_id, state, state_timestamp, state_message, state_start_time, state_details"
        f" FROM {table} WHERE id = $1",
        (run_id,),
    )
    if not rows:
        raise NotFound(f"{table.replace('_', ' ').capitalize()} {run_id} not found")
    return StateRecord(*rows[0][1:]), rows[0][0]


async def counts_by_state(database: Database) -> list[tuple[str, int]]:
    """(state, number of flow runs in it), by name."""
    rows = await database.read("SELECT state, count(*) FROM flow_run GROUP BY state ORDER BY state")
    return [(state, count) for state, count in rows]


async def scheduled_runs(database: Database, labels: Collection[str]) -> list[tuple[str, int]]:
    """(id, due time) of the flow runs of registered flows that an agent with these labels may begin, the earliest first."""
    values: list[Any] = []

    def bind(value: Any) -> str:
        values.append(value)
        return f"${len(values)}"

    rows = await database.read(
        f"""
        SELECT r.id, coalesce(r.state_start_time, r.scheduled_start_time) AS due
        FROM flow_run r JOIN flow f ON f.id = r.flow_id
        WHERE r.state IN ({_TO_BEGIN}) AND r.owner IS NULL AND f.storage IS NOT NULL AND f.runtime = 'prefectlite'
            AND {fitting(database.dialect, "r.labels", labels, bind)}
        ORDER BY due
        """,
        values,
    )
    return [(run_id, due) for run_id, due in rows]


async def owned_runs(database: Database) -> list[tuple[str, str]]:
    """(id, owner) of every flow run of a registered flow that some process has, or had, for its own."""
    rows = await database.read(
        f"""
        SELECT r.id, r.owner FROM flow_run r JOIN flow f ON f.id = r.flow_id
        WHERE r.state IN ({UNFINISHED}) AND r.owner IS NOT NULL AND f.storage IS NOT NULL
        ORDER BY r.scheduled_start_time
        """
    )
    return [(run_id, owner) for run_id, owner in rows]


async def run_with_key(database: Database, flow_id: str, idempotency_key: str) -> str | None:
    """The id of the flow run that was made with this key, if there is one."""
    rows = await database.read(
        "SELECT id FROM flow_run WHERE idempotency_key = $1 AND flow_id = $2", (idempotency_key, flow_id)
    )
    return rows[0][0] if rows else None


async def task_run_at(database: Database, flow_run_id: str, task_id: str, map_index: int) -> tuple[str, int] | None:
    """(id, version) of the run of this task, or of this child of it, if there is one."""
    sql = "SELECT id, version FROM task_run WHERE flow_run_id = $1 AND task_id = $2 AND map_index = $3"
    rows = await database.read(sql, (flow_run_id, task_id, map_index))
    return (rows[0][0], rows[0][1]) if rows else None


async def task_run_place(database: Database, run_id: str) -> TaskRunPlace:
    """Where a task run belongs and stands. Raises NotFound."""
    rows = await database.read(_PLACE, (run_id,))
    if not rows:
        raise NotFound(f"State update failed for task run ID {run_id}: there is no such run")
    return TaskRunPlace(*rows[0])


def _flow_run(row: Row) -> FlowRunRow:
    run_id, flow_id, name, parameters, context, *facts, labels, run_config = row
    documents = map(msgspec.json.decode, (parameters, context))
    known = FlowRunRow(run_id, flow_id, name, *documents, *facts)
    config = None if run_config is None else msgspec.json.decode(run_config)
    return msgspec.structs.replace(known, labels=msgspec.json.decode(labels), run_config=config)


def _task_run(row: Row) -> TaskRunRow:
    run_id, task_id, map_index, version, *state, encoding, data = row
    result = None if encoding is None else ResultRecord(encoding, data)
    return TaskRunRow(run_id, task_id, map_index, version, StateRecord("", *state), result)
