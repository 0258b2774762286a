"""Projects, flows and their versions."""

from __future__ import annotations

from typing import Any

import msgspec

from prefectlite.errors import BadRequest, NotFound
from prefectlite.ids import new_id
from prefectlite.records import FlowRow
from prefectlite.repository.database import Database, Row, Transaction
from prefectlite.version import __version__

_FLOW = "SELECT id, name, version, project_id, digest, storage, source FROM flow"
_TASK = """
INSERT INTO task (id, flow_id, slug, name, type, mapped, max_retries, retry_delay, timeout, trigger_name,
    is_root_task, is_terminal_task, is_reference_task, tags, created, updated)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15)
"""
_EDGE = "INSERT INTO edge (id, flow_id, upstream_task_id, downstream_task_id, key, mapped) VALUES ($1, $2, $3, $4, $5, $6)"
_NEW_GROUP = """
INSERT INTO flow_group (id, name, settings, default_parameters, created, updated) VALUES ($1, $1, '{}', '{}', $2, $2)
"""
_NEW_FLOW = """
INSERT INTO flow (id, project_id, name, version, version_group_id, description, parameters, storage,
    serialized_flow, core_version, digest, source, created, updated)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13)
"""


class FlowVersion(msgspec.Struct, frozen=True):
    """A flow about to be written down: what it is (`serialized`), where its code is found (`storage`), and whose it is.

    `source` is where the code of a flow is that a script runs, which is no promise that it will be found there.
    """

    serialized: dict[str, Any]
    digest: str
    project_id: str | None = None
    storage: dict[str, Any] | None = None
    description: str | None = None
    version_group_id: str | None = None
    source: dict[str, Any] | None = None


async def create_project(tx: Transaction, name: str, description: str | None, now: int) -> str:
    """The id of the new project. Raises BadRequest if there is one of this name."""
    if await tx.fetch("SELECT id FROM project WHERE name = $1", (name,)):
        raise BadRequest("Uniqueness violation.")
    project_id = new_id()
    await tx.execute(
        "INSERT INTO project (id, name, description, created, updated) VALUES ($1, $2, $3, $4, $4)",
        (project_id, name, description, now),
    )
    return project_id


async def project_named(tx: Transaction, name: str, now: int) -> str:
    """The id of the project of this name, which is made if there is none."""
    rows = await tx.fetch("SELECT id FROM project WHERE name = $1", (name,))
    return rows[0][0] if rows else await create_project(tx, name, None, now)


async def save_flow(tx: Transaction, flow: FlowVersion, now: int) -> FlowRow:
    """The row of this flow: the current version where nothing changed since it was written, else a new version.

    A new version archives the ones before it. Raises NotFound if its project does not exist.
    """
    if flow.project_id and not await tx.fetch("SELECT id FROM project WHERE id = $1", (flow.project_id,)):
        raise NotFound(f"Project {flow.project_id} not found: create it first")
    name = flow.serialized["name"]
    current = await _current(tx, flow, name)
    if current is not None and current[4] == flow.digest and _loads(current[5]) == flow.storage:
        return await _found_again(tx, current, flow)
    if flow.project_id is None and (same := await _unregistered(tx, flow.digest)):
        await tx.execute(
            "UPDATE flow SET archived = CASE WHEN id = $1 THEN 0 ELSE 1 END WHERE version_group_id ="
            " (SELECT version_group_id FROM flow WHERE id = $1)",
            (same[0],),
        )
        return await _found_again(tx, same, flow)
    version, group = 1, flow.version_group_id or new_id()
    if current is None:
        await tx.execute(_NEW_GROUP, (group, now))
    else:
        ((version, group),) = await tx.fetch(
            "SELECT max(version) + 1, version_group_id FROM flow WHERE version_group_id ="
            " (SELECT version_group_id FROM flow WHERE id = $1) GROUP BY version_group_id",
            (current[0],),
        )
        await tx.execute("UPDATE flow SET archived = 1, updated = $2 WHERE version_group_id = $1", (group, now))
    flow_id = new_id()
    texts = (
        _dumps(flow.serialized["parameters"]),
        _dumps(flow.storage),
        _dumps(flow.serialized),
        __version__,
        flow.digest,
        _dumps(flow.source),
    )
    await tx.execute(_NEW_FLOW, (flow_id, flow.project_id, name, version, group, flow.description, *texts, now))
    task_ids = await _save_tasks(tx, flow_id, flow.serialized, now)
    return FlowRow(flow_id, name, version, flow.project_id, flow.digest, flow.storage, task_ids, flow.source)


