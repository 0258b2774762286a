"""What can be read: the tables, their columns and how they hang together.

One description serves the query compiler, the GraphQL types and the tests. Columns that only the engine reads
(`owner`, `lease_epoch`, `digest`, `late_version`) are not here.
"""

from __future__ import annotations

from prefectlite.repository.access_tables import ACCESS_TABLES
from prefectlite.repository.hook_tables import HOOK_TABLES
from prefectlite.repository.table import Kind, Table, many, one

_STAMPS = {"created": Kind.TIME, "updated": Kind.TIME}
_OF_TENANT = {"tenant_id": Kind.ID}
_TENANT = {"tenant": one("tenant", "tenant_id")}
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
_AS_CLIENTS_SAY = {"serialized_state": Kind.JSON, "state_result": Kind.JSON, **_OF_TENANT}
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
_HISTORY_AS_CLIENTS_SAY = {
    "serialized_state": Kind.JSON,
    "result": Kind.JSON,
    "created": Kind.TIME,
    "updated": Kind.TIME,
    **_OF_TENANT,
}
_USE = {"limit": Kind.INT, "used": Kind.INT}

_ALL = [
    Table(
        "tenant",
        {"id": Kind.ID, "name": Kind.TEXT, "slug": Kind.TEXT, "info": Kind.JSON, "settings": Kind.JSON, **_STAMPS},
        {},
    ),
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
        {"flows": many("flow", "project_id"), **_TENANT},
        computed=_OF_TENANT,
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
        {"flows": many("flow", "flow_group_id"), "cloud_hooks": many("cloud_hook", "flow_group_id")},
        computed=_OF_TENANT,
    ),
    Table(
        "flow",
        {
            "id": Kind.ID,
            "project_id": Kind.ID,
            "name": Kind.TEXT,
            "version": Kind.INT,
            "flow_group_id": Kind.ID,
            "version_group_id": Kind.TEXT,
            "description": Kind.TEXT,
            "archived": Kind.BOOL,
            "parameters": Kind.JSON,
            "environment": Kind.JSON,
            "run_config": Kind.JSON,
            "schedule": Kind.JSON,
            "is_schedule_active": Kind.BOOL,
            "storage": Kind.JSON,
            "serialized_flow": Kind.JSON,
            "core_version": Kind.TEXT,
            "runtime": Kind.TEXT,
            **_STAMPS,
        },
        {
            "project": one("project", "project_id"),
            "flow_group": one("flow_group", "flow_group_id"),
            "tasks": many("task", "flow_id"),
            "edges": many("edge", "flow_id"),
            "flow_runs": many("flow_run", "flow_id"),
            **_TENANT,
        },
        computed={"settings": Kind.JSON, **_OF_TENANT},
    ),
    Table(
        "task",
        {
            "id": Kind.ID,
            "flow_id": Kind.ID,
            "slug": Kind.TEXT,
            "name": Kind.TEXT,
            "description": Kind.TEXT,
            "type": Kind.TEXT,
            "mapped": Kind.BOOL,
            "auto_generated": Kind.BOOL,
            "max_retries": Kind.INT,
            "retry_delay": Kind.DURATION,
            "timeout": Kind.DURATION,
            "trigger_name": Kind.TEXT,
            "cache_key": Kind.TEXT,
            "is_root_task": Kind.BOOL,
            "is_terminal_task": Kind.BOOL,
            "is_reference_task": Kind.BOOL,
            "tags": Kind.JSON,
            **_STAMPS,
        },
        {
            "flow": one("flow", "flow_id"),
            "task_runs": many("task_run", "task_id"),
            "upstream_edges": many("edge", "downstream_task_id"),
            "downstream_edges": many("edge", "upstream_task_id"),
        },
        computed={"trigger": Kind.TEXT, **_OF_TENANT},
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
            "flow": one("flow", "flow_id"),
            "upstream_task": one("task", "upstream_task_id"),
            "downstream_task": one("task", "downstream_task_id"),
        },
        computed={**_STAMPS, **_OF_TENANT},
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
            "run_config": Kind.JSON,
            "scheduled_start_time": Kind.TIME,
            "auto_scheduled": Kind.BOOL,
            "idempotency_key": Kind.TEXT,
            "agent_id": Kind.ID,
            "heartbeat": Kind.TIME,
            "times_resurrected": Kind.INT,
            **_STATE,
            **_STAMPS,
        },
        {
            "flow": one("flow", "flow_id"),
            "agent": one("agent", "agent_id"),
            "task_runs": many("task_run", "flow_run_id"),
            "states": many("flow_run_state", "flow_run_id"),
            "logs": many("log", "flow_run_id"),
            "hook_deliveries": many("hook_delivery", "flow_run_id"),
            "automation_firings": many("automation_firing", "flow_run_id"),
            **_TENANT,
        },
        computed={"is_late": Kind.BOOL, **_AS_CLIENTS_SAY},
    ),
    Table(
        "task_run",
        {
            "id": Kind.ID,
            "flow_run_id": Kind.ID,
            "task_id": Kind.ID,
            "map_index": Kind.INT,
            "name": Kind.TEXT,
            "cache_key": Kind.TEXT,
            **_STATE,
            **_STAMPS,
        },
        {
            "flow_run": one("flow_run", "flow_run_id"),
            "task": one("task", "task_id"),
            "artifacts": many("task_run_artifact", "task_run_id"),
            "states": many("task_run_state", "task_run_id"),
            "logs": many("log", "task_run_id"),
            **_TENANT,
        },
        computed={"heartbeat": Kind.TIME, **_AS_CLIENTS_SAY},
    ),
    Table(
        "flow_run_state",
        {**_HISTORY, "flow_run_id": Kind.ID},
        {"flow_run": one("flow_run", "flow_run_id")},
        key="seq",
        computed=_HISTORY_AS_CLIENTS_SAY,
    ),
    Table(
        "task_run_state",
        {**_HISTORY, "task_run_id": Kind.ID},
        {"task_run": one("task_run", "task_run_id")},
        key="seq",
        computed=_HISTORY_AS_CLIENTS_SAY,
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
        {"flow_run": one("flow_run", "flow_run_id"), "task_run": one("task_run", "task_run_id")},
        key="seq",
        computed={"info": Kind.JSON, "is_loaded_from_archive": Kind.BOOL, **_STAMPS, **_OF_TENANT},
    ),
    Table(
        "task_run_artifact",
        {"id": Kind.ID, "task_run_id": Kind.ID, "kind": Kind.TEXT, "data": Kind.JSON, **_STAMPS},
        {"task_run": one("task_run", "task_run_id")},
        computed=_OF_TENANT,
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
        {"agent_config": one("agent_config", "agent_config_id"), "flow_runs": many("flow_run", "agent_id")},
        computed=_OF_TENANT,
    ),
    Table(
        "agent_config",
        {"id": Kind.ID, "name": Kind.TEXT, "settings": Kind.JSON, **_STAMPS},
        {"agents": many("agent", "agent_config_id")},
        computed=_OF_TENANT,
    ),
    Table("key_value", {"id": Kind.ID, "key": Kind.TEXT, "value": Kind.JSON, **_STAMPS}, {}),
    Table("task_tag_limit", {"id": Kind.ID, "tag": Kind.TEXT, "seconds": Kind.INT, **_STAMPS}, {}, computed=_USE),
    Table("flow_concurrency_limit", {"id": Kind.ID, "name": Kind.TEXT, "seconds": Kind.INT, **_STAMPS}, {}, computed=_USE),
    *HOOK_TABLES,
]

#: Every table that queries can read, by name.
TABLES: dict[str, Table] = {table.name: table for table in (*_ALL, *ACCESS_TABLES)}
#: What is reached from tasks along the edges of their flow; the rows are made by `traversal`.
TRAVERSAL = Table(
    "utility_traversal",
    {"task_id": Kind.ID, "depth": Kind.INT},
    {"task": one("task", "task_id")},
    key="task_id",
    computed=_OF_TENANT,
)
#: Every kind of rows that queries can read.
READABLE = {**TABLES, TRAVERSAL.name: TRAVERSAL}
