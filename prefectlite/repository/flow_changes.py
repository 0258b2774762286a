"""Changes of projects, flows and their groups after they were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from prefectlite.errors import BadRequest, NotFound
from prefectlite.language.foreign import place
from prefectlite.live.hints import Hint
from prefectlite.repository.database import Transaction
from prefectlite.repository.flows import EDGES, IN_GROUP, forget_scheduled, save_edges, save_tasks
from prefectlite.repository.sequence import tell_of_deletion

_PLACED = "UPDATE task SET mapped = $2, is_root_task = $3, is_terminal_task = $4, is_reference_task = $5 WHERE id = $1"
#: What of a group can be set, each column with what its value is.
_GROUP_COLUMNS = ("description", "labels", "run_config", "default_parameters", "schedule", "settings")


async def set_project(tx: Transaction, project_id: str, now: int, **columns: str | None) -> None:
    """Give a project another `name` or `description`. Raises NotFound, and BadRequest if the name is taken."""
    await _found(tx, "project", project_id)
    name = columns.get("name")
    if name and await tx.fetch("SELECT 1 FROM project WHERE name = $1 AND id <> $2", (name, project_id)):
        raise BadRequest("Uniqueness violation.")
    for column in ("name", "description"):
        if column in columns:
            await tx.execute(
                f"UPDATE project SET {column} = $2, updated = $3 WHERE id = $1", (project_id, columns[column], now)
            )


async def add_tasks(tx: Transaction, flow_id: str, tasks: Sequence[Mapping[str, Any]], now: int) -> None:
    """Give a flow more tasks; those that it has already stay as they are. Raises NotFound."""
    await _found(tx, "flow", flow_id)
    known = {row[0] for row in await tx.fetch("SELECT slug FROM task WHERE flow_id = $1", (flow_id,))}
    new = {task["slug"]: task for task in tasks if task["slug"] not in known}
    await save_tasks(tx, flow_id, list(new.values()), now)


async def add_edges(tx: Transaction, flow_id: str, edges: Sequence[Mapping[str, Any]]) -> None:
    """Give a flow more edges, but for those it has, and its tasks their places.

    Raises NotFound, and BadRequest for an end that is not there.
    """
    await _found(tx, "flow", flow_id)
    task_ids: dict[str, str] = dict(await tx.fetch("SELECT slug, id FROM task WHERE flow_id = $1", (flow_id,)))
    if any(edge[end] not in task_ids for edge in edges for end in ("upstream", "downstream")):
        raise BadRequest("Edges could not be registered - some edges reference tasks that do not exist within this flow.")
    known = {tuple(row) for row in await tx.fetch(EDGES, (flow_id,))}
    new = {(edge["upstream"], edge["downstream"], edge["key"], int(edge["mapped"])): edge for edge in edges}
    await save_edges(tx, flow_id, [edge for ends, edge in new.items() if ends not in known], task_ids)
    tasks: list[dict[str, Any]] = [{"slug": slug} for slug in task_ids]
    place(tasks, [{"upstream": up, "downstream": down, "mapped": bool(mapped)} for up, down, _, mapped in {*known, *new}])
    places = ("mapped", "is_root_task", "is_terminal_task", "is_reference_task")
    rows = [(task_ids[task["slug"]], *(int(task[name]) for name in places)) for task in tasks]
    await tx.executemany(_PLACED, rows)


async def archive(tx: Transaction, flow_id: str, now: int) -> list[str]:
    """Archive a flow, switch its schedule off and forget the runs that it made; the ids of other runs that wait."""
    await _found(tx, "flow", flow_id)
    await tx.execute("UPDATE flow SET archived = 1, updated = $2 WHERE id = $1", (flow_id, now))
    await set_schedule_active(tx, flow_id, now, is_active=False)
    rows = await tx.fetch("SELECT id FROM flow_run WHERE flow_id = $1 AND state IN ('Scheduled', 'Queued')", (flow_id,))
    return [row[0] for row in rows]


async def set_schedule_active(tx: Transaction, flow_id: str, now: int, *, is_active: bool) -> None:
    """Switch a flow's schedule on or off; off, the runs that it made and that have not begun are forgotten."""
    await _found(tx, "flow", flow_id)
    await tx.execute("UPDATE flow SET is_schedule_active = $2, updated = $3 WHERE id = $1", (flow_id, int(is_active), now))
    if not is_active:
        await forget_scheduled(tx, "flow_id = $1", flow_id)
    tx.announce(Hint(0, 0, [], flow_ids=[flow_id]))


