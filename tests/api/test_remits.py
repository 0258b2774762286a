"""What an agent's token is good for: runs that its agents execute or may take, and no others."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest
import pytest_asyncio

from prefectlite import Runtime
from prefectlite.clock import to_micros
from prefectlite.ids import new_id
from prefectlite.orchestrator.calls import (
    CACHED,
    FLOW,
    FLOW_RUN,
    LEAVE,
    SCHEDULED_RUNS,
    TASK_RUN_STATE,
    TASK_RUNS,
    WRITE_LINES,
    CacheKey,
    Executor,
)  # fmt: skip
from prefectlite.records import LogRow
from prefectlite.roles import Role
from prefectlite.rules.proposals import FlowRunCreation, FlowRunProposal
from prefectlite.settings import load_settings
from prefectlite.states import Cancelled, Failed, Running, Scheduled, Submitted, Success
from tests.api.conftest import doubling, other
from tests.api.prefect_client import AGENT, PrefectClient
from tests.api.remote_agents import Agent, agent_of, run_with, task_run_of

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def runtime(api_database_url: str) -> AsyncIterator[Runtime]:
    settings = load_settings(database_url=api_database_url, auth=True)
    async with Runtime([doubling], settings=settings, agent=False) as runtime:
        yield runtime


@pytest_asyncio.fixture
async def ours(runtime: Runtime, http: httpx.AsyncClient) -> Agent:
    agent = await agent_of(runtime, http, "ours")
    await agent.register("a")
    return agent


@pytest_asyncio.fixture
async def theirs(runtime: Runtime, http: httpx.AsyncClient) -> Agent:
    agent = await agent_of(runtime, http, "theirs")
    await agent.register("a", "b")
    return agent


async def test_an_agent_executes_what_has_its_labels(runtime: Runtime, ours: Agent) -> None:
    run_id = await run_with(runtime, "a")
    assert [found for found, _ in await ours.asks(SCHEDULED_RUNS, ours.executor)] == [run_id]
    flow_id = (await ours.asks(FLOW_RUN, run_id))["flow_id"]
    assert (await ours.asks(FLOW, flow_id))["name"] == "doubling"
    assert await ours.claims(run_id) == [("accept", None)]
    task_run_id, begins = await task_run_of(runtime, run_id, 1)
    assert await ours.proposes(begins) == [("accept", None)]
    assert [row["id"] for row in await ours.asks(TASK_RUNS, run_id)] == [task_run_id]
    assert (await ours.asks(TASK_RUN_STATE, task_run_id))[0]["name"] == "Running"
    assert await ours.asks(CACHED, CacheKey("key", run_id, -1)) == []
    assert await ours.ends(run_id, 1) == [("accept", None)]
    assert await ours.asks(LEAVE, ours.executor) is None


async def test_an_agent_cannot_read_anothers_run(runtime: Runtime, ours: Agent, theirs: Agent) -> None:
    run_id = await run_with(runtime, "a")
    assert await theirs.claims(run_id) == [("accept", None)]
    task_run_id, begins = await task_run_of(runtime, run_id, 1)
    await theirs.proposes(begins)
    others = [run_id, await run_with(runtime, "b")]  # executed by them, and for such as them
    for one in others:
        for call in (TASK_RUNS, FLOW_RUN):
            assert await ours.asks(call, one) == "FORBIDDEN"
        assert await ours.asks(CACHED, CacheKey("key", one, -1)) == "FORBIDDEN"
    assert await ours.asks(TASK_RUN_STATE, task_run_id) == "FORBIDDEN"


async def test_an_agent_cannot_change_anothers_run(runtime: Runtime, ours: Agent, theirs: Agent) -> None:
    run_id = await run_with(runtime, "a")
    await theirs.claims(run_id)
    _, begins = await task_run_of(runtime, run_id, 1)
    assert await ours.proposes(begins) == [("refuse", "STALE_LEASE")]  # with the very lease
    assert await ours.ends(run_id, 1) == [("refuse", "STALE_LEASE")]
    assert await ours.claims(run_id) == [("refuse", "OWNED")]
    assert await ours.claims(run_id, takeover_from=theirs.executor.id) == "FORBIDDEN"
    assert await ours.claims(run_id, claim=theirs.executor.id) == "FORBIDDEN"
    assert await ours.ends(run_id, None, Failed()) == [("refuse", "OWNED")]
    elsewhere = await run_with(runtime, "b")
    assert await ours.claims(elsewhere) == [("refuse", "OWNED")]
    assert (await runtime.session.flow_run(run_id)).state == "Running"


async def test_what_no_executor_sends(runtime: Runtime, ours: Agent) -> None:
    run_id = await run_with(runtime, "a")
    flow_id = (await runtime.session.flow_run(run_id)).flow_id
    facts = FlowRunCreation(flow_id, "mine", {}, {}, [], 0)
    assert await ours.proposes(FlowRunProposal(new_id(), ours.record(Scheduled()), create=facts)) == "FORBIDDEN"
    for state in (Success(), Running(), Cancelled()):
        assert await ours.ends(run_id, None, state) == "FORBIDDEN"
    _, begins = await task_run_of(runtime, run_id, 1)
    assert await ours.proposes(msgspec.structs.replace(begins, lease=None)) == "FORBIDDEN"
    assert await ours.ends(run_id, None, Submitted()) == [("accept", None)]
    assert await ours.ends(run_id, None, Failed("its code is not here")) == [("accept", None)]


async def test_a_stolen_lease_is_of_no_use_after_the_next(runtime: Runtime, ours: Agent, theirs: Agent) -> None:
    run_id = await run_with(runtime, "a")
    await ours.claims(run_id)
    _, begins = await task_run_of(runtime, run_id, 1)
    owner = ours.executor.id
    taken = FlowRunProposal(run_id, ours.record(Running()), claim="server", takeover_from=owner)
    await runtime.session.orchestrator.propose(taken)  # as the server does when nothing is heard of an agent
    scheduled = FlowRunProposal(run_id, ours.record(Scheduled(start_time=runtime.session.clock.now())), lease=2)
    await runtime.session.orchestrator.propose(scheduled)
    assert await theirs.claims(run_id) == [("accept", None)]
    assert await ours.proposes(begins) == [("refuse", "STALE_LEASE")]
    assert await ours.ends(run_id, 1) == [("refuse", "STALE_LEASE")]
    assert await ours.asks(TASK_RUNS, run_id) == "FORBIDDEN"


async def test_lines_of_others_runs_are_left_out(runtime: Runtime, ours: Agent, theirs: Agent) -> None:
    mine, another = await run_with(runtime, "a"), await run_with(runtime, "b")
    now = to_micros(runtime.session.clock.now())
    lines = [LogRow(new_id(), run_id, None, now, "INFO", "n", "m") for run_id in (mine, another)]
    assert await ours.asks(WRITE_LINES, lines) is None
    assert await runtime.session.database.read("SELECT flow_run_id FROM log") == [(mine,)]


async def test_an_agent_is_its_tokens(runtime: Runtime, http: httpx.AsyncClient, ours: Agent) -> None:
    await run_with(runtime, "a")
    stranger = await agent_of(runtime, http, "stranger")
    for call in (SCHEDULED_RUNS, LEAVE):
        assert await stranger.asks(call, ours.executor) == "FORBIDDEN"
    await stranger.register("a")
    assert stranger.executor.agent_id != ours.executor.agent_id  # though both say the same of themselves
    disguised = Executor(ours.executor.id, stranger.executor.agent_id, ["a"])
    assert await stranger.asks(SCHEDULED_RUNS, disguised) == "FORBIDDEN"
    widened = msgspec.structs.replace(stranger.executor, labels=["a", "b"])
    assert await stranger.asks(SCHEDULED_RUNS, widened) == "FORBIDDEN"
    again = stranger.executor.agent_id
    await stranger.register("a")
    assert stranger.executor.agent_id == again


async def test_a_scripts_run_is_no_agents(runtime: Runtime, ours: Agent) -> None:
    row, _ = await runtime.session.create(other, {"number": 1})
    assert await ours.asks(FLOW_RUN, row.id) == "FORBIDDEN"


# -- agents of Prefect 1.x ------------------------------------------------------------------------------------------------


async def prefect_agent(runtime: Runtime, http: httpx.AsyncClient, name: str, *labels: str) -> PrefectClient:
    token = await runtime.session.client.tokens.create(name, Role.AGENT)
    authorization = {"authorization": f"Bearer {token.text}"}
    made = await PrefectClient(http, **authorization).do(
        "register_agent", "id", type="LocalAgent", name="agent", labels=list(labels), tenant_id=None
    )
    return PrefectClient(http, **authorization, **{AGENT: made["id"]})


async def test_a_prefect_agent_tells_of_its_runs_only(runtime: Runtime, http: httpx.AsyncClient) -> None:
    operator = await runtime.session.client.tokens.create("op", Role.OPERATOR)
    client = PrefectClient(http, authorization=f"Bearer {operator.text}")
    ours, theirs = [await prefect_agent(runtime, http, name, "own") for name in ("ours", "theirs")]
    flow_id = await client.registered()
    run_id = await client.run_of(flow_id)
    await theirs.set_state("flow_run", run_id, "Submitted", state=client.state("Scheduled"))
    await theirs.set_state("flow_run", run_id, "Running")
    rows = await runtime.session.database.read("SELECT id, task_id FROM task_run WHERE flow_run_id = $1", (run_id,))
    task_run_id, task_id = rows[0]
    await theirs.set_state("task_run", task_run_id, "Running")
    place = {"flow_run_id": run_id, "task_id": task_id, "map_index": -1}
    assert (await theirs.do("get_or_create_task_run", "id", **place))["id"] == task_run_id

    line = {"flow_run_id": run_id, "message": "not theirs", "level": "INFO"}
    await ours.do("write_run_logs", "success", logs=[line])
    assert await runtime.session.database.read("SELECT 1 FROM log") == []
    refused = [
        ours.do("get_or_create_task_run", "id", **place),
        ours.do("update_flow_run_heartbeat", "success", flow_run_id=run_id),
        ours.do("set_task_run_name", "success", task_run_id=task_run_id, name="x"),
        ours.do("create_task_run_artifact", "id", task_run_id=task_run_id, kind="link", data={}),
        ours.set_state("flow_run", run_id, "Success"),
        ours.set_state("task_run", task_run_id, "Success"),
    ]
    for attempt in refused:
        with pytest.raises(AssertionError, match="not one that the agents"):
            await attempt
    await theirs.set_state("flow_run", run_id, "Success")


async def test_a_run_of_ones_own_lends_itself_to_no_other(runtime: Runtime, ours: Agent, theirs: Agent) -> None:
    mine, another = await run_with(runtime, "a"), await run_with(runtime, "a")
    await ours.claims(mine)
    await theirs.claims(another)
    task_run_id, begins = await task_run_of(runtime, another, 1)
    await theirs.proposes(begins)
    _, own = await task_run_of(runtime, mine, 1)
    for forged in (
        msgspec.structs.replace(own, run_id=task_run_id, expected_version=None),
        msgspec.structs.replace(own, run_id=task_run_id, expected_version=1),
        msgspec.structs.replace(own, run_id=task_run_id),
        msgspec.structs.replace(own, run_id=task_run_id, state=ours.record(Success()), restart=True, expected_version=1),
    ):
        assert await ours.proposes(forged) == [("refuse", "NOT_FOUND")]
    rows = await runtime.session.database.read(
        "SELECT flow_run_id, state, version FROM task_run WHERE id = $1", (task_run_id,)
    )
    assert rows == [(another, "Running", 1)]
    line = LogRow(new_id(), mine, task_run_id, 1, "INFO", "n", "not theirs")
    assert await ours.asks(WRITE_LINES, [line]) is None
    assert await runtime.session.database.read("SELECT 1 FROM log") == []
