"""Which runs are whose, as far as agents are concerned."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from prefectlite.repository.database import Database


class Held(msgspec.Struct, frozen=True):
    """A run: its labels, and who executes it, an executor of ours (`owner`) or an agent of another runtime."""

    id: str
    state: str
    owner: str | None
    agent_id: str | None
    labels: list[str]
    is_registered: bool  # else it is a script's own


async def agents_of(database: Database, token_id: str) -> dict[str, list[str]]:
    """The agents that were registered with a token, and their labels."""
    rows = await database.read("SELECT id, labels FROM agent WHERE token_id = $1", (token_id,))
    return {agent_id: msgspec.json.decode(labels) for agent_id, labels in rows}


async def held(database: Database, flow_run_ids: Iterable[str]) -> dict[str, Held]:
    """Those of these runs that there are."""
    sql = f"""
    SELECT r.id, r.state, r.owner, r.agent_id, r.labels, f.project_id IS NOT NULL
    FROM flow_run r JOIN flow f ON f.id = r.flow_id WHERE {database.dialect.among("r.id", "$1")}
    """
    rows = await database.read(sql, (database.dialect.listed(flow_run_ids),))
    return {
        run_id: Held(run_id, state, owner, agent_id, msgspec.json.decode(labels), bool(registered))
        for run_id, state, owner, agent_id, labels, registered in rows
    }


async def flow_runs_of(database: Database, task_run_ids: Iterable[str]) -> dict[str, str]:
    """The flow runs that these task runs, as far as there are such, belong to."""
    sql = f"SELECT id, flow_run_id FROM task_run WHERE {database.dialect.among('id', '$1')}"
    rows = await database.read(sql, (database.dialect.listed(task_run_ids),))
    return {str(task_run_id): str(flow_run_id) for task_run_id, flow_run_id in rows}


async def task_run_of(database: Database, artifact_id: str) -> str | None:
    """The task run that an artifact belongs to."""
    rows = await database.read("SELECT task_run_id FROM task_run_artifact WHERE id = $1", (artifact_id,))
    return str(rows[0][0]) if rows else None
