"""What agents see and are given: the runs they may take, and none that their token's labels and projects leave out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from prefectlite import Runtime
from prefectlite.api.news import Sources
from prefectlite.api.permissions import TABLE_READERS
from prefectlite.api.turns import Turns
from prefectlite.client.remits import Remit
from prefectlite.client.tokens import Bounds
from prefectlite.errors import Forbidden
from prefectlite.orchestrator import calls
from prefectlite.orchestrator.calls import FLOW, FLOW_RUN, SCHEDULED_RUNS, TASK_RUNS
from prefectlite.repository.reach import OF_FLOW, OF_FLOW_RUN, OF_TASK_RUN
from prefectlite.repository.tables import TABLES
from prefectlite.roles import Role
from prefectlite.settings import load_settings
from prefectlite.states import Success
from tests.api.conftest import doubling
from tests.api.prefect_client import AGENT, PrefectClient
from tests.api.remote_agents import REGISTER, Agent, agent_of, run_with, task_run_of

pytestmark = pytest.mark.asyncio
IDS = "{ flow_run(order_by: {created: asc}) { id } }"


@pytest_asyncio.fixture
async def runtime(api_database_url: str) -> AsyncIterator[Runtime]:
    settings = load_settings(database_url=api_database_url, auth=True)
    async with Runtime([doubling], settings=settings, agent=False) as runtime:
        yield runtime


async def seen(agent: Agent, query: str = IDS, **variables: Any) -> Any:
    answer = await agent.graphql(query, **variables)
    assert "errors" not in answer, answer
    return answer["data"]


async def ids(agent: Agent) -> list[str]:
    return [run["id"] for run in (await seen(agent))["flow_run"]]


async def code(agent: Agent, query: str, **variables: Any) -> str:
    found: str = (await agent.graphql(query, **variables))["errors"][0]["extensions"]["code"]
    return found


# -- what is seen ---------------------------------------------------------------------------------------------------------


async def test_queries_show_the_runs_of_the_remit(runtime: Runtime, http: httpx.AsyncClient) -> None:
    ours, theirs = [await agent_of(runtime, http, name) for name in ("ours", "theirs")]
    await ours.register("a")
    await theirs.register("a", "b")
    mine, another, free = [await run_with(runtime, "a"), await run_with(runtime, "a"), await run_with(runtime, "b")]
    assert await ids(ours) == [mine, another]
    assert await ids(theirs) == [mine, another, free]
    await theirs.claims(another)
    task_run_id, begins = await task_run_of(runtime, another, 1)
    await theirs.proposes(begins)
    await ours.claims(mine)
    assert await ids(ours) == [mine]
    assert await ids(theirs) == [another, free]
    everything = """
    query ($run: uuid!, $task_run: uuid!) {
        flow_run_by_pk(id: $run) { state }
        flow_run_aggregate { aggregate { count } nodes { id } }
        flow_run_state(where: {flow_run_id: {_eq: $run}}) { state }
        task_run { id }
        task_run_by_pk(id: $task_run) { state }
        task_run_state { state }
        task_run_counts(flow_run_id: $run) { count }
        flow { flow_runs { id } flow_runs_aggregate { aggregate { count } } tasks { task_runs { id } } }
        by_parent: flow(where: {flow_runs: {id: {_eq: $run}}}) { id }
        by_child: flow_run(where: {task_runs: {id: {_eq: $task_run}}}) { id }
        first: flow_run(distinct_on: [flow_id], order_by: {flow_id: asc, created: desc}) { id }
    }
    """
    given = {"run": another, "task_run": task_run_id}
    found = await seen(ours, everything, **given)
    assert found["flow_run_aggregate"] == {"aggregate": {"count": 1}, "nodes": [{"id": mine}]}
    assert found["first"] == [{"id": mine}]
    flow = found["flow"][0]
    assert (flow["flow_runs"], flow["flow_runs_aggregate"]) == ([{"id": mine}], {"aggregate": {"count": 1}})
    assert not any(task["task_runs"] for task in flow["tasks"])
    told = ("flow_run_by_pk", "flow_run_state", "task_run", "task_run_by_pk", "task_run_state", "task_run_counts")
    assert not any(found[name] for name in (*told, "by_parent", "by_child"))
    found = await seen(theirs, everything, **given)
    assert all(found[name] for name in (*told, "by_parent", "by_child"))
    for field in ("get_task_run_info(task_run_id: $id) { state }", "mapped_children(task_run_id: $id) { state_counts }"):
        assert await code(ours, f"query ($id: UUID!) {{ {field} }}", id=task_run_id) == "FORBIDDEN"
        assert "errors" not in await theirs.graphql(f"query ($id: UUID!) {{ {field} }}", id=task_run_id)


async def test_an_agent_that_has_not_registered_sees_no_run(runtime: Runtime, http: httpx.AsyncClient) -> None:
    await run_with(runtime)
    assert await ids(await agent_of(runtime, http, "new")) == []


async def test_every_table_of_runs_is_confined() -> None:
    for name, table in TABLES.items():
        if {"flow_run_id", "task_run_id", "flow_id"} & set(table.columns):
            confined = name in ("flow_run", *OF_FLOW_RUN, *OF_TASK_RUN, *OF_FLOW)
            assert confined or not TABLE_READERS[name] & {Role.AGENT, Role.RUN}, name


async def test_news_are_of_the_runs_of_the_remit(runtime: Runtime, http: httpx.AsyncClient) -> None:
    ours, theirs = [await agent_of(runtime, http, name) for name in ("ours", "theirs")]
    await ours.register("a")
    await theirs.register("b")
    tokens = runtime.session.client.tokens
    known = await tokens.identity(ours.token.encode())
    assert known is not None
    remit = Remit(runtime.session.database, known.token_id, known.bounds)
    sources = Sources(runtime.session)
    news = sources.open("state_changes", Turns(), remit, task_runs=True, after=-1)
    old, foreign = await run_with(runtime, "a"), await run_with(runtime, "b")
    assert [piece[2] for _, piece in (await anext(news)).pieces] == [old]
    coming = asyncio.ensure_future(anext(news))
    await theirs.claims(foreign)
    _, begins = await task_run_of(runtime, foreign, 1)
    await theirs.proposes(begins)
    await theirs.ends(foreign, 1)
    new = await run_with(runtime, "a")
    batch = await asyncio.wait_for(coming, 10)
    assert {change.flow_run_id for _, change in batch.pieces} == {new}
    await news.aclose()
    refused = sources.open("state_changes", Turns(), remit, flow_run_id=foreign)
    with pytest.raises(Forbidden, match=foreign):
        await anext(refused)


# -- what a token says of its agents --------------------------------------------------------------------------------------


async def test_agents_have_labels_of_their_tokens_only(runtime: Runtime, http: httpx.AsyncClient) -> None:
    agent = await agent_of(runtime, http, "bound", labels=["a", "b"])
    for labels in ([], ["c"], ["a", "c"]):
        given = {"type": "LocalAgent", "name": "one", "labels": labels}
        assert await code(agent, REGISTER, i=given) == "FORBIDDEN"
    await agent.register("a")
    mine, others = await run_with(runtime, "a"), [await run_with(runtime, "b"), await run_with(runtime)]
    assert [found for found, _ in await agent.asks(SCHEDULED_RUNS, agent.executor)] == [mine]
    for run_id in others:
        assert await agent.claims(run_id) == [("refuse", "OWNED")]
        assert await agent.asks(FLOW_RUN, run_id) == "FORBIDDEN"
    assert await agent.claims(mine) == [("accept", None)]


@pytest_asyncio.fixture
async def projects(runtime: Runtime) -> tuple[str, str]:
    """The ids of the project that the flow `doubling` is in, and of another one."""
    [(first,)] = await runtime.session.database.read("SELECT project_id FROM flow WHERE name = 'doubling'")
    return first, await runtime.session.client.create_project("other")


async def test_agents_take_runs_of_their_tokens_projects_only(
    runtime: Runtime, http: httpx.AsyncClient, projects: tuple[str, str]
) -> None:
    here, elsewhere = [await agent_of(runtime, http, str(n), projects=[p]) for n, p in enumerate(projects)]
    await here.register()
    await elsewhere.register()
    run_id = await run_with(runtime)
    flow_id = (await runtime.session.flow_run(run_id)).flow_id
    assert [found for found, _ in await here.asks(SCHEDULED_RUNS, here.executor)] == [run_id]
    assert await elsewhere.asks(SCHEDULED_RUNS, elsewhere.executor) == []
    for call, question in ((FLOW_RUN, run_id), (TASK_RUNS, run_id), (FLOW, flow_id)):
        assert await elsewhere.asks(call, question) == "FORBIDDEN"
    assert await elsewhere.claims(run_id) == [("refuse", "OWNED")]
    structure = "{ flow { id } flow_group { id } task { id } edge { id } }"
    assert not any((await seen(elsewhere, structure)).values())
    assert all((await seen(here, structure)).values())
    for agent, project in ((here, projects[0]), (elsewhere, projects[1])):
        assert (await seen(agent, "{ project { id } }")) == {"project": [{"id": project}]}
    assert await here.claims(run_id) == [("accept", None)]
    assert await here.ends(run_id, 1, Success()) == [("accept", None)]


async def test_prefects_agents_are_bound_as_well(
    runtime: Runtime, http: httpx.AsyncClient, projects: tuple[str, str]
) -> None:
    tokens = runtime.session.client.tokens
    operator = PrefectClient(http, authorization=f"Bearer {(await tokens.create('op', Role.OPERATOR)).text}")
    run_id = await operator.run_of(await operator.registered())  # in the project p, with the label own
    project_id = await operator.project()

    async def agent(name: str, labels: list[str], allowed: list[str], project: str) -> PrefectClient:
        token = await tokens.create(name, Role.AGENT, labels=allowed, projects=[project])
        shown = {"authorization": f"Bearer {token.text}"}
        given = {"type": "LocalAgent", "name": name, "labels": labels, "tenant_id": None}
        made = await PrefectClient(http, **shown).do("register_agent", "id", **given)
        return PrefectClient(http, **shown, **{AGENT: made["id"]})

    right = await agent("right", ["own"], ["own"], project_id)
    assert (await right.do("get_runs_in_queue", "flow_run_ids", labels=["own"]))["flow_run_ids"] == [run_id]
    for labels in ([], ["other"]):
        assert "no others: own" in await right.refusal("get_runs_in_queue", "flow_run_ids", labels=labels)
    wrong = await agent("wrong", ["own"], ["own"], projects[1])
    assert (await wrong.do("get_runs_in_queue", "flow_run_ids", labels=["own"]))["flow_run_ids"] == []
    assert "not one that the agents" in await wrong.state_refused("flow_run", run_id, "Submitted")
    wider = await agent("wider", ["x"], ["own", "x"], project_id)  # whatever it asks for, it gets what it said it takes
    assert (await wider.do("get_runs_in_queue", "flow_run_ids", labels=["own"]))["flow_run_ids"] == []


async def test_every_call_is_one_that_something_is_said_of(runtime: Runtime, http: httpx.AsyncClient) -> None:
    agent = await agent_of(runtime, http, "one")
    await agent.register()
    known = await runtime.session.client.tokens.identity(agent.token.encode())
    assert known is not None
    remit = Remit(runtime.session.database, known.token_id, Bounds())
    for name in runtime.session.answers.names:
        question: Any = {
            "cached": calls.CacheKey("k", "x", -1),
            "scheduled_runs": agent.executor,
            "leave": agent.executor,
            "keeps_result": calls.ResultOffer(agent.executor.id, "x", 1, 5),
        }
        await remit.check_call(runtime.session.answers.call_named(name), question.get(name, "x"))
    with pytest.raises(Forbidden, match="Nothing says whether agents may call 'new'"):
        await remit.check_call(calls.Call("new", str, str), "x")


async def test_a_state_of_anothers_run_is_not_told(runtime: Runtime, http: httpx.AsyncClient) -> None:
    ours, theirs = [await agent_of(runtime, http, name) for name in ("ours", "theirs")]
    await ours.register("a")
    await theirs.register("b")
    run_id = await run_with(runtime, "b")
    assert await ours.asks(calls.FLOW_RUN_STATE, run_id) == "FORBIDDEN"
    assert (await theirs.asks(calls.FLOW_RUN_STATE, run_id))[0]["name"] == "Scheduled"
