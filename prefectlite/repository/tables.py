"""What can be read: the tables, their columns and how they hang together.

One description serves the query compiler, the GraphQL types and the tests. Columns that only the engine reads
(`owner`, `lease_epoch`, `digest`) are not here.
"""

from __future__ import annotations

from enum import Enum

import msgspec


class Kind(Enum):
    """What a column holds, which decides how it is compared and how it is written as JSON."""

    ID = "id"  # a UUID
    TEXT = "text"
    PROSE = "prose"  # text whose words are indexed
    INT = "int"
    BOOL = "bool"
    TIME = "time"  # microseconds since 1970 in the table, ISO 8601 outside
    DURATION = "duration"  # microseconds in the table, HH:MM:SS outside
    JSON = "json"


class Relation(msgspec.Struct, frozen=True):
    """Rows of `table` whose column `remote` equals this table's column `local`."""

    table: str
    local: str
    remote: str
    many: bool


class Table(msgspec.Struct, frozen=True):
    """A table as queries see it."""

    name: str
    columns: dict[str, Kind]
    relations: dict[str, Relation]
    key: str = "id"


def _one(table: str, local: str) -> Relation:
    return Relation(table, local, "id", many=False)


def _many(table: str, remote: str) -> Relation:
    return Relation(table, "id", remote, many=True)


_STAMPS = {"created": Kind.TIME, "updated": Kind.TIME}
_STATE = {
    "version": Kind.INT,
    "state": Kind.TEXT,
    "state_timestamp": Kind.TIME,
    "state_message": Kind.TEXT,
    "state_start_time": Kind.TIME,
    "state_details": Kind.JSON,
    "start_time": Kind.TIME,
    "end_time": Kind.TIME,
}
_HISTORY = {
    "seq": Kind.INT,
    "id": Kind.ID,
    "version": Kind.INT,
    "timestamp": Kind.TIME,
    "state": Kind.TEXT,
    "message": Kind.TEXT,
    "start_time": Kind.TIME,
    "details": Kind.JSON,
}

