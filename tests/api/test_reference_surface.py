"""What clients and pages of Prefect's server ask for by name is all there: roots, columns, relations, types, mutations."""

from __future__ import annotations

import pytest
from graphql import GraphQLEnumType, GraphQLInputObjectType, GraphQLObjectType, GraphQLScalarType

from prefectlite.api.schema import SCHEMA

_COMMON = ("id", "created", "updated", "tenant_id")
_STATE = (
    *("version", "start_time", "end_time", "heartbeat", "state", "state_timestamp", "state_message", "state_result"),
    *("state_start_time", "serialized_state"),
)
_OF_STATE = ("timestamp", "state", "message", "result", "start_time", "serialized_state", "version")
_ROUTE = ("labels", "schedule", "settings", "run_config")
#: Table -> its columns beside the common ones, its relations to one row, and those to many.
TABLES: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "tenant": (("name", "slug", "info", "settings"), (), ()),
    "project": (("name", "description"), ("tenant",), ("flows",)),
    "flow_group": (("name", "description", *_ROUTE, "default_parameters"), (), ("flows",)),
    "flow": (
        (
            *("name", "version", "version_group_id", "flow_group_id", "project_id", "archived", "description"),
            *("environment", "run_config", "storage", "parameters", "core_version", "serialized_flow", "settings"),
            *("schedule", "is_schedule_active"),
        ),
        ("project", "tenant", "flow_group"),
        ("tasks", "edges", "flow_runs"),
    ),
    "task": (
        (
            *("flow_id", "name", "slug", "description", "type", "max_retries", "retry_delay", "trigger", "mapped"),
            *("auto_generated", "cache_key", "is_root_task", "is_terminal_task", "is_reference_task", "tags"),
        ),
        ("flow",),
        ("task_runs", "upstream_edges", "downstream_edges"),
    ),
    "edge": (
        ("flow_id", "upstream_task_id", "downstream_task_id", "key", "mapped"),
        ("flow", "upstream_task", "downstream_task"),
        (),
    ),
    "flow_run": (
        (
            *("flow_id", "name", "parameters", "labels", "run_config", "context", "scheduled_start_time"),
            *("auto_scheduled", "times_resurrected", "idempotency_key", "agent_id", *_STATE),
        ),
        ("flow", "tenant", "agent"),
        ("task_runs", "states", "logs"),
    ),
    "task_run": (
        ("flow_run_id", "task_id", "map_index", "name", "cache_key", *_STATE),
        ("task", "flow_run", "tenant"),
        ("states", "logs"),
    ),
    "flow_run_state": (("flow_run_id", *_OF_STATE), ("flow_run",), ()),
    "task_run_state": (("task_run_id", *_OF_STATE), ("task_run",), ()),
    "log": (
        ("flow_run_id", "task_run_id", "timestamp", "name", "level", "message", "info", "is_loaded_from_archive"),
        (),
        (),
    ),
    "cloud_hook": (("version_group_id", "states", "type", "name", "config", "active"), (), ()),
    "message": (("read", "type", "text", "content"), (), ()),
    "agent_config": (("name", "settings"), (), ("agents",)),
    "agent": (
        ("agent_config_id", "name", "type", "core_version", "labels", "last_queried"),
        ("agent_config",),
        ("flow_runs",),
    ),
    "task_run_artifact": (("task_run_id", "kind", "data"), ("task_run",), ()),
    "utility_traversal": (("task_id", "depth"), ("task",), ()),
}
BY_PK = ("flow", "flow_group", "flow_run", "task", "task_run", "project", "tenant")
FUNCTIONS = ("utility_downstream_tasks", "utility_upstream_tasks")
ARGUMENTS = {"where", "order_by", "limit", "offset", "distinct_on"}
#: As they are declared in operations.
INPUTS = (
    *(f"{name}_bool_exp" for name in ("flow", "flow_run_state", "task_run", "task_run_state", "message")),
    *(f"{name}_order_by" for name in ("flow", "flow_run", "task", "task_run", "task_run_state", "flow_run_state")),
    *("project_order_by", "message_order_by", "timestamptz_comparison_exp"),
)
SCALARS = ("UUID", "DateTime", "JSON", "uuid", "timestamptz", "jsonb", "interval", "_uuid", "String", "Int")
DIRECTIONS = {"asc", "desc", "asc_nulls_first", "asc_nulls_last", "desc_nulls_first", "desc_nulls_last"}
QUERIES = {
    "hello": (),
    "api": ("backend", "mode", "version", "core_version", "release_timestamp"),
    "reference_data": ("state_hierarchy", "state_info"),
    "get_task_run_info": ("id", "version", "state", "serialized_state"),
    "mapped_children": ("min_start_time", "max_end_time", "state_counts"),
}
_ID = ("id",)
_DONE = ("success", "error")
_FLOW_ID, _GROUP_ID = ("flow_id",), ("flow_group_id",)
_REGISTRATION = ("project_id", "version_group_id", "set_schedule_active", "description", "idempotency_key")
_PLACE = ("flow_run_id", "task_id", "map_index")
#: Mutation -> what its input takes, and what its output gives.
MUTATIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "create_tenant": (("name", "slug"), _ID),
    "create_project": (("tenant_id", "name", "description"), _ID),
    "delete_project": (("project_id",), _DONE),
    "set_project_name": (("project_id", "name"), _ID),
    "set_project_description": (("project_id", "description"), _ID),
    "create_flow": (("serialized_flow", *_REGISTRATION), _ID),
    "create_flow_from_compressed_string": (("serialized_flow", *_REGISTRATION), _ID),
    "register_tasks": (("flow_id", "serialized_tasks"), _DONE),
    "register_edges": (("flow_id", "serialized_edges"), _DONE),
    "archive_flow": (_FLOW_ID, _DONE),
    "delete_flow": (_FLOW_ID, _DONE),
    "update_flow_project": (("flow_id", "project_id"), _ID),
    **dict.fromkeys(("enable_flow_heartbeat", "disable_flow_heartbeat"), (_FLOW_ID, _DONE)),
    **dict.fromkeys(("enable_flow_lazarus_process", "disable_flow_lazarus_process"), (_FLOW_ID, _DONE)),
    "delete_flow_group": (_GROUP_ID, _DONE),
    "set_flow_group_description": ((*_GROUP_ID, "description"), _DONE),
    "set_flow_group_labels": ((*_GROUP_ID, "labels"), _DONE),
    "set_flow_group_run_config": ((*_GROUP_ID, "run_config"), _DONE),
    "set_flow_group_default_parameters": ((*_GROUP_ID, "parameters"), _DONE),
    "set_flow_group_schedule": ((*_GROUP_ID, "cron_clocks", "interval_clocks", "timezone"), _DONE),
    "delete_flow_group_schedule": (_GROUP_ID, _DONE),
    **dict.fromkeys(("set_schedule_active", "set_schedule_inactive"), (_FLOW_ID, _DONE)),
    "create_flow_run": (
        (
            *("flow_id", "version_group_id", "parameters", "labels", "run_config", "context"),
            *("scheduled_start_time", "idempotency_key", "flow_run_name"),
        ),
        _ID,
    ),
    "set_flow_run_name": (("flow_run_id", "name"), _DONE),
    "set_task_run_name": (("task_run_id", "name"), _DONE),
    "set_flow_run_labels": (("flow_run_id", "labels"), _DONE),
    "delete_flow_run": (("flow_run_id",), _DONE),
    "get_or_create_task_run": (_PLACE, _ID),
    "get_or_create_task_run_info": (_PLACE, ("id", "version", "state", "serialized_state")),
    "update_flow_run_heartbeat": (("flow_run_id",), _DONE),
    "update_task_run_heartbeat": (("task_run_id",), _DONE),
    "get_runs_in_queue": (("tenant_id", "before", "labels"), ("flow_run_ids",)),
    "set_flow_run_states": (("states",), ("states",)),
    "set_task_run_states": (("states",), ("states",)),
    "cancel_flow_run": (("flow_run_id",), ("state",)),
    "write_run_logs": (("logs",), _DONE),
    "register_agent": (("tenant_id", "labels", "agent_config_id", "type", "name"), _ID),
    "delete_agent": (("agent_id",), _DONE),
    "create_agent_config": (("tenant_id", "name", "settings"), _ID),
    "update_agent_config": (("agent_config_id", "name", "settings"), _DONE),
    "delete_agent_config": (("agent_config_id",), _DONE),
    "create_task_run_artifact": (("task_run_id", "kind", "data", "tenant_id"), _ID),
    "update_task_run_artifact": (("task_run_artifact_id", "data"), _DONE),
    "delete_task_run_artifact": (("task_run_artifact_id",), _DONE),
    "create_cloud_hook": (("tenant_id", "type", "name", "version_group_id", "states", "config"), _ID),
    "test_cloud_hook": (("cloud_hook_id", "flow_run_id", "state_type"), _DONE),
    **dict.fromkeys(("delete_cloud_hook", "set_cloud_hook_active", "set_cloud_hook_inactive"), (("cloud_hook_id",), _DONE)),
    **dict.fromkeys(("mark_message_as_read", "mark_message_as_unread", "delete_message"), (("message_id",), _DONE)),
}