async def set_group_schedule(tx: Transaction, group_id: str, now: int, schedule: dict[str, Any] | None) -> list[str]:
    """Set the schedule of a group, and forget what was made for the one before; the ids of the flows it counts for."""
    await set_group(tx, group_id, now, schedule=schedule)
    await forget_scheduled(tx, IN_GROUP, group_id)
    sql = "SELECT id FROM flow WHERE flow_group_id = $1 AND archived = 0"
    flow_ids = [row[0] for row in await tx.fetch(sql, (group_id,))]
    if flow_ids:
        tx.announce(Hint(0, 0, [], flow_ids=flow_ids))
    return flow_ids


async def move_flow(tx: Transaction, flow_id: str, project_id: str, now: int) -> None:
    """Put all versions of a flow into another project. Raises NotFound."""
    await _found(tx, "flow", flow_id)
    await _found(tx, "project", project_id)
    await tx.execute(
        "UPDATE flow SET project_id = $2, updated = $3 WHERE flow_group_id = (SELECT flow_group_id FROM flow WHERE id = $1)",
        (flow_id, project_id, now),
    )


async def set_group(tx: Transaction, group_id: str, now: int, **columns: Any) -> None:
    """Set columns of a flow group; values are JSON but for the description. Raises NotFound."""
    await _found(tx, "flow_group", group_id)
    for column, value in columns.items():
        assert column in _GROUP_COLUMNS, column
        text = value if column == "description" or value is None else msgspec.json.encode(value).decode()
        await tx.execute(f"UPDATE flow_group SET {column} = $2, updated = $3 WHERE id = $1", (group_id, text, now))


async def set_setting(tx: Transaction, flow_id: str, now: int, **settings: bool) -> None:
    """Set settings of the group that a flow belongs to. Raises NotFound."""
    rows = await tx.fetch(
        "SELECT g.id, g.settings FROM flow_group g JOIN flow f ON f.flow_group_id = g.id WHERE f.id = $1", (flow_id,)
    )
    if not rows:
        raise NotFound(f"Flow {flow_id} not found")
    group_id, text = rows[0]
    await set_group(tx, group_id, now, settings=msgspec.json.decode(text) | settings)


async def set_run(tx: Transaction, table: str, run_id: str, now: int, **columns: Any) -> None:
    """Set the name of a flow run or task run, or the labels of a flow run. Raises NotFound."""
    await _found(tx, table, run_id)
    for column, value in columns.items():
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        await tx.execute(f"UPDATE {table} SET {column} = $2, updated = $3 WHERE id = $1", (run_id, text, now))


#: Tables that have flow runs below them.
_WITH_RUNS = frozenset({"project", "flow_group", "flow", "flow_run"})


async def delete(tx: Transaction, table: str, row_id: str) -> None:
    """Delete a project, flow group, flow, flow run, agent or agent config, with all that belongs to it. Raises NotFound."""
    await _found(tx, table, row_id)
    if table == "project":
        await tx.execute(
            "DELETE FROM flow_group WHERE id IN (SELECT flow_group_id FROM flow WHERE project_id = $1)", (row_id,)
        )
    await tx.execute(f"DELETE FROM {table} WHERE id = $1", (row_id,))
    if table in _WITH_RUNS:
        await tell_of_deletion(tx)


async def _found(tx: Transaction, table: str, row_id: str) -> None:
    if not await tx.fetch(f"SELECT 1 FROM {table} WHERE id = $1", (row_id,)):
        name = table.replace("_", " ").capitalize()
        raise NotFound(f"{name} {row_id} not found")
