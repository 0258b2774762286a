"""What was there before a change, for the audit log: names, settings, schedules, limits; nothing that may be secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from prefectlite.repository.database import Database
from prefectlite.repository.table import Kind
from prefectlite.repository.tables import TABLES


class _Earlier(NamedTuple):
    """The columns of a table that a mutation changes, and which of its inputs say in which row; of names one is given."""

    table: str
    given: str
    columns: tuple[str, ...]
    where: str = "id = $1"
    or_given: str = ""
    seconds: bool = False  # whether the row is one of several by `seconds`


_USE = ("slots", "seconds")
_GROUP_OF_FLOW = "id = (SELECT flow_group_id FROM flow WHERE id = $1)"
#: Mutation -> what it changes; of what is deleted, what it was called.
_CHANGED: dict[str, _Earlier] = {
    "set_project_name": _Earlier("project", "project_id", ("name",)),
    "set_project_description": _Earlier("project", "project_id", ("description",)),
    "set_project_retention": _Earlier("project", "project_id", ("retention_days", "log_retention_days")),
    "delete_project": _Earlier("project", "project_id", ("name",)),
    "update_flow_project": _Earlier("flow", "flow_id", ("project_id",)),
    "archive_flow": _Earlier("flow", "flow_id", ("archived",)),
    "delete_flow": _Earlier("flow", "flow_id", ("name", "version")),
    **dict.fromkeys(("set_schedule_active", "set_schedule_inactive"), _Earlier("flow", "flow_id", ("is_schedule_active",))),
    **dict.fromkeys(
        (
            *("enable_flow_heartbeat", "disable_flow_heartbeat"),
            *("enable_flow_lazarus_process", "disable_flow_lazarus_process"),
        ),
        _Earlier("flow_group", "flow_id", ("settings",), _GROUP_OF_FLOW),
    ),
    "set_flow_group_description": _Earlier("flow_group", "flow_group_id", ("description",)),
    "set_flow_group_labels": _Earlier("flow_group", "flow_group_id", ("labels",)),
    "set_flow_group_run_config": _Earlier("flow_group", "flow_group_id", ("run_config",)),
    "set_flow_group_default_parameters": _Earlier("flow_group", "flow_group_id", ("default_parameters",)),
    **dict.fromkeys(
        ("set_flow_group_schedule", "delete_flow_group_schedule"), _Earlier("flow_group", "flow_group_id", ("schedule",))
    ),
    "delete_flow_group": _Earlier("flow_group", "flow_group_id", ("name",)),
    "set_flow_run_name": _Earlier("flow_run", "flow_run_id", ("name",)),
    "set_flow_run_labels": _Earlier("flow_run", "flow_run_id", ("labels",)),
    "delete_flow_run": _Earlier("flow_run", "flow_run_id", ("name", "state")),
    "set_task_run_name": _Earlier("task_run", "task_run_id", ("name",)),
    "update_task_tag_limit": _Earlier("task_tag_limit", "tag", _USE, "tag = $1 AND seconds = $2", seconds=True),
    "delete_task_tag_limit": _Earlier("task_tag_limit", "limit_id", ("tag", *_USE)),
    "update_flow_concurrency_limit": _Earlier(
        "flow_concurrency_limit", "label", _USE, "name = $1 AND seconds = $2", or_given="name", seconds=True
    ),
    "delete_flow_concurrency_limit": _Earlier("flow_concurrency_limit", "limit_id", ("name", *_USE)),
    **dict.fromkeys(
        ("set_cloud_hook_active", "set_cloud_hook_inactive"), _Earlier("cloud_hook", "cloud_hook_id", ("active",))
    ),
    "delete_cloud_hook": _Earlier("cloud_hook", "cloud_hook_id", ("name", "type", "states")),
    "update_automation": _Earlier(
        "automation", "automation_id", ("name", "event", "states", "seconds", "action", "is_active")
    ),
    "delete_automation": _Earlier("automation", "automation_id", ("name",)),
    "delete_agent": _Earlier("agent", "agent_id", ("name",)),
    **dict.fromkeys(("update_agent_config", "delete_agent_config"), _Earlier("agent_config", "agent_config_id", ("name",))),
}
#: What the API calls a column where that is another word.
_CALLED = {"slots": "limit"}


async def earlier_values(database: Database, mutation: str, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a mutation is about to change, by column; None where nothing is known of it, or nothing is there."""
    changed = _CHANGED.get(mutation)
    if changed is None:
        return None
    key = given.get(changed.given) or given.get(changed.or_given)
    if key is None:
        return None
    sql = f"SELECT {', '.join(changed.columns)} FROM {changed.table} WHERE {changed.where}"
    parameters = (key, given.get("seconds") or 0) if changed.seconds else (key,)
    rows = await database.read(sql, parameters)
    if not rows:
        return None
    kinds = TABLES[changed.table].columns
    return {
        _CALLED.get(name, name): _plain(value, kinds.get(name)) for name, value in zip(changed.columns, rows[0], strict=True)
    }


def _plain(value: Any, kind: Kind | None) -> Any:
    if value is None:
        return None
    if kind is Kind.JSON:
        return msgspec.json.decode(value) if isinstance(value, str | bytes) else value
    return bool(value) if kind is Kind.BOOL else value