async def flow_by_id(database: Database, flow_id: str) -> FlowRow:
    """One version of a flow. Raises NotFound."""
    rows = await database.read(f"{_FLOW} WHERE id = $1", (flow_id,))
    if not rows:
        raise NotFound(f"Flow {flow_id} not found")
    tasks = await database.read("SELECT slug, id FROM task WHERE flow_id = $1", (flow_id,))
    return _row(rows[0], tasks)


async def structure(database: Database, flow_id: str) -> dict[str, Any]:
    """The serialized flow: its tasks and edges as they were written down. Raises NotFound."""
    rows = await database.read("SELECT serialized_flow FROM flow WHERE id = $1", (flow_id,))
    if not rows:
        raise NotFound(f"Flow {flow_id} not found")
    serialized: dict[str, Any] = _loads(rows[0][0])
    return serialized


async def flow_for_run(tx: Transaction, flow_id: str | None, version_group_id: str | None) -> tuple[str, str, list[Any]]:
    """(id, name, parameters) of the flow to run: this one, or the newest of a group. Raises NotFound or BadRequest."""
    if flow_id is not None:
        rows = await tx.fetch("SELECT id, name, parameters, archived, project_id FROM flow WHERE id = $1", (flow_id,))
        if not rows:
            raise NotFound(f"Flow {flow_id} not found")
        if rows[0][3]:
            raise BadRequest(f"Flow {flow_id} is archived: run its newest version")
    else:
        rows = await tx.fetch(
            "SELECT id, name, parameters, archived, project_id FROM flow WHERE version_group_id = $1 AND archived = 0"
            " ORDER BY version DESC LIMIT 1",
            (version_group_id,),
        )
        if not rows:
            raise NotFound(f"Version group {version_group_id} has no unarchived flows.")
    found_id, name, parameters, _, project_id = rows[0]
    if project_id is None:
        raise BadRequest(f"Flow {name!r} was only run from a script, so that no server knows its code: register it")
    return found_id, name, _loads(parameters)


async def _current(tx: Transaction, flow: FlowVersion, name: str) -> Row | None:
    if flow.version_group_id:
        rows = await tx.fetch(f"{_FLOW} WHERE version_group_id = $1 ORDER BY version DESC LIMIT 1", (flow.version_group_id,))
    else:
        rows = await tx.fetch(
            f"{_FLOW} WHERE name = $1 AND coalesce(project_id, '') = coalesce($2, '')"
            " ORDER BY version DESC, created DESC LIMIT 1",
            (name, flow.project_id),
        )
    return rows[0] if rows else None


async def _unregistered(tx: Transaction, digest: str) -> Row | None:
    # Flows that scripts run come and go under one name: any version that is the same is the one.
    rows = await tx.fetch(f"{_FLOW} WHERE digest = $1 AND project_id IS NULL AND storage IS NULL LIMIT 1", (digest,))
    return rows[0] if rows else None


async def _found_again(tx: Transaction, row: Row, flow: FlowVersion) -> FlowRow:
    if flow.source is not None and _loads(row[6]) != flow.source:
        await tx.execute("UPDATE flow SET source = $2 WHERE id = $1", (row[0], _dumps(flow.source)))
    return _row(row, await tx.fetch("SELECT slug, id FROM task WHERE flow_id = $1", (row[0],)))


def _row(row: Row, tasks: list[Row]) -> FlowRow:
    flow_id, name, version, project_id, digest, storage, source = row
    return FlowRow(flow_id, name, version, project_id, digest, _loads(storage), dict(tasks), _loads(source))


async def _save_tasks(tx: Transaction, flow_id: str, serialized: dict[str, Any], now: int) -> dict[str, str]:
    task_ids = {task["slug"]: new_id() for task in serialized["tasks"]}
    rows = [
        (
            task_ids[task["slug"]],
            flow_id,
            task["slug"],
            task["name"],
            task["type"],
            int(task["mapped"]),
            task["max_retries"],
            task["retry_delay"],
            task["timeout"],
            task["trigger"],
            int(task["is_root_task"]),
            int(task["is_terminal_task"]),
            int(task["is_reference_task"]),
            _dumps(task["tags"]),
            now,
        )
        for task in serialized["tasks"]
    ]
    await tx.executemany(_TASK, rows)
    edges = serialized["edges"]
    ends = [
        (new_id(), flow_id, task_ids[e["upstream"]], task_ids[e["downstream"]], e["key"], int(e["mapped"])) for e in edges
    ]
    await tx.executemany(_EDGE, ends)
    return task_ids


def _dumps(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _loads(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)
