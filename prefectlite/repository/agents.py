"""Agents in other processes: who they are, when they last asked, and which runs are theirs to begin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from prefectlite.errors import BadRequest, NotFound
from prefectlite.ids import new_id
from prefectlite.repository import limits
from prefectlite.repository.database import Database, Row, Transaction
from prefectlite.repository.labels import fitting
from prefectlite.repository.runs import WAITING

#: So many runs are offered to an agent at a time.
MOST_RUNS = 25
_NEW = """
INSERT INTO agent (id, agent_config_id, name, type, core_version, labels, token_id, last_queried, created, updated)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $8)
"""


class AgentFacts(msgspec.Struct, frozen=True):
    """What an agent says of itself."""

    type: str
    name: str
    core_version: str
    labels: list[str]
    agent_config_id: str | None = None
    token_id: str | None = None  # which it showed


async def register(tx: Transaction, agent: AgentFacts, now: int) -> str:
    """The id of this agent; an earlier one that said the same of itself is this one, started again.

    Raises NotFound if its settings are not there.
    """
    if agent.agent_config_id and not await tx.fetch("SELECT 1 FROM agent_config WHERE id = $1", (agent.agent_config_id,)):
        raise NotFound(f"Agent config {agent.agent_config_id} not found")
    labels = msgspec.json.encode(sorted(set(agent.labels))).decode()
    same = (agent.name, agent.type, agent.core_version, labels, agent.token_id)
    sql = (
        "SELECT id FROM agent WHERE name = $1 AND type = $2 AND core_version = $3 AND labels = $4"
        " AND coalesce(token_id, '') = coalesce($5, '') LIMIT 1"
    )
    if rows := await tx.fetch(sql, same):
        again = "UPDATE agent SET last_queried = $2, updated = $2, agent_config_id = $3 WHERE id = $1"
        await tx.execute(again, (rows[0][0], now, agent.agent_config_id))
        return str(rows[0][0])
    agent_id = new_id()
    await tx.execute(_NEW, (agent_id, agent.agent_config_id, *same, now))
    return agent_id


async def save_config(tx: Transaction, name: str, settings: dict[str, Any], now: int) -> str:
    """The id of new settings for agents. Raises BadRequest if there are some of this name."""
    if await tx.fetch("SELECT 1 FROM agent_config WHERE name = $1", (name,)):
        raise BadRequest("Uniqueness violation.")
    config_id = new_id()
    await tx.execute(
        "INSERT INTO agent_config (id, name, settings, created, updated) VALUES ($1, $2, $3, $4, $4)",
        (config_id, name, msgspec.json.encode(settings).decode(), now),
    )
    return config_id


async def change_config(
    tx: Transaction, config_id: str, name: str | None, settings: dict[str, Any] | None, now: int
) -> None:
    """Give settings for agents another name or content, where one is given."""
    text = None if settings is None else msgspec.json.encode(settings).decode()
    await tx.execute(
        "UPDATE agent_config SET name = coalesce($2, name), settings = coalesce($3, settings), updated = $4 WHERE id = $1",
        (config_id, name, text, now),
    )


async def seen(tx: Transaction, agent_id: str, now: int) -> None:
    """Note that an agent has asked for runs."""
    await tx.execute("UPDATE agent SET last_queried = $2 WHERE id = $1", (agent_id, now))


async def due_runs(
    database: Database, runtime: str, before: int, labels: Sequence[str], projects: Sequence[str] | None = None
) -> list[str]:
    """The ids of runs, in these projects if some are given, that such an agent may begin, or go on with, until `before`.

    Those due first come first. Runs go to agents that have all of their labels; those without labels to agents without.
    There are no more of them than the concurrency limits on their labels have free slots.
    """
    free = await limits.free_slots(database)
    offered: list[str] = []
    while True:
        full = [name for name, slots in free.items() if slots <= 0]
        found = await _due(database, runtime, before, labels, projects, full, offered)
        left_out = 0
        for run_id, state, its_labels in found:
            # What is Running has its slots.
            limited = [] if state == "Running" else free.keys() & msgspec.json.decode(its_labels)
            if all(free[name] > 0 for name in limited):
                offered.append(run_id)
                free.update({name: free[name] - 1 for name in limited})
            else:
                left_out += 1
        if not left_out:
            return offered
        # Others that are due may stand behind those that were left out, whose limits are all full now.


async def _due(
    database: Database,
    runtime: str,
    before: int,
    labels: Sequence[str],
    projects: Sequence[str] | None,
    full: list[str],
    offered: list[str],
) -> list[Row]:
    """(id, state, labels) of runs as `due_runs` says, besides those that are `offered`; `full` are labels without slots."""
    values: list[Any] = [before, runtime]

    def bind(value: Any) -> str:
        values.append(value)
        return f"${len(values)}"

    fits = fitting(database.dialect, "r.labels", labels, bind)
    if projects is not None:
        fits += f" AND {database.dialect.among('f.project_id', bind(database.dialect.listed(projects)))}"
    if offered:
        fits += f" AND NOT {database.dialect.among('r.id', bind(database.dialect.listed(offered)))}"
    has_slot = f"AND NOT {database.dialect.has_keys('r.labels', full, bind, all_of_them=False)}" if full else ""
    return await database.read(
        f"""
        SELECT r.id, r.state, r.labels FROM flow_run r JOIN flow f ON f.id = r.flow_id
        WHERE f.runtime = $2 AND f.project_id IS NOT NULL AND {fits} AND (
            (r.state IN ({WAITING}) AND r.state_start_time <= $1 {has_slot})
            OR (r.state = 'Running' AND EXISTS (
                SELECT 1 FROM task_run t
                WHERE t.flow_run_id = r.id AND t.state IN ({WAITING}) AND t.state_start_time <= $1
            ))
        )
        ORDER BY r.state_start_time, r.id LIMIT {MOST_RUNS - len(offered)}
        """,
        values,
    )


async def alive(database: Database, since: int) -> int:
    """How many agents have asked for work since a moment."""
    ((count,),) = await database.read("SELECT count(*) FROM agent WHERE last_queried >= $1", (since,))
    return int(count)
