"""The queries of Prefect's own client, commands and agents, in their words, with one statement each."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import pytest_asyncio

from prefectlite import Flow, Runtime
from prefectlite.api.caller import Caller
from prefectlite.api.execution import Execution
from prefectlite.api.requests import Request
from prefectlite.repository.computed import TENANT_ID
from prefectlite.states import State

Ask = Any
#: By what they are for; words in capitals stand for ids and moments.
QUERIES = {
    "tenant": "query { tenant { slug id name } }",
    "project": 'query { project(where: { name: { _eq: "default" } }) { id name } }',
    "version": 'query { flow(where: { name: { _eq: "doubling" }, archived: { _eq: false },'
    ' project: { name: { _eq: "default" } } }, order_by: { version: desc }, limit: 1) { id version } }',
    "group": 'query { flow_by_pk(id: "FLOW") { flow_group_id } }',
    "flow": 'query { flow(where: { id: { _eq: "FLOW" } }) { id settings run_config serialized_flow name archived'
    " project { name } core_version storage flow_group { labels } parameters flow_group_id } }",
    "flow by name": 'query { flow(where: { name: { _eq: "doubling" }, archived: { _eq: false } },'
    " order_by: { created: desc }) { id settings run_config serialized_flow name archived project { name }"
    " core_version storage flow_group { labels } } }",
    "run": 'query { flow_run_by_pk(id: "RUN") { id name flow_id parameters context version scheduled_start_time'
    " serialized_state task_runs(where: { map_index: { _eq: -1 } }) { id task { id slug } version serialized_state }"
    " flow { project { name id } } } }",
    "state": 'query { flow_run_by_pk(id: "RUN") { version state serialized_state } }',
    "heartbeat": 'query { flow_run_by_pk(id: "RUN") { flow { settings } } }',
    "execute": 'query { flow_run(where: { id: { _eq: "RUN" } }) { flow { name storage run_config environment core_version }'
    " version } }",
    "agent": 'query { flow_run(where: { id: { _in: ["RUN"] }, _or: [{ state: { _eq: "Scheduled" } },'
    ' { state: { _eq: "Success" }, task_runs: { state_timestamp: { _lte: "LATER" } } }] }) { id version state'
    " serialized_state parameters scheduled_start_time run_config name flow { version name id environment core_version"
    ' storage } task_runs(where: { state_timestamp: { _lte: "LATER" } }) { version serialized_state id task_id } } }',
    "cached": 'query { task_run(where: { state: { _eq: "Success" }, state_timestamp: { _gte: "EARLIER" },'
    ' task_id: { _eq: "TASK" } }, order_by: { state_timestamp: desc }, limit: 100) { serialized_state } }',
    "logs": 'query { flow_run(where: { id: { _eq: "RUN" } }) { logs(order_by: { timestamp: asc }, where: { _and:'
    ' [{ timestamp: { _lte: "LATER" } }, {}] }) { timestamp message level } } }',
    "run view": 'query { flow_run(where: { id: { _eq: "RUN" } }) { id name flow_id serialized_state'
    " states { serialized_state timestamp } labels parameters context updated run_config } }",
    "task runs": 'query { task_run(where: { flow_run_id: { _eq: "RUN" }, id: { _nin: [] } })'
    " { id name task { id slug } map_index serialized_state flow_run_id } }",
    "task run": 'query { task_run(where: { task: { slug: { _eq: "double-1" } }, flow_run_id: { _eq: "RUN" },'
    " map_index: { _eq: 1 } }) { id name state task { id slug name } map_index serialized_state flow_run_id } }",
    "started": "query { task_run(where: { start_time: { _is_null: false },"
    ' flow_run: { state: { _eq: "Success" } } }) { id } }',
    "flows": "query { flow(where: { _and: { project: { name: { _eq: null } }, name: { _ilike: null },"
    " archived: { _eq: false } } }, order_by: { name: asc, version: desc }, distinct_on: name, limit: 10)"
    " { name version project { name } created } }",
    "projects": "query { project(order_by: { name: asc }) { name created description"
    " flows_aggregate(distinct_on: name) { aggregate { count } nodes { name } } } }",
    "runs": "query { flow_run(where: { flow: { name: { _eq: null }, project: { name: { _in: null } } } },"
    " order_by: { created: desc }, limit: 10) { flow { name } created state name duration: version id } }",
    "logs between": 'query { flow_run(where: { id: { _eq: "RUN" } }) { state updated logs(order_by: { timestamp: asc },'
    ' where: { _and: [{ timestamp: { _lte: "LATER" } }, { timestamp: { _gt: "EARLIER" } }] })'
    " { timestamp message level } } }",
    "last runs": "query { flow(where: { flow_group: { id: { _is_null: false } }, project_id: { _neq: null } },"
    " order_by: [{ project: { name: asc } }, { name: asc }], distinct_on: flow_group_id) { id: flow_group_id"
    " flow_runs(distinct_on: flow_id, order_by: { flow_id: asc, scheduled_start_time: desc_nulls_last }, limit: null)"
    " { id state task_runs_aggregate(distinct_on: [state]) { aggregate { count(columns: state, distinct: true) }"
    " nodes { state } } } } }",
    "tasks": 'query { task(where: { flow: { id: { _eq: "FLOW" } } }, order_by: { name: asc })'
    " { name flow { name } auto_generated type cache_key created trigger tags settings: tenant_id } }",
    "busy flows": "query { flow(order_by: { flow_runs_aggregate: { count: desc }, name: asc }, limit: 5) { name"
    " flow_runs(order_by: [{ task_runs_aggregate: { max: { end_time: desc_nulls_last } } }], limit: 3) { name } } }",
    "counts": 'query { a: flow_run_aggregate(where: { state: { _eq: "Success" } }) { aggregate { count } }'
    " b: task_run_aggregate { aggregate { count(columns: [task_id], distinct: true) max { map_index } } } }",
}
#: Asked for by old agents, and by those who wait for one. There are none here.
EMPTY = {
    "offered": 'query { flow_run(where: { id: { _in: ["RUN"] }, _or: [{ state: { _eq: "Scheduled" } },'
    ' { state: { _eq: "Running" }, task_runs: { state_start_time: { _lte: "LATER" } } }] }) { id version state'
    " serialized_state parameters scheduled_start_time run_config name flow { id name environment storage version"
    ' core_version } task_runs(where: { state_start_time: { _lte: "LATER" } }) { id version task_id serialized_state } } }',
    "cached by key": 'query { task_run(where: { state: { _eq: "Cached" }, state_timestamp: { _gte: "EARLIER" },'
    ' cache_key: { _eq: "key" } }, order_by: { state_timestamp: desc }, limit: 100) { serialized_state } }',
    "waiting": "query { task_run(where: { state_start_time: { _is_null: false },"
    ' flow_run: { state: { _eq: "Running" } } }) { id } }',
    "unread": "query { message(where: { read: { _eq: false } }, order_by: { created: desc }) { id text } }",
    "downstream": 'query { utility_downstream_tasks(args: { start_task_ids: "{}" }) { task { id task_runs { id } } } }',
    "agents": "query { agent { labels last_queried name id agent_config { settings } } }",
    "hooks": "query { cloud_hook(where: { version_group_id: { _is_null: true } }) { id type } }",
}


@pytest_asyncio.fixture
async def run(flows: tuple[Flow, Flow], runtime: Runtime, ask: Ask) -> dict[str, str]:
    """A run that has ended well: what the words in capitals stand for."""
    ended = await flows[0].run()
    found = await ask('{ flow(where: {name: {_eq: "doubling"}}) { id tasks(where: {slug: {_eq: "size"}}) { id } } }')
    [flow] = found["flow"]
    moments = {"EARLIER": "2020-01-01T00:00:00.000000+00:00", "LATER": "2120-01-01T00:00:00+00:00"}
    return {"RUN": ended.id, "FLOW": flow["id"], "TASK": flow["tasks"][0]["id"], **moments}


def spelt(query: str, words: dict[str, str]) -> str:
    return re.sub(r'"([A-Z]+)"', lambda word: f'"{words[word[1]]}"', query)


class CountingDatabase:
    """A database that knows how many statements it was asked."""

    def __init__(self, real: Any) -> None:
        self._real, self.dialect, self.statements = real, real.dialect, 0

    async def answer(self, sql: str, params: Any = ()) -> Any:
        self.statements += 1
        return await self._real.answer(sql, params)


@pytest.mark.asyncio
async def test_every_query_is_answered_with_one_statement(http: httpx.AsyncClient, runtime: Runtime, run: Any) -> None:
    database = CountingDatabase(runtime.session.database)
    execution = Execution(SimpleNamespace(database=database))  # type: ignore[arg-type]
    for n, (name, query) in enumerate((QUERIES | EMPTY).items(), 1):
        text = spelt(query, run)
        answer = (await http.post("/graphql", json={"query": text, "variables": "null"})).json()
        assert "errors" not in answer, (name, answer)
        rows = next(iter(answer["data"].values()))
        assert bool(rows) == (name not in EMPTY), name
        await execution.run(Request(text, {}, None), execution.budget(), Caller())
        assert database.statements == n, name


@pytest.mark.asyncio
async def test_what_the_client_reads_in_the_answers(ask: Ask, run: dict[str, str]) -> None:
    async def asked(name: str) -> Any:
        return await ask(spelt(QUERIES[name], run))

    assert (await asked("tenant"))["tenant"] == [{"slug": "default", "id": TENANT_ID, "name": "default"}]
    info = (await asked("run"))["flow_run_by_pk"]
    assert State.deserialize(info["serialized_state"]).is_successful()
    assert {row["task"]["slug"] for row in info["task_runs"]} == {"size", "numbers-1", "double-1"}
    mapped = next(row for row in info["task_runs"] if row["task"]["slug"] == "double-1")
    assert (mapped["serialized_state"]["type"], mapped["serialized_state"]["n_map_states"]) == ("Mapped", 3)
    [view] = (await asked("run view"))["flow_run"]
    states = sorted(view["states"], key=lambda state: state["timestamp"])
    assert [state["serialized_state"]["type"] for state in states][-1] == "Success"
    assert [row["map_index"] for row in (await asked("task run"))["task_run"]] == [1]
    assert len((await asked("task runs"))["task_run"]) == 6
    assert [flow["name"] for flow in (await asked("flows"))["flow"]] == ["doubling", "other"]
    [project] = (await asked("projects"))["project"]
    assert project["flows_aggregate"]["aggregate"] == {"count": 2}
    assert sorted(node["name"] for node in project["flows_aggregate"]["nodes"]) == ["doubling", "other"]
    counts = await asked("counts")
    assert counts["a"]["aggregate"] == {"count": 1}
    assert counts["b"]["aggregate"] == {"count": 3, "max": {"map_index": 2}}


NULLS = [
    "where: null, order_by: null, limit: null, offset: null, distinct_on: null",
    "where: {}",
    "where: {_and: []}",
    "where: {_and: {}}",
    "where: {_and: [{}, {slug: {_eq: null}}]}",
    "where: {_and: {slug: {_in: null, _nin: null, _ilike: null}, created: {_gte: null}}}",
    "where: {_or: null, _not: null, flow: null, tags: {_contains: null, _has_keys_any: null}}",
    "order_by: []",
    "order_by: {slug: null}",
    "order_by: [{flow: null}, {}]",
    "distinct_on: []",
]


@pytest.mark.asyncio
async def test_null_and_nothing_mean_not_given(ask: Ask) -> None:
    everything = await ask("{ task { slug } task_aggregate { aggregate { count } } }")
    for arguments in NULLS:
        text = f"{{ task({arguments}) {{ slug }} task_aggregate({arguments}) {{ aggregate {{ count }} }} }}"
        found = await ask(text)
        assert sorted(row["slug"] for row in found["task"]) == sorted(row["slug"] for row in everything["task"]), arguments
        assert found["task_aggregate"] == everything["task_aggregate"], arguments


@pytest.mark.asyncio
async def test_null_variables_mean_not_given(ask: Ask) -> None:
    text = (
        "query q($name: String, $names: [String!], $id: uuid, $when: timestamptz, $by: [task_order_by!],"
        " $limit: Int, $columns: [task_select_column!], $version: Int_comparison_exp, $direction: order_by) {"
        " task(where: {name: {_eq: $name, _in: $names}, flow: {id: {_eq: $id}, version: $version}, created: {_lt: $when}},"
        " order_by: $by, limit: $limit, offset: $limit, distinct_on: $columns) { id }"
        " flow(order_by: {name: $direction}) { id } }"
    )
    names = ("name", "names", "id", "when", "by", "limit", "columns", "version", "direction")
    given, missing = await ask(text, **dict.fromkeys(names)), await ask(text)
    assert len(given["task"]) == len(missing["task"]) == 5
    assert len(given["flow"]) == 2


@pytest.mark.asyncio
async def test_lists_of_variables_for_distinct_columns(ask: Ask) -> None:
    query = "query q($by: [task_order_by!], $columns: [task_select_column!])"
    query += " { task(order_by: $by, distinct_on: $columns) { slug flow { name } } }"
    order = {"flow": {"name": "desc"}, "slug": "desc"}
    found = await ask(query, by=order, columns="flow_id")  # one stands for a list of one
    assert [row["flow"]["name"] for row in found["task"]] == ["other", "doubling"]
    assert found == await ask(query, by=[order], columns=["flow_id"])


@pytest.mark.asyncio
async def test_variables_of_both_families_of_scalars(ask: Ask, run: dict[str, str]) -> None:
    made = await ask(
        "mutation m($id: UUID!, $at: DateTime, $parameters: JSON) { create_flow_run(input: {flow_id: $id,"
        " scheduled_start_time: $at, parameters: $parameters}) { id } }",
        id=run["FLOW"],
        at=run["LATER"],
        parameters={"size": 4},
    )
    found = await ask(
        "query q($id: uuid!, $ids: [uuid!], $when: timestamptz, $parameters: jsonb) { flow_run_by_pk(id: $id) { id }"
        " flow_run(where: {id: {_in: $ids}, scheduled_start_time: {_gte: $when}, parameters: {_contains: $parameters}})"
        " { id } }",
        id=run["RUN"],
        ids=[run["RUN"], made["create_flow_run"]["id"]],
        when=run["LATER"],
        parameters={"size": 4.0},
    )
    assert found == {"flow_run_by_pk": {"id": run["RUN"]}, "flow_run": [{"id": made["create_flow_run"]["id"]}]}


@pytest.mark.asyncio
@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(
    ("condition", "status", "message"),
    [
        ("{name: {_in: [null]}}", 400, "null"),
        ("{labels: {_contains: 1e999}}", 200, "no number of JSON"),
        ("{labels: {_contains: 100000000000000000000}}", 200, "whole numbers have 64 bits"),
        ("{labels: {_contains: %s}}" % ("1" * 5_000), 200, "no number of JSON"),
        ('{labels: {_contains: {a: "\\u0000"}}}', 200, "NUL character"),
        ('{name: {_eq: "\\u0000"}}', 200, "where.name._eq: the text holds a NUL"),
        ('{name: {_ilike: "a\\u0000"}}', 200, "where.name._ilike: the text holds a NUL"),
        ('{labels: {_has_key: "\\u0000"}}', 200, "NUL character"),
        ('{labels: {_contains: "\\uD800"}}', 400, "Invalid Unicode escape"),
    ],
)
async def test_what_no_database_can_compare_is_a_clear_error(
    http: httpx.AsyncClient, condition: str, status: int, message: str
) -> None:
    response = await http.post("/graphql", json={"query": f"{{ flow_run(where: {condition}) {{ id }} }}"})
    [error] = response.json()["errors"]
    assert message in error["message"]
    assert response.status_code == status
    assert error["extensions"]["code"] != "API_ERROR"


@pytest.mark.asyncio
@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(
    "wanted",
    ['{"": 1}', '{"a.b": 1}', '{"a\\"b": [{}]}', '{"$": null}', '{"👋": {"": []}}', '["\\u2028"]', "1e300", '"x"', "false"],
)
async def test_documents_of_all_kinds_are_compared(http: httpx.AsyncClient, wanted: str) -> None:
    query = "query q($w: jsonb) { flow_run(where: {parameters: {_contains: $w}}) { id } }"
    body = f'{{"query": "{query}", "variables": {{"w": {wanted}}}}}'
    response = await http.post("/graphql", content=body.encode(), headers={"content-type": "application/json"})
    assert response.json() == {"data": {"flow_run": []}}
