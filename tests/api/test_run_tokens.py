"""The token that the code of a run has in a process of its own: good for that run, while its executor has the lease."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from prefectlite import Runtime
from prefectlite.client.tokens import RUN_LIFE
from prefectlite.errors import Forbidden
from prefectlite.ids import new_id
from prefectlite.orchestrator.calls import (
    CACHED,
    FLOW,
    FLOW_RUN,
    FLOW_RUN_STATE,
    PROPOSE,
    RUN_TOKEN,
    SCHEDULED_RUNS,
    SECRET,
    TASK_RUN_STATE,
    TASK_RUNS,
    WRITE_LINES,
    CacheKey,
    Executor,
    Proposals,
)
from prefectlite.records import LogRow, RunLease
from prefectlite.roles import Role
from prefectlite.rules.proposals import FlowRunProposal
from prefectlite.services.run_answers import RunAnswers
from prefectlite.settings import load_settings
from prefectlite.states import Running, Scheduled, Success
from tests.api.conftest import doubling, serving
from tests.api.remote_agents import REGISTER, Agent, agent_of, run_with, task_run_of
from tests.api.sockets import close_code, dial, initialise
from tests.conftest import HeldClock

pytestmark = pytest.mark.asyncio
WRITE = "mutation ($i: write_run_logs_input!) { write_run_logs(input: $i) { success } }"
RENAME = "mutation ($i: set_flow_run_name_input!) { set_flow_run_name(input: $i) { success } }"


@pytest_asyncio.fixture
async def runtime(api_database_url: str) -> AsyncIterator[Runtime]:
    settings = load_settings(database_url=api_database_url, auth=True)
    async with Runtime([doubling], settings=settings, agent=False) as runtime:
        yield runtime


@pytest_asyncio.fixture
async def agent(runtime: Runtime, http: httpx.AsyncClient) -> Agent:
    agent = await agent_of(runtime, http, "ours")
    await agent.register("a")
    return agent


class Started:
    """A run that `agent` has begun, and its code, which shows the run's token."""

    def __init__(self, run_id: str, code: Agent) -> None:
        self.run_id, self.code = run_id, code


async def started(runtime: Runtime, http: httpx.AsyncClient, agent: Agent) -> Started:
    run_id = await run_with(runtime, "a")
    token = await agent.asks(RUN_TOKEN, RunLease(run_id, agent.executor.id, 1))
    assert token.startswith("pl_")
    assert await agent.claims(run_id) == [("accept", None)]
    return Started(run_id, Agent(runtime, http, token))


async def test_it_is_good_for_its_run(runtime: Runtime, http: httpx.AsyncClient, agent: Agent) -> None:
    await runtime.session.client.secrets.set("word", "of-mouth")
    run = await started(runtime, http, agent)
    other = await started(runtime, http, agent)
    task_run_id, begins = await task_run_of(runtime, run.run_id, 1)
    await agent.proposes(begins)
    foreign_task_run, begins = await task_run_of(runtime, other.run_id, 1)
    await agent.proposes(begins)
    code = run.code
    answer = await code.graphql("{ flow_run { id } task_run { id } flow { name } flow_run_state { state } }")
    assert answer["data"]["flow_run"] == [{"id": run.run_id}]
    assert answer["data"]["task_run"] == [{"id": task_run_id}]
    await runtime.session.client.create_project("others")
    own_project = {"project": [{"flows": [{"name": "doubling"}]}]}
    assert (await code.graphql("{ project { flows { name } } }"))["data"] == own_project
    assert (await code.asks(FLOW_RUN, run.run_id))["id"] == run.run_id
    assert (await code.asks(TASK_RUN_STATE, task_run_id))[0]["name"] == "Running"
    assert await code.asks(SECRET, "word") == "of-mouth"
    for call in (FLOW_RUN, FLOW_RUN_STATE, TASK_RUNS):
        assert await code.asks(call, other.run_id) == "FORBIDDEN"
    assert await code.asks(TASK_RUN_STATE, foreign_task_run) == "FORBIDDEN"
    lines = [{"flow_run_id": one, "message": "m"} for one in (run.run_id, other.run_id)]
    assert "errors" not in await code.graphql(WRITE, i={"logs": lines})
    assert await runtime.session.database.read("SELECT flow_run_id FROM log") == [(run.run_id,)]
    assert "errors" not in await code.graphql(RENAME, i={"flow_run_id": run.run_id, "name": "mine"})
    refused = await code.graphql(RENAME, i={"flow_run_id": other.run_id, "name": "mine"})
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert (
        await runtime.session.database.read("SELECT actor, role FROM audit_log WHERE action LIKE 'set_flow_run%'")
        == [(f"run {run.run_id}", "run")] * 2
    )


