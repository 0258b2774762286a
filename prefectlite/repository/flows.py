"""Projects, flows and their versions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from prefectlite.errors import BadRequest, NotFound
from prefectlite.ids import new_id
from prefectlite.live.hints import Hint
from prefectlite.records import FlowRow
from prefectlite.repository.database import Database, Row, Transaction
from prefectlite.repository.sequence import tell_of_deletion
from prefectlite.version import __version__

_FLOW = (
    "SELECT id, name, version, project_id, digest, storage, source, archived, runtime,"
    " schedule, is_schedule_active, run_config FROM flow"
)
_TASK = """
INSERT INTO task (id, flow_id, slug, name, description, type, mapped, auto_generated, max_retries, retry_delay, timeout,
    trigger_name, cache_key, is_root_task, is_terminal_task, is_reference_task, tags, created, updated)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $18)
"""
_EDGE = "INSERT INTO edge (id, flow_id, upstream_task_id, downstream_task_id, key, mapped) VALUES ($1, $2, $3, $4, $5, $6)"
#: The edges of the flow $1, its tasks by their slugs.
EDGES = """
SELECT u.slug, d.slug, e.key, e.mapped FROM edge e
JOIN task u ON u.id = e.upstream_task_id JOIN task d ON d.id = e.downstream_task_id WHERE e.flow_id = $1
"""
_NEW_GROUP = """
INSERT INTO flow_group (id, name, settings, default_parameters, created, updated) VALUES ($1, $2, '{}', '{}', $3, $3)
"""
_ARCHIVE = "UPDATE flow SET archived = 1, is_schedule_active = 0, updated = $2 WHERE flow_group_id = $1"
_NEW_FLOW = """
INSERT INTO flow (id, project_id, name, version, flow_group_id, version_group_id, description, parameters, environment,
    run_config, schedule, storage, serialized_flow, core_version, runtime, digest, source, is_schedule_active, created,
    updated)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $19)
