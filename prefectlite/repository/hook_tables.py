"""What can be read of hooks and automations, of what came of them, and of messages."""

from __future__ import annotations

from prefectlite.repository.table import Kind, Table, many, one

_STAMPS = {"created": Kind.TIME, "updated": Kind.TIME}

HOOK_TABLES = [
    Table(
        "cloud_hook",
        {
            "id": Kind.ID,
            "flow_group_id": Kind.ID,
            "name": Kind.TEXT,
            "type": Kind.TEXT,
            "states": Kind.JSON,
            "config": Kind.JSON,
            "active": Kind.BOOL,
            **_STAMPS,
        },
        {"flow_group": one("flow_group", "flow_group_id"), "deliveries": many("hook_delivery", "cloud_hook_id")},
        computed={"version_group_id": Kind.TEXT, "tenant_id": Kind.ID},
    ),
    Table(
        "hook_delivery",
        {
            "id": Kind.ID,
            "cloud_hook_id": Kind.ID,
            "flow_run_id": Kind.ID,
            "seq": Kind.INT,
            "automation_id": Kind.ID,
            "status": Kind.TEXT,
            "attempts": Kind.INT,
            "last_error": Kind.TEXT,
            "next_attempt": Kind.TIME,
            **_STAMPS,
        },
        {
            "cloud_hook": one("cloud_hook", "cloud_hook_id"),
            "flow_run": one("flow_run", "flow_run_id"),
            "automation": one("automation", "automation_id"),
        },
    ),
    Table(
        "automation",
        {
            "id": Kind.ID,
            "name": Kind.TEXT,
            "flow_group_id": Kind.ID,
            "event": Kind.TEXT,
            "states": Kind.JSON,
            "seconds": Kind.INT,
            "action": Kind.TEXT,
            "cloud_hook_id": Kind.ID,
            "target_flow_group_id": Kind.ID,
            "parameters": Kind.JSON,
            "is_active": Kind.BOOL,
            **_STAMPS,
        },
        {
            "flow_group": one("flow_group", "flow_group_id"),
            "cloud_hook": one("cloud_hook", "cloud_hook_id"),
            "target_flow_group": one("flow_group", "target_flow_group_id"),
            "firings": many("automation_firing", "automation_id"),
        },
    ),
    Table(
        "automation_firing",
        {
            "id": Kind.ID,
            "automation_id": Kind.ID,
            "flow_run_id": Kind.ID,
            "seq": Kind.INT,
            "status": Kind.TEXT,
            "message": Kind.TEXT,
            **_STAMPS,
        },
        {"automation": one("automation", "automation_id"), "flow_run": one("flow_run", "flow_run_id")},
    ),
    Table(
        "message",
        {
            "id": Kind.ID,
            "read": Kind.BOOL,
            "type": Kind.TEXT,
            "text": Kind.TEXT,
            "content": Kind.JSON,
            **_STAMPS,
        },
        {},
        computed={"tenant_id": Kind.ID},
    ),
]
