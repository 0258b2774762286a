"""Root fields of old pages that are no tables: the tasks that are reached from others, and the kinds of states."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from prefectlite import Runtime, states
from tests.api.test_queries import both_ways

Ask = Any
BY_SLUG = '{{ task(where: {{flow: {{name: {{_eq: "doubling"}}}}, slug: {{_eq: "{}"}}}}) {{ id }} }}'


async def id_of(ask: Ask, slug: str) -> str:
    return str((await ask(BY_SLUG.format(slug)))["task"][0]["id"])


@pytest.mark.asyncio
@pytest.mark.usefixtures("runtime")
async def test_the_tasks_that_a_restart_needs(http: httpx.AsyncClient, ask: Ask) -> None:
    numbers, double, size = [await id_of(ask, slug) for slug in ("numbers-1", "double-1", "size")]
    query = (
        "query q($ids: _uuid) { utility_downstream_tasks(args: {start_task_ids: $ids}, order_by: {depth: asc},"
        ' where: {task: {name: {_neq: "size"}}})'
        " { task_id depth tenant_id __typename task { slug task_runs(limit: 1) { id } } } }"
    )
    [first, second] = (await both_ways(http, query, {"ids": f"{{{numbers},{size}}}"}))["utility_downstream_tasks"]
    assert (first["task"]["slug"], first["depth"], first["task_id"]) == ("numbers-1", 0, numbers)
    assert (second["task"]["slug"], second["depth"], second["__typename"]) == ("double-1", 1, "utility_traversal")
    for ids in (f'"{{{double}}}"', f'"{{ \\"{double.upper()}\\" }}"', f'["{double}"]'):
        up = (
            f"{{ utility_upstream_tasks(args: {{start_task_ids: {ids}, depth_limit: 1}}, order_by: {{depth: desc}})"
            " { depth task { slug } } a: utility_upstream_tasks_aggregate("
            f"args: {{start_task_ids: {ids}}}) {{ aggregate {{ count max {{ depth }} }} nodes {{ task_id }} }} }}"
        )
        found = await both_ways(http, up)
        assert [row["task"]["slug"] for row in found["utility_upstream_tasks"]] == ["numbers-1", "double-1"]
        assert found["a"]["aggregate"] == {"count": 2, "max": {"depth": 1}}
        assert {node["task_id"] for node in found["a"]["nodes"]} == {numbers, double}


@pytest.mark.asyncio
@pytest.mark.parametrize("args", ["{}", "{start_task_ids: null}", '{start_task_ids: "{}"}', "{start_task_ids: []}"])
async def test_from_nothing_nothing_is_reached(ask: Ask, args: str) -> None:
    assert await ask(f"{{ utility_downstream_tasks(args: {args}) {{ depth }} }}") == {"utility_downstream_tasks": []}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        ('{start_task_ids: "{x}"}', 400, "Could not parse UUID: x"),
        ('{start_task_ids: "x"}', 400, "list of UUIDs 'x'"),
        ("{start_task_ids: 5}", 400, "a list of UUIDs"),
        ("{depth_limit: -1}", 200, "depth_limit: -1"),
    ],
)
async def test_says_what_cannot_be_asked(http: httpx.AsyncClient, args: str, status: int, message: str) -> None:
    response = await http.post("/graphql", json={"query": f"{{ utility_upstream_tasks(args: {args}) {{ depth }} }}"})
    assert response.status_code == status
    assert message in response.json()["errors"][0]["message"]


@pytest.mark.asyncio
async def test_the_kinds_of_states(http: httpx.AsyncClient, runtime: Runtime) -> None:
    found = (await both_ways(http, "{ reference_data { state_hierarchy state_info __typename } }"))["reference_data"]
    assert found["__typename"] == "reference_data"
    assert set(found["state_info"]) == set(states.BY_NAME)
    success = {"is_pending": False, "is_running": False, "is_finished": True, "is_successful": True, "is_failed": False}
    assert found["state_info"]["Cached"] == {"color": states.Cached.color, **success}

    def below(tree: dict[str, Any]) -> set[str]:
        return set(tree).union(*map(below, tree.values()))

    tree = found["state_hierarchy"]["State"]
    assert set(tree) == {"Pending", "Running", "Finished", "_MetaState"}
    assert tree["Finished"]["Success"] == {"Cached": {}, "Mapped": {}, "Skipped": {}}
    assert {name for name in below(tree) if not name.startswith("_")} == set(states.BY_NAME) - {"State"}