"""


#: Runs of the versions of a flow, by their group.
IN_GROUP = "flow_id IN (SELECT id FROM flow WHERE flow_group_id = $1)"
#: What executes flows that were written for this package, and those written for Prefect 1.x.
OWN, FOREIGN = "prefectlite", "prefect"


class FlowVersion(msgspec.Struct, frozen=True):
    """A flow about to be written down: what it is (`serialized`), where its code is found (`storage`), and whose it is.

    `source` is where the code of a flow is that a script runs, which is no promise that it will be found there.
    `document` is what the client of another runtime sent, of which `serialized` was made. With `force` it is a new version
    even if nothing changed; `schedule_active` switches its schedule on or off, None as it is for the version before.
    """

    serialized: dict[str, Any]
    digest: str
    project_id: str | None = None
    storage: dict[str, Any] | None = None
    description: str | None = None
    version_group_id: str | None = None
    source: dict[str, Any] | None = None
    document: dict[str, Any] | None = None
    core_version: str = __version__
    runtime: str = OWN
    force: bool = False
    schedule_active: bool | None = None

    def runs_by_schedule(self, *, is_paused: bool) -> bool:
        """Whether its schedule is to be on, if that of the version before was switched off or not.

        Clients of another runtime switch it on themselves.
        """
        if not self.as_sent.get("schedule") or self.runtime != OWN or self.project_id is None:
            return False
        return not is_paused if self.schedule_active is None else self.schedule_active

    @property
    def as_sent(self) -> dict[str, Any]:
        """The flow as its client describes it."""
        return self.serialized if self.document is None else self.document


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
    if current is not None and not flow.force and _is_same(current, flow):
        return await _found_again(tx, current, flow)
    if flow.project_id is None and (same := await _unregistered(tx, flow.digest)):
        await tx.execute(
            "UPDATE flow SET archived = CASE WHEN id = $1 THEN 0 ELSE 1 END WHERE flow_group_id ="
            " (SELECT flow_group_id FROM flow WHERE id = $1)",
            (same[0],),
        )
        return await _found_again(tx, same, flow)
    flow_id, (version, *group) = new_id(), await _next_version(tx, flow, current, now)
    texts = (
        flow.description,
        _dumps(flow.serialized["parameters"]),
        *(_dumps(flow.as_sent.get(part)) for part in ("environment", "run_config", "schedule")),
        _dumps(flow.storage),
        _dumps(flow.as_sent),
        flow.core_version,
        flow.runtime,
        flow.digest,
        _dumps(flow.source),
        int(flow.runs_by_schedule(is_paused=_is_paused(current))),
    )
    await tx.execute(_NEW_FLOW, (flow_id, flow.project_id, name, version, *group, *texts, now))
    task_ids = await save_tasks(tx, flow_id, flow.serialized["tasks"], now)
    await save_edges(tx, flow_id, flow.serialized["edges"], task_ids)
    if flow.as_sent.get("schedule"):
        tx.announce(Hint(0, 0, [], flow_ids=[flow_id]))
    return FlowRow(flow_id, name, version, flow.project_id, flow.digest, flow.storage, task_ids, flow.source, is_new=True)


async def _next_version(tx: Transaction, flow: FlowVersion, current: Row | None, now: int) -> tuple[int, str, str]:
    """(version, id and name of its group) of a new version; those before it are archived."""
    if current is None:
        group_id = new_id()
        group = flow.version_group_id or group_id
        await tx.execute(_NEW_GROUP, (group_id, group, now))
        return 1, group_id, group
    ((version, group_id, group),) = await tx.fetch(
        "SELECT max(version) + 1, flow_group_id, version_group_id FROM flow WHERE flow_group_id ="
        " (SELECT flow_group_id FROM flow WHERE id = $1) GROUP BY flow_group_id, version_group_id",
        (current[0],),
    )
    await tx.execute(_ARCHIVE, (group_id, now))
    await forget_scheduled(tx, IN_GROUP, group_id)
    return version, group_id, group


async def forget_scheduled(tx: Transaction, which: str, value: str) -> None:
    """Delete runs that a schedule made and that have not begun.

    One that has begun before, and is to go on or to be done again, is Scheduled, too: it stays, with all that it has done.
    """
    untouched = "auto_scheduled = 1 AND state = 'Scheduled' AND lease_epoch = 0 AND start_time IS NULL"
    if await tx.fetch(f"DELETE FROM flow_run WHERE {which} AND {untouched} RETURNING id", (value,)):
        await tell_of_deletion(tx)


async def flow_by_id(database: Database, flow_id: str) -> FlowRow:
    """One version of a flow. Raises NotFound."""
    rows = await database.read(f"{_FLOW} WHERE id = $1", (flow_id,))
    if not rows:
        raise NotFound(f"Flow {flow_id} not found")
    tasks = await database.read("SELECT slug, id FROM task WHERE flow_id = $1", (flow_id,))
    return _row(rows[0], tasks)


async def structure(database: Database, flow: FlowRow) -> dict[str, Any]:
    """The tasks and edges of a flow as they were written down."""
    if flow.runtime == OWN:
        ((text,),) = await database.read("SELECT serialized_flow FROM flow WHERE id = $1", (flow.id,))
        serialized: dict[str, Any] = _loads(text)
        return serialized
    tasks = await database.read("SELECT slug, name FROM task WHERE flow_id = $1", (flow.id,))
    edges = await database.read(EDGES, (flow.id,))
    return {
        "tasks": [{"slug": slug, "name": name} for slug, name in tasks],
        # Whether the lists of a mapped edge are flattened is not known of all: as if they were.
        "edges": [
            {"upstream": up, "downstream": down, "mapped": mapped, "flattened": True} for up, down, _, mapped in edges
        ],
    }


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


def _is_paused(row: Row | None) -> bool:
    """Whether somebody has switched off the schedule of this version, which is the newest; the next one inherits that."""
    return row is not None and bool(row[9]) and not row[10] and not row[7]


def _is_same(row: Row, flow: FlowVersion) -> bool:
    digest, storage, is_archived, schedule, run_config = row[4], row[5], row[7], row[9], row[11]
    if digest != flow.digest or is_archived:
        return False
    if flow.runtime != OWN:  # what its client sends as the digest covers all
        return True
    around = (flow.storage, flow.as_sent.get("schedule"), flow.as_sent.get("run_config"))
    return [_loads(text) for text in (storage, schedule, run_config)] == [_loads(_dumps(part)) for part in around]


async def _found_again(tx: Transaction, row: Row, flow: FlowVersion) -> FlowRow:
    if flow.source is not None and _loads(row[6]) != flow.source:
        await tx.execute("UPDATE flow SET source = $2 WHERE id = $1", (row[0], _dumps(flow.source)))
    return _row(row, await tx.fetch("SELECT slug, id FROM task WHERE flow_id = $1", (row[0],)))


def _row(row: Row, tasks: list[Row]) -> FlowRow:
    flow_id, name, version, project_id, digest, storage, source, _, runtime, *_schedule = row
    return FlowRow(flow_id, name, version, project_id, digest, _loads(storage), dict(tasks), _loads(source), runtime)


async def save_tasks(tx: Transaction, flow_id: str, tasks: Sequence[Mapping[str, Any]], now: int) -> dict[str, str]:
    """Write down tasks of a flow; their ids, by slug."""
    task_ids = {task["slug"]: new_id() for task in tasks}
    rows = [
        (
            task_ids[task["slug"]],
            flow_id,
            task["slug"],
            task["name"],
            task.get("description"),
            task["type"],
            int(task["mapped"]),
            int(task.get("auto_generated", False)),
            task["max_retries"],
            task["retry_delay"],
            task["timeout"],
            task["trigger"],
            task.get("cache_key"),
            int(task["is_root_task"]),
            int(task["is_terminal_task"]),
            int(task["is_reference_task"]),
            _dumps(task["tags"]),
            now,
        )
        for task in tasks
    ]
    await tx.executemany(_TASK, rows)
    return task_ids


async def save_edges(tx: Transaction, flow_id: str, edges: Iterable[Mapping[str, Any]], task_ids: Mapping[str, str]) -> None:
    """Write down edges of a flow, whose tasks have these ids by slug."""
    ends = [
        (new_id(), flow_id, task_ids[e["upstream"]], task_ids[e["downstream"]], e["key"], int(e["mapped"])) for e in edges
    ]
    await tx.executemany(_EDGE, ends)


def _dumps(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _loads(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)
