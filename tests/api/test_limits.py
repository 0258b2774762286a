"""How much one request may ask for."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from graphql import get_introspection_query, parse

from prefectlite.api.limits import Budget, Cost, cost_of
from prefectlite.errors import BadRequest


def nested(levels: int) -> str:
    return "{ flow { " + "tasks { flow { " * levels + "id" + " } }" * levels + " } }"


def doubling_fragments(levels: int) -> str:
    parts = [f"fragment f{n} on flow {{ a: tasks {{ flow {{ ...f{n + 1} }} }} b: id ...f{n + 1} }}" for n in range(levels)]
    return "{ flow { ...f0 } } " + " ".join(parts) + f" fragment f{levels} on flow {{ id }}"


def test_cost_counts_fragments_wherever_they_are_used() -> None:
    text = (
        "{ flow { ...f x: project { ...f2 } } y: flow { ...f } }"
        " fragment f on flow { id n: name } fragment f2 on project { id }"
    )
    assert cost_of(parse(text)) == Cost(fields=8, aliases=4, depth=3)


def test_operations_add_up() -> None:
    assert cost_of(parse("query a { hello } query b { flow { id } }")) == Cost(fields=3, aliases=0, depth=2)


def test_introspection_may_be_deep() -> None:
    cost = cost_of(parse(get_introspection_query(input_value_deprecation=True)))
    assert cost.depth == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (nested(5), "12 levels deep, and 10 are allowed"),
        ("{ flow { ...a } } fragment a on flow { tasks { ...b } } fragment b on task " + nested(4), "levels deep"),
        ("{ " + " ".join(f"a{n}: hello" for n in range(101)) + " }", "more than 100 aliases"),
        ("{ " + "hello " * 11 + "}", "'hello' is asked for more than 10 times"),
        ("{ " + "a: hello " * 11 + "}", "'a' is asked for more than 10 times"),
        (doubling_fragments(8), "levels deep"),
        (
            "{ flow { " + " ".join(f"...f{n}" for n in range(50)) + " } } "
            + " ".join(f"fragment f{n} on flow {{ {' '.join(f'...g{m}' for m in range(50))} }}" for n in range(50))
            + " ".join(f"fragment g{m} on flow {{ id name version }}" for m in range(50)),
            "more than 4,000 fields",
        ),
    ],
)  # fmt: skip
def test_too_much_is_refused(text: str, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        cost_of(parse(text))


def test_fragments_in_a_circle_end() -> None:
    assert cost_of(parse("{ flow { ...a } } fragment a on flow { id ...b } fragment b on flow { name ...a }")).fields <= 4


def test_a_budget_is_shared() -> None:
    budget = Budget()
    for _ in range(5):
        budget.spend(Cost(fields=10, aliases=20, depth=1))
    with pytest.raises(BadRequest, match="aliases"):
        budget.spend(Cost(fields=1, aliases=1, depth=1))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "query",
    [
        "{ " + " ".join(f"a{n}: hello" for n in range(5_000)) + " }",
        nested(40),
        nested(1_000),
        "{ flow(where: " + "{_not: " * 300 + "{}" + "}" * 300 + ") { id } }",
        "{ flow(where: " + "{_and: [" * 900 + "{}" + "]}" * 900 + ") { id } }",
        "{ hello } # " + "x" * 300_000,
        "{ hello " + "#\n" * 5_000 + "}",
        "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }",
        "{ flow { id } } fragment a on flow { ...a }",
        "query q(" + " ".join(f"$v{n}: Int" for n in range(1_000)) + ") { hello }",
        "{ flow(where: " + "{_and: [" * 1_400 + "{}" + "]}" * 1_400 + ") { id } }",
        "{ flow_run(where: {labels: {_contains: " + "[" * 2_900 + "]" * 2_900 + "}}) { id } }",
        "{ flow_run(where: {labels: {_contains: " + "[" * 400 + "]" * 400 + "}}) { id } }",
    ],
)
async def test_hostile_queries_are_answered_with_400(http: httpx.AsyncClient, query: str) -> None:
    response = await http.post("/graphql", json={"query": query})
    assert response.status_code in (200, 400)
    assert response.json()["errors"]
    assert len(response.content) < 20_000


@pytest.mark.asyncio
async def test_what_prefects_clients_ask_fits(http: httpx.AsyncClient) -> None:
    where = '(where: {flow: {name: {_eq: "x"}}, state: {_eq: "%s"}})'
    dashboard = " ".join(f"s{n}: flow_run_aggregate{where % n} {{ aggregate {{ count }} }}" for n in range(17))
    deep = "project { flows { flow_runs { task_runs { task { flow { name } } } } } }"
    ids = ", ".join(f'"00000000-0000-7000-8000-{n:012x}"' for n in range(4_000))
    queries = [f"{{ {dashboard} }}", f"{{ {deep} }}", f"{{ task_run(where: {{id: {{_nin: [{ids}]}}}}) {{ id }} }}"]
    for query in queries:
        response = await http.post("/graphql", json={"query": query, "variables": "null"})
        assert response.status_code == 200
        assert "errors" not in response.json()
    batch = (await http.post("/graphql", json=[{"query": query} for query in queries[:2]])).json()
    assert [list(answer) for answer in batch] == [["data"], ["data"]]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("query", "message"),
    [
        (nested(5), "The query is 12 levels deep, and 10 are allowed"),
        ("{ " + " ".join(f"a{n}: hello" for n in range(101)) + " }", "more than 100 aliases"),
        ("{ " + "hello " * 11 + "}", "'hello' is asked for more than 10 times in one place"),
        ("{ flow_run(limit: 10001) { id } }", "limit: at most 10,000 rows at a time; fetch further ones with offset"),
        ("{ flow { tasks(limit: 10001) { id } } }", "limit: at most 10,000 rows at a time"),
        ("{ flow_run_aggregate(limit: 10001) { nodes { id } } }", "limit: at most 10,000 rows at a time"),
        ("{ flow_run(limit: 2147483648) { id } }", "32-bit"),
        ("{ flow(distinct_on: [" + "name " * 11 + "]) { id } }", "distinct_on: at most 10 columns"),
        ("{ flow(order_by: [" + "{name: asc} " * 21 + "]) { id } }", "order_by: at most 20 columns"),
        ("{ flow(where: " + "{_not: " * 20 + "{}" + "}" * 20 + ") { id } }", "conditions may be nested 16 deep"),
        ("{ flow(where: {name: {_in: [" + '"" ' * 6_000 + "]}}) { id } }", "6000 tokens"),
        ("{ hello } # " + "x" * 200_000, "longer than 200,000 characters"),
        ("{ flow_run(where: {labels: {_contains: " + "[" * 2_900 + "]" * 2_900 + "}}) { id } }", "nested too deeply"),
        ("{ flow_run(where: {labels: {_contains: [" + "1 " * 200 + "]}}) { id } }", "at most 200 values"),
    ],
)
async def test_a_limit_is_named(http: httpx.AsyncClient, query: str, message: str) -> None:
    [error] = (await http.post("/graphql", json={"query": query})).json()["errors"]
    assert message in error["message"]
    assert error["extensions"]["code"] in ("BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED")


WHERE = "query ($w: flow_run_bool_exp) { flow_run(where: $w) { id } }"
LINES = "mutation ($i: write_run_logs_input!) { write_run_logs(input: $i) { success } }"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("query", "variables", "message"),
    [
        (WHERE, {"w": {"_or": [{"name": {"_eq": "x"}}] * 1_000}}, "more than 2,000 objects"),
        (WHERE, {"w": {"_or": [{}] * 1_990}}, None),
        (WHERE, {"w": {"name": {"_in": ["x"] * 20_001}}}, "more than 20,000 values in a list"),
        (LINES, {"i": {"logs": [{}] * 20_001}}, "more than 20,000 values in a list"),
    ],
)
async def test_variables_have_limits(http: httpx.AsyncClient, query: str, variables: Any, message: str | None) -> None:
    answer = (await http.post("/graphql", json={"query": query, "variables": variables})).json()
    assert message in answer["errors"][0]["message"] if message else "errors" not in answer


@pytest.mark.asyncio
async def test_a_batch_shares_the_limit_of_variables(http: httpx.AsyncClient) -> None:
    half = {"query": WHERE, "variables": {"w": {"_or": [{}] * 1_500}}}
    first, second = (await http.post("/graphql", json=[half, half])).json()
    assert "errors" not in first
    assert "more than 2,000 objects" in second["errors"][0]["message"]


def test_a_flow_may_be_large() -> None:
    flow = {"tasks": [{"slug": str(n), "tags": []} for n in range(30_000)]}
    Budget().spend_variables({"input": {"serialized_flow": flow}}, is_mutation=True)
