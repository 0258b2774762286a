"""Roles: every root field, every role; and what a query reaches on its way."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from graphql import GraphQLObjectType, is_required_argument, print_type
from graphql.type import GraphQLArgument, GraphQLEnumType, GraphQLInputObjectType, GraphQLNonNull

from prefectlite import Runtime
from prefectlite.api.caller import Caller
from prefectlite.api.execution import Execution
from prefectlite.api.mutation import USERS, mutation
from prefectlite.api.permissions import FIELD_READERS, TABLE_READERS, check_declared, readers_of
from prefectlite.api.requests import Answer, Request
from prefectlite.api.schema import SCHEMA
from prefectlite.repository.tables import TABLES
from prefectlite.roles import ADMINS, AGENTS, OPERATORS, RUNS, Role

ID = "00000000-0000-7000-8000-000000000001"
#: What each role may use of Mutation, written down once more: a change here is a decision.
OF_AGENTS = {
    "register_agent", "get_runs_in_queue", "update_flow_run_heartbeat", "update_task_run_heartbeat",
    "get_or_create_task_run", "get_or_create_task_run_info", "set_flow_run_states", "set_task_run_states",
}  # fmt: skip
#: And of the code of runs, which may do nothing else.
OF_RUNS = {
    "write_run_logs", "create_task_run_artifact", "update_task_run_artifact", "delete_task_run_artifact",
    "set_flow_run_name", "set_task_run_name", "executor_call",
}  # fmt: skip
OF_ADMINS = {
    "set_secret", "delete_secret", "create_api_token", "revoke_api_token", "delete_project", "set_project_retention",
    "create_cloud_hook", "delete_cloud_hook", "test_cloud_hook",
}  # fmt: skip
OF_ONE_THAT_IS_NOT_THERE = {"get_task_run_info"}
NOT_OF_AGENTS = {
    "utility_downstream_tasks", "utility_upstream_tasks",
    "log", "task_run_artifact", "task_tag_limit", "flow_concurrency_limit", "cloud_hook", "logs", "secret_names",
    "automation", "automation_firing", "hook_delivery", "run_counts", "status", "message",
}  # fmt: skip


def fields_of(type_name: str) -> list[str]:
    found = SCHEMA.type_map[type_name]
    assert isinstance(found, GraphQLObjectType)
    return sorted(found.fields)


def literal(type_: Any) -> str:
    """Some value of an input type, as a query writes it."""
    if isinstance(type_, GraphQLNonNull):
        type_ = type_.of_type
    if isinstance(type_, GraphQLInputObjectType):
        given = {name: field for name, field in type_.fields.items() if isinstance(field.type, GraphQLNonNull)}
        return "{" + ", ".join(f"{name}: {literal(field.type)}" for name, field in given.items()) + "}"
    if isinstance(type_, GraphQLEnumType):
        return next(iter(type_.values))
    name = str(type_)
    if name.startswith("["):
        return "[]"
    values = {"uuid": f'"{ID}"', "UUID": f'"{ID}"', "DateTime": '"2024-01-01T00:00:00+00:00"', "JSON": '"{}"', "Int": "1"}
    return values.get(name, '"x"')


def query(type_name: str, field: str) -> str:
    """An operation that asks for this root field, with the arguments it needs."""
    parent = SCHEMA.type_map[type_name]
    assert isinstance(parent, GraphQLObjectType)
    definition = parent.fields[field]
    given: dict[str, GraphQLArgument] = {n: a for n, a in definition.args.items() if is_required_argument(a)}
    written = ", ".join(f"{name}: {literal(argument.type)}" for name, argument in given.items())
    of = definition.type
    while hasattr(of, "of_type"):
        of = of.of_type
    inner = " { __typename }" if isinstance(of, GraphQLObjectType) else ""
    inner = " { aggregate { count } }" if field.endswith("_aggregate") else inner
    return f"{type_name.lower()} {{ {field}{f'({written})' if written else ''}{inner} }}"


async def codes(runtime: Runtime, role: Role, text: str, **variables: Any) -> list[str]:
    """The codes of the errors of an answer."""
    execution = Execution(runtime.session)
    caller, request = Caller(role=role, actor="somebody", is_known=True), Request(text, variables, None)
    if text.startswith("subscription"):
        found = await execution.subscribe(request, execution.budget(), caller)
        if not isinstance(found, Answer):
            await found.aclose()
            return []
    else:
        found = await execution.run(request, execution.budget(), caller)
    return [error["extensions"]["code"] for error in msgspec.json.decode(found.body).get("errors", ())]


def expected_readers(field: str) -> set[Role]:
    table = field.removesuffix("_aggregate").removesuffix("_by_pk")
    if table in ("api_token", "audit_log"):
        return set(ADMINS)
    if table in ("cloud_hook", "hook_delivery"):
        return set(OPERATORS)
    if table in ("agent", "agent_config"):
        return set(Role) - {Role.RUN}
    return set(Role) - ({Role.AGENT, Role.RUN} if table in NOT_OF_AGENTS else set())


@pytest.fixture
def api_database_url() -> str:
    return "sqlite://:memory:"  # roles are above databases


@pytest.mark.asyncio
@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("type_name", ["Query", "Subscription"])
async def test_every_field_that_is_read(runtime: Runtime, type_name: str, role: Role) -> None:
    for field in fields_of(type_name):
        found = await codes(runtime, role, query(type_name, field))
        if role in expected_readers(field):
            assert found == (["NOT_FOUND"] if field in OF_ONE_THAT_IS_NOT_THERE else []), field
        else:
            assert found == ["FORBIDDEN"], field


@pytest.mark.asyncio
@pytest.mark.parametrize("role", list(Role))
async def test_every_mutation(runtime: Runtime, role: Role) -> None:
    for field in fields_of("Mutation"):
        users = AGENTS if field in OF_AGENTS else ADMINS if field in OF_ADMINS else OPERATORS
        users = RUNS if field in OF_RUNS else users
        assert USERS[field] == users
        refused = "FORBIDDEN" in await codes(runtime, role, query("Mutation", field))
        assert refused == (role not in users), field
    assert USERS.keys() == set(fields_of("Mutation"))


@pytest.mark.asyncio
async def test_viewers_change_nothing(runtime: Runtime) -> None:
    before = await runtime.session.database.read("SELECT count(*) FROM project")
    assert Role.VIEWER not in set().union(*USERS.values())
    assert await codes(runtime, Role.VIEWER, 'mutation { create_project(input: {name: "x"}) { id } }') == ["FORBIDDEN"]
    assert await runtime.session.database.read("SELECT count(*) FROM project") == before


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("role", "text"),
    [
        (Role.VIEWER, "{ flow_group { cloud_hooks { config } } }"),
        (Role.VIEWER, "{ flow { flow_group { cloud_hooks_aggregate { nodes { config } } } } }"),
        (Role.VIEWER, '{ flow_group(where: {cloud_hooks: {type: {_like: "a%"}}}) { id } }'),
        (Role.VIEWER, '{ flow(where: {_or: [{_not: {flow_group: {cloud_hooks: {type: {_eq: "a"}}}}}]}) { id } }'),
        (Role.VIEWER, '{ flow_group_aggregate(where: {cloud_hooks: {type: {_eq: "a"}}}) { aggregate { count } } }'),
        (Role.VIEWER, "{ flow_group(order_by: {cloud_hooks_aggregate: {max: {name: asc}}}) { id } }"),
        (Role.VIEWER, "{ flow { tasks(order_by: {flow: {flow_group: {cloud_hooks_aggregate: {count: asc}}}}) { id } } }"),
        (Role.AGENT, "{ flow_run(order_by: [{name: asc}, {logs_aggregate: {max: {message: desc}}}]) { id } }"),
        (Role.AGENT, "{ flow_run_aggregate(order_by: {logs_aggregate: {count: asc}}, limit: 1) { nodes { id } } }"),
        (Role.AGENT, "{ flow_run { logs { message } } }"),
        (Role.AGENT, "{ flow_run { task_runs { logs(limit: 1) { message } } } }"),
        (Role.AGENT, "{ flow_run { task_runs_aggregate { nodes { logs { message } } } } }"),
        (Role.AGENT, "{ flow_run { logs_aggregate { aggregate { count } } } }"),
        (Role.AGENT, "{ task_run { artifacts { data } } __schema { types { name } } }"),
        (Role.AGENT, "query a { ...f } fragment f on Query { x: log { message } }"),
        (Role.AGENT, "{ hello secret_names }"),
    ],
)
async def test_no_way_leads_around(runtime: Runtime, role: Role, text: str) -> None:
    assert "FORBIDDEN" in await codes(runtime, role, text)
    assert await codes(runtime, Role.ADMIN, text) == []


@pytest.mark.asyncio
async def test_nor_do_variables(runtime: Runtime) -> None:
    text = "query ($w: flow_group_bool_exp) { flow_group(where: $w) { id } }"
    assert await codes(runtime, Role.VIEWER, text, w={"cloud_hooks": {"type": {"_eq": "a"}}}) == ["FORBIDDEN"]
    assert await codes(runtime, Role.VIEWER, text, w={"name": {"_eq": "a"}}) == []
    text = "query ($o: [flow_group_order_by!]) { flow_group(order_by: $o) { id } }"
    assert await codes(runtime, Role.VIEWER, text, o={"cloud_hooks_aggregate": {"count": "asc"}}) == ["FORBIDDEN"]
    assert await codes(runtime, Role.VIEWER, text, o={"flows_aggregate": {"count": "asc"}}) == []


@pytest.mark.asyncio
async def test_what_prefects_agents_ask(runtime: Runtime) -> None:
    for text in (
        "{ hello }",
        f'{{ agent_config(where: {{id: {{_eq: "{ID}"}}}}) {{ settings }} }}',
        "{ flow_run(order_by: {scheduled_start_time: asc}) { id version state serialized_state parameters run_config"
        " flow { id name storage core_version flow_group { run_config } } task_runs { version serialized_state } } }",
        f'{{ task_run(where: {{flow_run_id: {{_eq: "{ID}"}}}}) {{ id task {{ slug }} }} }}',
        f'{{ flow_run_by_pk(id: "{ID}") {{ state flow {{ settings }} }} }}',
    ):
        assert await codes(runtime, Role.AGENT, text) == []


def test_nothing_is_read_that_has_no_readers() -> None:
    assert set(TABLES) <= set(TABLE_READERS)
    check_declared([*fields_of("Query"), *fields_of("Subscription")])
    with pytest.raises(LookupError, match="does not say who reads new_field"):
        check_declared(["flow", "new_field"])
    assert readers_of("new_field") == frozenset()
    assert all(FIELD_READERS.values())


def test_a_mutation_that_says_no_role_cannot_be_declared() -> None:
    async def something(_context: Any, _given: Any) -> dict[str, Any]:
        return {}

    with pytest.raises(TypeError, match="needs"):
        mutation(something, {}, {}, "Something.")  # type: ignore[call-arg]
    assert "something" not in USERS


def test_tokens_have_no_hash_outside() -> None:
    assert "hash" not in print_type(SCHEMA.type_map["api_token"])
    assert TABLES["api_token"].relations == TABLES["audit_log"].relations == {}