async def test_who_reads_a_secret_is_in_the_audit_log(runtime: Runtime, http: httpx.AsyncClient, agent: Agent) -> None:
    await runtime.session.client.secrets.set("word", "of-mouth")
    run = await started(runtime, http, agent)
    assert await run.code.asks(SECRET, "word") == "of-mouth"
    assert await agent.asks(SECRET, "word") == "of-mouth"
    assert await run.code.asks(SECRET, "nothing") == "NOT_FOUND"
    await agent.asks(FLOW_RUN, run.run_id)
    rows = await runtime.session.database.read(
        "SELECT actor, role, targets, details, outcome FROM audit_log WHERE action = 'read_secret' ORDER BY seq"
    )
    assert [(*row[:2], msgspec.json.decode(row[2]), msgspec.json.decode(row[3]), row[4]) for row in rows] == [
        (f"run {run.run_id}", "run", {"name": "word"}, {}, "done"),
        ("ours", "agent", {"name": "word"}, {}, "done"),
        (f"run {run.run_id}", "run", {"name": "nothing"}, {}, "failed: NOT_FOUND"),
    ]
    assert "of-mouth" not in repr(await runtime.session.database.read("SELECT * FROM audit_log"))
    assert await runtime.session.database.read("SELECT count(*) FROM audit_log WHERE action = 'executor_call'") == [(0,)]


