"""Which runs are whose, as far as agents are concerned."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from prefectlite.repository.database import Database
from prefectlite.repository.reach import Reach


async def agents_of(database: Database, token_id: str) -> dict[str, list[str]]:
    """The agents that were registered with a token, and their labels."""
    rows = await database.read("SELECT id, labels FROM agent WHERE token_id = $1", (token_id,))
    return {agent_id: msgspec.json.decode(labels) for agent_id, labels in rows}


async def out_of_reach(database: Database, reach: Reach, flow_run_ids: Iterable[str]) -> set[str]:
    """Those of these flow runs that there are, and that a token is not good for."""
    values: list[Any] = [database.dialect.listed(set(flow_run_ids))]

    def bind(value: Any) -> str:
        values.append(value)
        return f"${len(values)}"

    own = f"CASE WHEN {reach.flow_run(database.dialect, 'r', bind)} THEN 1 ELSE 0 END"
    rows = await database.read(f"SELECT r.id, {own} FROM flow_run r WHERE {database.dialect.among('r.id', '$1')}", values)
    return {run_id for run_id, is_own in rows if not is_own}


async def is_flow_within(database: Database, reach: Reach, flow_id: str) -> bool:
    """Whether a flow is one whose runs a token is good for; True if there is no such flow."""
    values: list[Any] = [flow_id]

    def bind(value: Any) -> str:
        values.append(value)
        return f"${len(values)}"

    within = reach.flow(database.dialect, "f", bind)
    if within is None:
        return True
    rows = await database.read(f"SELECT CASE WHEN {within} THEN 1 ELSE 0 END FROM flow f WHERE f.id = $1", values)
    return not rows or bool(rows[0][0])


async def flow_runs_of(database: Database, task_run_ids: Iterable[str]) -> dict[str, str]:
    """The flow runs that these task runs, as far as there are such, belong to."""
    sql = f"SELECT id, flow_run_id FROM task_run WHERE {database.dialect.among('id', '$1')}"
    rows = await database.read(sql, (database.dialect.listed(task_run_ids),))
    return {str(task_run_id): str(flow_run_id) for task_run_id, flow_run_id in rows}


async def task_run_of(database: Database, artifact_id: str) -> str | None:
    """The task run that an artifact belongs to."""
    rows = await database.read("SELECT task_run_id FROM task_run_artifact WHERE id = $1", (artifact_id,))
    return str(rows[0][0]) if rows else None
