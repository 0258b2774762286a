"""Reading through GraphQL, on both ways through it: the database's JSON as it is, and graphql-core's execution."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from prefectlite import Flow, Runtime

Ask = Any
INTROSPECTION = "introspection: __schema { queryType { name } }"
RUNS = 6


@pytest_asyncio.fixture
async def runs(runtime: Runtime, ask: Ask) -> list[str]:
    """Ids of six scheduled runs, named a0 b1 a2 b3 a4 b5, of the flows `doubling` and `other` in turns."""
    ids = {flow["name"]: flow["id"] for flow in (await ask("{ flow { id name } }"))["flow"]}
    made = []
    for n in range(RUNS):
        flow_id = ids["doubling" if n % 2 == 0 else "other"]
        parameters = {"size": n} if n % 2 == 0 else {"number": n}
        run = await runtime.session.client.create_flow_run(
            flow_id=flow_id, parameters=parameters, flow_run_name=f"{'ab'[n % 2]}{n}", labels=["x", "a"]
        )
        made.append(run)
    return made


async def both_ways(http: httpx.AsyncClient, query: str, variables: dict[str, Any] | None = None) -> Any:
    """The data, checked to be the same when graphql-core executes the operation because it also asks of the schema."""
    direct = (await http.post("/graphql", json={"query": query, "variables": variables})).json()
    assert "errors" not in direct
    slow_query = query.rstrip().removesuffix("}") + INTROSPECTION + "}"
    slow = (await http.post("/graphql", json={"query": slow_query, "variables": variables})).json()
    assert slow["data"].pop("introspection") == {"queryType": {"name": "Query"}}
    assert slow == direct
    assert list(slow["data"]) == list(direct["data"])
    return direct["data"]


QUERIES: list[tuple[str, dict[str, Any] | None]] = [
    ("{ hello h: hello __typename }", None),
    ("{ api { backend mode version core_version release_timestamp __typename } }", None),
    ("{ flow(order_by: {name: asc}) { name parameters archived created tasks { slug mapped } } }", None),
    ("{ flow_run(order_by: {name: asc}, limit: 2) { name flow { name project { name } } states { seq state } } }", None),
    ("{ flow_run { __typename flow { __typename } task_runs_aggregate { __typename aggregate { __typename } } } }", None),
    ('{ flow_run_by_pk(id: "00000000-0000-7000-8000-000000000000") { id } }', None),
    (
        '{ a: flow_run_aggregate(where: {name: {_like: "a%"}}) { aggregate { count n: count } }'
        ' b: flow_run_aggregate(where: {name: {_like: "b%"}}) { x: aggregate { count } } }',
        None,
    ),
    (
        "query q($w: flow_run_bool_exp) { flow_run(where: $w, order_by: {name: desc}) { ...row } }"
        " fragment row on flow_run { name ...more ... on flow_run { version } } fragment more on flow_run { state }",
        {"w": {"flow": {"name": {"_eq": "other"}}, "name": None}},
    ),
    (
        "query q($yes: Boolean!, $no: Boolean = false) {"
        " flow(order_by: {name: asc}) { name @include(if: $yes) id @skip(if: $yes) t: tasks @include(if: $no) { id } } }",
        {"yes": True},
    ),
    ("{ flow { name } flow { version } }", None),
    (
        "query q($c: [flow_run_select_column!], $by: [flow_run_order_by!]) { flow_run(distinct_on: $c, order_by: $by)"
        " { name flow { name } } a: flow_run_aggregate(distinct_on: $c) { aggregate { count n: count(columns: $c)"
        " d: count(columns: [flow_id, auto_scheduled], distinct: true) sum { v: version __typename } avg { version }"
        " min { created state version } max { name scheduled_start_time } } } }",
        {"c": ["flow_id"], "by": [{"flow": {"name": "desc"}, "name": "desc"}]},
    ),
    (
        "{ flow_run_aggregate(order_by: {name: desc}, limit: 2, offset: 1) { n: nodes { name flow { name }"
        " states_aggregate { aggregate { count(columns: seq) } nodes { state serialized_state } } __typename }"
        " nodes { id } aggregate { count } } }",
        None,
    ),
    (
        "query q($p: jsonb, $k: [String!]) { flow_run(where: {parameters: {_contains: $p}, labels: {_has_keys_all: $k}},"
        " order_by: {name: asc}) { name parameters serialized_state tenant_id tenant { slug } state_result } }",
        {"p": {"size": 2.0}, "k": ["a", "x"]},
    ),
    ('{ flow_run(where: {labels: {_has_key: "a"}, name: {_nlike: "a%", _nilike: "B1"}}) { id } }', None),
    ("{ tenant { id name slug info settings } cloud_hook { id } agent { id } task_run_artifact { id } }", None),
]


@pytest.mark.asyncio
@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(("query", "variables"), QUERIES)
async def test_both_ways_answer_alike(http: httpx.AsyncClient, query: str, variables: dict[str, Any] | None) -> None:
    if "fragment" in query:  # the last brace is a fragment's: say the same with the query at the end
        head, _, tail = query.partition(" fragment ")
        query = f"fragment {tail} {head}"
    data = await both_ways(http, query, variables)
    assert data


@pytest.mark.asyncio
@pytest.mark.usefixtures("runs")
async def test_distinct_rows_and_what_is_counted_over_them(ask: Ask) -> None:
    data = await ask(
        "{ flow_run(distinct_on: [flow_id], order_by: [{flow: {name: desc}}, {name: desc}]) { name }"
        " all: flow_run_aggregate { aggregate { count(columns: name, distinct: true) d: count(columns: heartbeat) } }"
        ' none: flow_run_aggregate(where: {name: {_eq: "zz"}}) { aggregate { count sum { version } min { name } }'
        " nodes { id } }"
        " flow(order_by: {name: asc}) { flow_runs_aggregate(distinct_on: state) { aggregate { count } nodes { state } } } }"
    )
    assert data["flow_run"] == [{"name": "b5"}, {"name": "a4"}]
    assert data["all"]["aggregate"] == {"count": RUNS, "d": 0}
    assert data["none"] == {"aggregate": {"count": 0, "sum": {"version": None}, "min": {"name": None}}, "nodes": []}
    counts = {"aggregate": {"count": 1}, "nodes": [{"state": "Scheduled"}]}
    assert data["flow"] == [{"flow_runs_aggregate": counts}] * 2


@pytest.mark.asyncio
@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("table", ["flow_run", "agent"])
async def test_aggregates_in_which_nothing_is_counted(http: httpx.AsyncClient, table: str) -> None:
    of_rows = {"flow_run": RUNS, "agent": 0}[table]
    data = await both_ways(
        http,
        f"{{ a: {table}_aggregate {{ __typename }}"
        f" b: {table}_aggregate {{ aggregate {{ __typename min {{ __typename }} }} }}"
        f" c: {table}_aggregate {{ nodes {{ __typename }} }} d: {table}_aggregate(limit: 2) {{ __typename nodes {{ id }} }}"
        " flow { flow_runs_aggregate(offset: 1, distinct_on: state) { __typename nodes { name } } } }",
        None,
    )
    assert data["a"] == {"__typename": f"{table}_aggregate"}
    of_min = {"__typename": f"{table}_min_fields"}
    assert data["b"] == {"aggregate": {"__typename": f"{table}_aggregate_fields", "min": of_min}}
    assert data["c"] == {"nodes": [{"__typename": table}] * of_rows}
    assert len(data["d"]["nodes"]) == min(of_rows, 2)
    assert data["flow"] == [{"flow_runs_aggregate": {"__typename": "flow_run_aggregate", "nodes": []}}] * 2


@pytest.mark.asyncio
async def test_what_is_wrong_with_rows_that_are_not_looked_at_is_said(http: httpx.AsyncClient) -> None:
    answer = (await http.post("/graphql", json={"query": "{ agent_aggregate(limit: -1) { __typename } }"})).json()
    assert answer["errors"][0]["message"] == "limit: -1 is below 0"


@pytest.mark.asyncio
async def test_aliases_with_other_arguments_are_other_values(runs: list[str], ask: Ask) -> None:
    data = await ask(
        '{ a: flow_run(where: {name: {_eq: "a0"}}) { n: name name: state }'
        ' b: flow_run(where: {name: {_eq: "b1"}}) { n: name'
        " first: states(limit: 1) { v: version } none: states(limit: 0) { v: version } } }"
    )
    assert data["a"] == [{"n": "a0", "name": "Scheduled"}]
    assert data["b"] == [{"n": "b1", "first": [{"v": 1}], "none": []}]
    assert len(runs) == RUNS


NAMES_BY_FLOW = ["a0", "a2", "a4", "b1", "b3", "b5"]
LAST_FIRST = ["b5", "b3", "b1", "a4", "a2", "a0"]


@pytest.mark.asyncio
@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("order", "variables", "expected"),
    [
        ("{flow: {name: asc}, name: asc}", {}, NAMES_BY_FLOW),
        ("{name: asc, flow: {name: asc}}", {}, ["a0", "a2", "a4", "b1", "b3", "b5"]),
        ("{flow: {name: desc}, name: asc}", {}, ["b1", "b3", "b5", "a0", "a2", "a4"]),
        ("{flow: {name: desc}, name: desc}", {}, ["b5", "b3", "b1", "a4", "a2", "a0"]),
        ("[{flow: {name: desc}}, {name: asc}]", {}, ["b1", "b3", "b5", "a0", "a2", "a4"]),
        ("$order", {"order": {"flow": {"name": "desc"}, "name": "asc"}}, ["b1", "b3", "b5", "a0", "a2", "a4"]),
        ("$order", {"order": [{"flow": {"name": "desc"}}, {"name": "asc"}]}, ["b1", "b3", "b5", "a0", "a2", "a4"]),
        ("{flow: {name: $one}, name: $two}", {"one": "desc", "two": "asc"}, ["b1", "b3", "b5", "a0", "a2", "a4"]),
        ("{flow: {name: $one}, name: $two}", {"two": "desc"}, ["b5", "b3", "b1", "a4", "a2", "a0"]),
        ("[{name: $one}, null_free]", None, None),
        ("{flow: {flow_runs_aggregate: {max: {name: desc}}}, name: asc}", {}, ["b1", "b3", "b5", "a0", "a2", "a4"]),
        ("[{states_aggregate: {count: desc}}, {name: asc}]", {}, NAMES_BY_FLOW),
        ("$order", {"order": {"flow": {"flow_runs_aggregate": {"min": {"name": "desc"}}}, "name": "desc"}}, LAST_FIRST),
        ("{states_aggregate: {max: {version: $one}, count: null}, name: $two}", {"two": "asc"}, NAMES_BY_FLOW),
        ("{states_aggregate: {max: {serialized_state: asc}}}", None, None),
        ("{states_aggregate: {sum: {state: asc}}}", None, None),
        ("{flow_aggregate: {count: asc}}", None, None),
    ],
)
async def test_the_order_of_keys_is_the_senders(
    http: httpx.AsyncClient, order: str, variables: dict[str, Any] | None, expected: list[str] | None
) -> None:
    kinds = {"order": "[flow_run_order_by!]", "one": "order_by", "two": "order_by"}
    used = [f"${name}: {kind}" for name, kind in kinds.items() if f"${name}" in order]
    query = f"query q{'(' + ', '.join(used) + ')' if used else ''} {{ flow_run(order_by: {order}) {{ name }} }}"
    if expected is None:
        assert (await http.post("/graphql", json={"query": query})).status_code == 400
        return
    data = await both_ways(http, query, variables)
    assert [run["name"] for run in data["flow_run"]] == expected


@pytest.mark.asyncio
@pytest.mark.usefixtures("runs")
async def test_a_variables_default_keeps_its_order_too(ask: Ask) -> None:
    query = (
        "query q($order: [flow_run_order_by!] = [{flow: {name: desc}, name: desc}], $limit: Int = 2)"
        " { flow_run(order_by: $order, limit: $limit) { name } }"
    )
    assert await ask(query) == {"flow_run": [{"name": "b5"}, {"name": "b3"}]}


@pytest.mark.asyncio
@pytest.mark.usefixtures("runs")
async def test_null_means_not_given(ask: Ask) -> None:
    query = (
        "query q($w: flow_run_bool_exp, $o: [flow_run_order_by!], $n: Int)"
        " { flow_run(where: $w, order_by: $o, limit: $n, offset: $n) { id } }"
    )
    assert len((await ask(query, w=None, o=None, n=None))["flow_run"]) == RUNS
    assert len((await ask(query, w={"name": {"_eq": None}, "_and": [{}]}))["flow_run"]) == RUNS


@pytest.mark.asyncio
async def test_values_have_the_promised_forms(runs: list[str], ask: Ask, flows: tuple[Flow, Flow]) -> None:
    data = await ask(
        "query q($id: uuid!) { flow_run_by_pk(id: $id) { id created parameters labels start_time auto_scheduled"
        ' flow { tasks(where: {name: {_eq: "double"}}) { retry_delay mapped } } } }',
        id=runs[0].upper(),
    )
    run = data["flow_run_by_pk"]
    assert run["id"] == runs[0]
    assert run["created"].endswith("+00:00")
    assert len(run["created"]) == len("2030-01-31T12:00:00.000000+00:00")
    assert datetime.fromisoformat(run["created"]).tzinfo is not None
    assert (run["parameters"], run["labels"]) == ({"size": 0}, ["a", "x"])
    assert (run["start_time"], run["auto_scheduled"]) == (None, False)
    assert run["flow"]["tasks"] == [{"retry_delay": None, "mapped": True}]


@pytest.mark.asyncio
async def test_counts_of_a_run_that_ran(ask: Ask, http: httpx.AsyncClient, flows: tuple[Flow, Flow]) -> None:
    run = await flows[0].run()
    query = (
        "query q($id: uuid!) { task_run_counts(flow_run_id: $id) { task_id state count __typename }"
        " task(where: {flow: {flow_runs: {id: {_eq: $id}}}}) { id slug } }"
    )
    data = await both_ways(http, query, {"id": run.id})
    slugs = {task["id"]: task["slug"] for task in data["task"]}
    counts = {slugs[count["task_id"]]: (count["state"], count["count"]) for count in data["task_run_counts"]}
    assert counts == {"numbers-1": ("Success", 1), "double-1": ("Success", 3), "size": ("Success", 1)}


@pytest.mark.asyncio
@pytest.mark.usefixtures("runs")
async def test_comparisons_of_times_and_ids_and_lists(ask: Ask) -> None:
    query = "query q($w: flow_run_bool_exp!) { flow_run(where: $w) { name } }"

    async def names(where: dict[str, Any]) -> list[str]:
        return sorted(run["name"] for run in (await ask(query, w=where))["flow_run"])

    assert await names({"created": {"_gt": "2020-01-01T00:00:00Z", "_lt": "2120-01-01"}}) == NAMES_BY_FLOW
    assert await names({"created": {"_lt": "2020-01-01T00:00:00+05:30"}}) == []
    assert await names({"name": {"_in": ["a0", "b1", "zz"]}}) == ["a0", "b1"]
    assert await names({"_or": [{"name": {"_ilike": "A%"}}, {"flow": {"name": {"_eq": "other"}}}]}) == NAMES_BY_FLOW
    assert await names({"_not": {"flow": {"name": {"_eq": "other"}}}}) == ["a0", "a2", "a4"]
    assert await names({"states": {"seq": {"_gte": "0"}, "state": {"_eq": "Scheduled"}}}) == NAMES_BY_FLOW
    assert await names({"_and": {"start_time": {"_is_null": True}, "name": {"_eq": "a0"}}}) == ["a0"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("query", "variables", "status", "code", "message"),
    [
        ("{ flow_run(limit: -1) { id } }", {}, 200, "BAD_USER_INPUT", "limit: -1 is below 0"),
        ("{ flow_run(limit: 20000) { id } }", {}, 200, "BAD_USER_INPUT", "limit: at most 10,000 rows"),
        ('{ flow_run(where: {name: {_like: "%s"}}) { id } }' % ("%" * 2000), {}, 200, "BAD_USER_INPUT", "where.name._like"),
        ('{ flow_run_by_pk(id: "x") { id } }', {}, 400, "GRAPHQL_VALIDATION_FAILED", "Could not parse UUID: x"),
        (
            "query q($i: uuid!) { flow_run_by_pk(id: $i) { id } }",
            {"i": 5},
            400,
            "GRAPHQL_VALIDATION_FAILED",
            "parse UUID: 5",
        ),
        (
            "query q($i: uuid!) { flow_run_by_pk(id: $i) { id } }",
            {},
            400,
            "GRAPHQL_VALIDATION_FAILED",
            "required type 'uuid!'",
        ),
        ('{ flow_run(where: {created: {_gt: "x"}}) { id } }', {}, 400, "GRAPHQL_VALIDATION_FAILED", "the time 'x'"),
        ("{ flow_run(where: {labels: {_eq: []}}) { id } }", {}, 400, "GRAPHQL_VALIDATION_FAILED", "_eq"),
        ("{ flow { digest } }", {}, 400, "GRAPHQL_VALIDATION_FAILED", "Cannot query field 'digest'"),
        ("{ flow { id ", {}, 400, "GRAPHQL_PARSE_FAILED", "Syntax Error"),
        ("query a { hello } query b { hello }", {}, 400, "BAD_USER_INPUT", "operationName"),
        ("subscription { state_changes { seq } }", {}, 400, "BAD_USER_INPUT", "WebSocket"),
    ],
)
async def test_errors_say_what_and_where(
    http: httpx.AsyncClient, query: str, variables: dict[str, Any], status: int, code: str, message: str
) -> None:
    response = await http.post("/graphql", json={"query": query, "variables": variables})
    answer = response.json()
    assert response.status_code == status
    assert answer.get("data") is None
    assert answer["errors"][0]["extensions"]["code"] == code
    assert message in answer["errors"][0]["message"]


@pytest.mark.asyncio
async def test_a_deeply_nested_condition_is_refused(http: httpx.AsyncClient) -> None:
    where: dict[str, Any] = {}
    for _ in range(40):
        where = {"_not": where}
    query = "query q($w: flow_run_bool_exp) { flow_run(where: $w) { id } }"
    answer = (await http.post("/graphql", json={"query": query, "variables": {"w": where}})).json()
    assert "16 deep" in answer["errors"][0]["message"]
    body = b'{"query": "{ hello }", "variables": {"w": ' + b'{"_not":' * 200_000 + b"{}" + b"}" * 200_000 + b"}}"
    response = await http.post("/graphql", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert "nested too deeply" in response.json()["errors"][0]["message"]


@pytest.mark.asyncio
@pytest.mark.parametrize("extra", ["", INTROSPECTION])
async def test_inner_errors_are_masked_and_logged(
    runtime: Runtime, http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, extra: str
) -> None:
    async def work(tx: Any) -> None:
        await tx.execute("ALTER TABLE log RENAME TO secret_place")

    await runtime.session.database.write(work)
    response = await http.post("/graphql", json={"query": f"{{ log {{ id }} {extra} }}"})
    assert response.status_code == 200
    assert response.json()["data"] is None
    [error] = response.json()["errors"]
    assert error["message"].startswith("Unable to complete operation. An internal API error occurred.")
    assert error["extensions"] == {"code": "API_ERROR"}
    assert "log" not in msgspec.json.encode(error["message"]).decode()
    assert any("An operation failed" in record.message and record.exc_info for record in caplog.records)