async def test_it_is_good_for_nothing_else(runtime: Runtime, http: httpx.AsyncClient, agent: Agent) -> None:
    run = await started(runtime, http, agent)
    code = run.code
    for call, question in (
        (PROPOSE, Proposals([FlowRunProposal(run.run_id, agent.record(Success()), lease=1)])),
        (SCHEDULED_RUNS, agent.executor),
        (CACHED, CacheKey("k", run.run_id, -1)),
        (WRITE_LINES, []),
        (FLOW, (await runtime.session.flow_run(run.run_id)).flow_id),
        (RUN_TOKEN, RunLease(run.run_id, agent.executor.id, 1)),
    ):
        assert await code.asks(call, question) == "FORBIDDEN"
    refused = await code.graphql(REGISTER, i={"type": "LocalAgent", "name": "one", "labels": ["a"]})
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    for query in ("{ agent { id } }", "{ log { message } }", "{ secret_names }", "{ api_token { id } }"):
        assert (await code.graphql(query))["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    login = await http.post("/api/session", json={"token": code.token})
    assert login.status_code == 403


async def test_a_stolen_one_is_refused_once_the_lease_is_over(
    runtime: Runtime, http: httpx.AsyncClient, agent: Agent
) -> None:
    run = await started(runtime, http, agent)
    shown = {"authorization": f"Bearer {run.code.token}"}

    async def status() -> int:
        return (await http.post("/graphql", json={"query": "{ hello }"}, headers=shown)).status_code

    assert await status() == 200
    again = FlowRunProposal(run.run_id, agent.record(Running()), claim="server", takeover_from=agent.executor.id)
    await runtime.session.orchestrator.propose(again)
    assert await status() == 403
    due = Scheduled(start_time=runtime.session.clock.now())
    await runtime.session.orchestrator.propose(FlowRunProposal(run.run_id, agent.record(due), lease=2))
    assert await agent.claims(run.run_id) == [("accept", None)]  # the same executor, with another lease
    assert await status() == 403
    token = await agent.asks(RUN_TOKEN, RunLease(run.run_id, agent.executor.id, 3))
    shown["authorization"] = f"Bearer {token}"
    assert await status() == 200
    await agent.ends(run.run_id, 3)
    assert await status() == 403


async def test_before_the_run_is_claimed_it_is_good_for_nothing(runtime: Runtime, agent: Agent, http: Any) -> None:
    run_id = await run_with(runtime, "a")
    token = await agent.asks(RUN_TOKEN, RunLease(run_id, agent.executor.id, 1))
    with pytest.raises(Forbidden, match="over"):
        await runtime.session.client.tokens.identity(token.encode())
    theirs = await agent_of(runtime, http, "theirs")
    await theirs.register("a")
    assert await theirs.claims(run_id) == [("accept", None)]  # with the same number
    with pytest.raises(Forbidden, match="over"):
        await runtime.session.client.tokens.identity(token.encode())


async def test_who_gets_one(runtime: Runtime, http: httpx.AsyncClient, agent: Agent) -> None:
    foreign = await run_with(runtime, "b")
    mine = await run_with(runtime, "a")
    for lease in (
        RunLease(foreign, agent.executor.id, 1),
        RunLease(mine, f"{new_id()}/{new_id()}", 1),
        RunLease(mine, "server", 1),
    ):
        assert await agent.asks(RUN_TOKEN, lease) == "FORBIDDEN"
    assert await agent.asks(RUN_TOKEN, RunLease(new_id(), agent.executor.id, 1)) == "NOT_FOUND"


async def test_it_ends_with_its_agents(runtime: Runtime, http: httpx.AsyncClient, agent: Agent) -> None:
    run = await started(runtime, http, agent)
    tokens = runtime.session.client.tokens
    known = await tokens.identity(agent.token.encode())
    assert known is not None
    assert await tokens.identity(run.code.token.encode()) is not None
    await tokens.revoke(known.token_id)
    assert await tokens.identity(run.code.token.encode()) is None
    assert run.code.token not in repr(await runtime.session.database.read("SELECT * FROM run_token"))


async def test_it_is_for_an_hour(api_database_url: str) -> None:
    clock = HeldClock()
    settings = load_settings(database_url=api_database_url, auth=True)
    async with Runtime([doubling], settings=settings, agent=False, clock=clock) as runtime:
        tokens = runtime.session.client.tokens
        run_id = await run_with(runtime)
        record = Agent(runtime, None, "").record(Running())  # type: ignore[arg-type]
        await runtime.session.orchestrator.propose(FlowRunProposal(run_id, record, claim="x"))
        text = await tokens.for_run(RunLease(run_id, "x", 1))
        clock.advance(RUN_LIFE.total_seconds() - 1)
        assert await tokens.identity(text.encode()) is not None
        clock.advance(1)
        assert await tokens.identity(text.encode()) is None
        await tokens.for_run(RunLease(run_id, "x", 1))
        assert await runtime.session.database.read("SELECT count(*) FROM run_token") == [(1,)]  # the expired one is gone


async def test_a_websocket_ends_with_the_lease(runtime: Runtime, http: httpx.AsyncClient, agent: Agent) -> None:
    run = await started(runtime, http, agent)
    another = await runtime.session.client.tokens.create("x", "viewer")
    shown = {"authorization": f"Bearer {run.code.token}"}
    async with serving(runtime.app) as port, dial(port, additional_headers=shown) as socket:
        await initialise(socket)
        await agent.ends(run.run_id, 1)
        await runtime.session.client.tokens.revoke(another.id)  # has all looked at again, which is done now and then
        assert await close_code(socket) == 4403


# -- the line to the process ----------------------------------------------------------------------------------------------


async def test_the_process_is_answered_for_its_run_alone(runtime: Runtime, agent: Agent) -> None:
    mine, other = await run_with(runtime, "a"), await run_with(runtime, "a")
    await agent.claims(other)
    foreign, begins = await task_run_of(runtime, other, 1)
    await agent.proposes(begins)
    answers = RunAnswers(runtime.session.answers, mine, "x")

    async def may(call: Any, question: Any) -> bool:
        try:
            await answers.answer(answers.call_named(call.name) if call is not RUN_TOKEN else call, question)
        except Forbidden:
            return False
        return True

    def line(run_id: str) -> LogRow:
        return LogRow(new_id(), run_id, None, 0, "INFO", "n", "m")

    def proposal(run_id: str, **more: Any) -> Proposals:
        return Proposals([FlowRunProposal(run_id, agent.record(Running()), **more)])

    task_run_id, begins = await task_run_of(runtime, mine, 1)
    for call, own, anothers in (
        (TASK_RUNS, mine, other),
        (FLOW_RUN_STATE, mine, other),
        (FLOW_RUN, mine, other),
        (CACHED, CacheKey("k", mine, -1), CacheKey("k", other, -1)),
        (WRITE_LINES, [line(mine)], [line(mine), line(other)]),
        (PROPOSE, proposal(mine, claim="x"), proposal(other, claim="x")),
        (PROPOSE, Proposals([begins]), proposal(mine, claim="y")),
        (TASK_RUN_STATE, task_run_id, foreign),
        (PROPOSE, Proposals([]), Proposals([msgspec.structs.replace(begins, flow_run_id=other)])),
    ):
        assert await may(call, own), call.name
        assert not await may(call, anothers), call.name
    assert not await may(SCHEDULED_RUNS, Executor("x", "x", []))
    assert not await may(RUN_TOKEN, RunLease(mine, "x", 1))


async def test_people_make_none(runtime: Runtime) -> None:
    with pytest.raises(ValueError, match="role: 'run' is none of"):
        await runtime.session.client.tokens.create("x", str(Role.RUN))