_ALL = [
    Table(
        "project",
        {
            "id": Kind.ID,
            "name": Kind.TEXT,
            "description": Kind.TEXT,
            "retention_days": Kind.INT,
            "log_retention_days": Kind.INT,
            **_STAMPS,
        },
        {"flows": _many("flow", "project_id")},
    ),
    Table(
        "flow_group",
        {
            "id": Kind.ID,
            "name": Kind.TEXT,
            "description": Kind.TEXT,
            "labels": Kind.JSON,
            "schedule": Kind.JSON,
            "run_config": Kind.JSON,
            "settings": Kind.JSON,
            "default_parameters": Kind.JSON,
            **_STAMPS,
        },
        {"flows": _many("flow", "version_group_id"), "cloud_hooks": _many("cloud_hook", "version_group_id")},
    ),
    Table(
        "flow",
        {
            "id": Kind.ID,
            "project_id": Kind.ID,
            "name": Kind.TEXT,
            "version": Kind.INT,
            "version_group_id": Kind.ID,
            "description": Kind.TEXT,
            "archived": Kind.BOOL,
            "parameters": Kind.JSON,
            "storage": Kind.JSON,
            "serialized_flow": Kind.JSON,
            "core_version": Kind.TEXT,
            **_STAMPS,
        },
        {
            "project": _one("project", "project_id"),
            "flow_group": _one("flow_group", "version_group_id"),
            "tasks": _many("task", "flow_id"),
            "edges": _many("edge", "flow_id"),
            "flow_runs": _many("flow_run", "flow_id"),
        },
    ),
    Table(
        "task",
        {
            "id": Kind.ID,
            "flow_id": Kind.ID,
            "slug": Kind.TEXT,
            "name": Kind.TEXT,
            "type": Kind.TEXT,
            "mapped": Kind.BOOL,
            "max_retries": Kind.INT,
            "retry_delay": Kind.DURATION,
            "timeout": Kind.DURATION,
            "trigger_name": Kind.TEXT,
            "is_root_task": Kind.BOOL,
            "is_terminal_task": Kind.BOOL,
            "is_reference_task": Kind.BOOL,
            "tags": Kind.JSON,
            **_STAMPS,
        },
        {
            "flow": _one("flow", "flow_id"),
            "task_runs": _many("task_run", "task_id"),
            "upstream_edges": _many("edge", "downstream_task_id"),
            "downstream_edges": _many("edge", "upstream_task_id"),
        },
    ),
    Table(
        "edge",
        {
            "id": Kind.ID,
            "flow_id": Kind.ID,
            "upstream_task_id": Kind.ID,
            "downstream_task_id": Kind.ID,
            "key": Kind.TEXT,
            "mapped": Kind.BOOL,
        },
        {
            "flow": _one("flow", "flow_id"),
            "upstream_task": _one("task", "upstream_task_id"),
            "downstream_task": _one("task", "downstream_task_id"),
        },
    ),
    Table(
        "flow_run",
        {
            "id": Kind.ID,
            "flow_id": Kind.ID,
            "name": Kind.TEXT,
            "parameters": Kind.JSON,
            "context": Kind.JSON,
            "labels": Kind.JSON,
            "scheduled_start_time": Kind.TIME,
            "auto_scheduled": Kind.BOOL,
            "idempotency_key": Kind.TEXT,
            "agent_id": Kind.ID,
            **_STATE,
            **_STAMPS,
        },
        {
            "flow": _one("flow", "flow_id"),
            "agent": _one("agent", "agent_id"),
            "task_runs": _many("task_run", "flow_run_id"),
            "states": _many("flow_run_state", "flow_run_id"),
            "logs": _many("log", "flow_run_id"),
        },
    ),
    Table(
        "task_run",
        {
            "id": Kind.ID,
            "flow_run_id": Kind.ID,
            "task_id": Kind.ID,
            "map_index": Kind.INT,
            "name": Kind.TEXT,
            **_STATE,
            **_STAMPS,
        },
        {
            "flow_run": _one("flow_run", "flow_run_id"),
            "task": _one("task", "task_id"),
            "artifacts": _many("task_run_artifact", "task_run_id"),
            "states": _many("task_run_state", "task_run_id"),
            "logs": _many("log", "task_run_id"),
        },
    ),
    Table(
        "flow_run_state",
        {**_HISTORY, "flow_run_id": Kind.ID},
        {"flow_run": _one("flow_run", "flow_run_id")},
        key="seq",
    ),
    Table(
        "task_run_state",
        {**_HISTORY, "task_run_id": Kind.ID},
        {"task_run": _one("task_run", "task_run_id")},
        key="seq",
    ),
    Table(
        "log",
        {
            "seq": Kind.INT,
            "id": Kind.ID,
            "flow_run_id": Kind.ID,
            "task_run_id": Kind.ID,
            "timestamp": Kind.TIME,
            "level": Kind.TEXT,
            "name": Kind.TEXT,
            "message": Kind.PROSE,
        },
        {"flow_run": _one("flow_run", "flow_run_id"), "task_run": _one("task_run", "task_run_id")},
        key="seq",
    ),
    Table(
        "task_run_artifact",
        {"id": Kind.ID, "task_run_id": Kind.ID, "kind": Kind.TEXT, "data": Kind.JSON, **_STAMPS},
        {"task_run": _one("task_run", "task_run_id")},
    ),
    Table(
        "agent",
        {
            "id": Kind.ID,
            "agent_config_id": Kind.ID,
            "name": Kind.TEXT,
            "type": Kind.TEXT,
            "core_version": Kind.TEXT,
            "labels": Kind.JSON,
            "last_queried": Kind.TIME,
            **_STAMPS,
        },
        {"agent_config": _one("agent_config", "agent_config_id"), "flow_runs": _many("flow_run", "agent_id")},
    ),
    Table(
        "agent_config",
        {"id": Kind.ID, "name": Kind.TEXT, "settings": Kind.JSON, **_STAMPS},
        {"agents": _many("agent", "agent_config_id")},
    ),
    Table("key_value", {"id": Kind.ID, "key": Kind.TEXT, "value": Kind.JSON, **_STAMPS}, {}),
    Table("concurrency_limit", {"id": Kind.ID, "kind": Kind.TEXT, "name": Kind.TEXT, "slots": Kind.INT, **_STAMPS}, {}),
    Table(
        "cloud_hook",
        {
            "id": Kind.ID,
            "version_group_id": Kind.ID,
            "name": Kind.TEXT,
            "type": Kind.TEXT,
            "states": Kind.JSON,
            "config": Kind.JSON,
            "active": Kind.BOOL,
            **_STAMPS,
        },
        {"flow_group": _one("flow_group", "version_group_id")},
    ),
]

#: Every table that queries can read, by name.
TABLES: dict[str, Table] = {table.name: table for table in _ALL}