def fields(name: str) -> set[str]:
    found = SCHEMA.type_map[name]
    assert isinstance(found, GraphQLObjectType | GraphQLInputObjectType)
    return set(found.fields)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_columns_and_relations(name: str) -> None:
    columns, one, many = TABLES[name]
    common = ("tenant_id",) if name == "utility_traversal" else _COMMON[: 3 if name == "tenant" else 4]
    assert fields(name) >= {*common, *columns, *one, *many, *(f"{relation}_aggregate" for relation in many)}
    assert fields(f"{name}_bool_exp") >= {"_and", "_or", "_not", *common, *columns, *one, *many}
    assert fields(f"{name}_order_by") >= {*common, *columns, *one, *(f"{relation}_aggregate" for relation in many)}
    selected = SCHEMA.type_map[f"{name}_select_column"]
    assert isinstance(selected, GraphQLEnumType)
    assert set(selected.values) >= {*common, *columns}


@pytest.mark.parametrize("name", [*sorted(set(TABLES) - {"utility_traversal"}), *FUNCTIONS])
def test_roots(name: str) -> None:
    assert SCHEMA.query_type is not None
    roots = SCHEMA.query_type.fields
    more = {"args"} if name in FUNCTIONS else set()
    assert set(roots[name].args) == set(roots[f"{name}_aggregate"].args) == ARGUMENTS | more
    if name in BY_PK:
        assert set(roots[f"{name}_by_pk"].args) == {"id"}


def test_the_names_of_types() -> None:
    for name in INPUTS:
        assert isinstance(SCHEMA.type_map[name], GraphQLInputObjectType), name
    for name in SCALARS:
        assert isinstance(SCHEMA.type_map[name], GraphQLScalarType), name
    directions = SCHEMA.type_map["order_by"]
    assert isinstance(directions, GraphQLEnumType)
    assert set(directions.values) == DIRECTIONS


def test_the_other_queries() -> None:
    assert SCHEMA.query_type is not None
    for name, members in QUERIES.items():
        of = SCHEMA.query_type.fields[name].type
        assert not members or fields(str(of).rstrip("!")) >= set(members), name


@pytest.mark.parametrize("name", sorted(MUTATIONS))
def test_mutations(name: str) -> None:
    given, gives = MUTATIONS[name]
    assert SCHEMA.mutation_type is not None
    field = SCHEMA.mutation_type.fields[name]
    assert str(field.args["input"].type).rstrip("!") == f"{name}_input"
    assert fields(f"{name}_input") >= set(given)
    assert fields(str(field.type)) >= set(gives)
