"""Which secrets the token of an agent, and those of its runs, may read: all, or those that it was made for."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from prefectlite import Runtime
from prefectlite.client.tokens import Bounds
from prefectlite.errors import BadRequest
from prefectlite.orchestrator.calls import RUN_TOKEN, SECRET
from prefectlite.records import RunLease
from prefectlite.roles import Role
from prefectlite.settings import load_settings
from tests.api.conftest import doubling
from tests.api.remote_agents import Agent, agent_of, run_with

pytestmark = pytest.mark.asyncio
SECRETS = ("db-password", "db", "slack", "SLACK")
FORBIDDEN = "FORBIDDEN"


@pytest_asyncio.fixture
async def runtime(api_database_url: str) -> AsyncIterator[Runtime]:
    settings = load_settings(database_url=api_database_url, auth=True)
    async with Runtime([doubling], settings=settings, agent=False) as runtime:
        for name in SECRETS:
            await runtime.session.client.secrets.set(name, f"of {name}")
        yield runtime


async def read_by(agent: Agent) -> dict[str, str]:
    """The secrets that it is given."""
    answers = {name: await agent.asks(SECRET, name) for name in SECRETS}
    assert {answer for name, answer in answers.items() if answer != f"of {name}"} <= {FORBIDDEN}
    return {name: answer for name, answer in answers.items() if answer != FORBIDDEN}


@pytest.mark.parametrize(
    ("names", "readable"),
    [
        (None, SECRETS),
        ([], ()),
        (["db"], ("db",)),
        (["db-*", "slack"], ("db-password", "slack")),
        (["*"], SECRETS),
        (["*-password", "s?ack"], ()),
    ],
)
async def test_an_agent_and_its_runs_read_what_its_token_is_for(
    runtime: Runtime, http: httpx.AsyncClient, names: list[str] | None, readable: tuple[str, ...]
) -> None:
    agent = await agent_of(runtime, http, "box", secrets=names)
    await agent.register("a")
    assert set(await read_by(agent)) == set(readable)
    run_id = await run_with(runtime, "a")
    token = await agent.asks(RUN_TOKEN, RunLease(run_id, agent.executor.id, 1))
    assert await agent.claims(run_id) == [("accept", None)]
    assert set(await read_by(Agent(runtime, http, token))) == set(readable)


async def test_what_there_is_not_is_not_told_to_who_may_not_read_it(runtime: Runtime, http: httpx.AsyncClient) -> None:
    agent = await agent_of(runtime, http, "box", secrets=["db-*"])
    await agent.register("a")
    assert await agent.asks(SECRET, "nothing") == FORBIDDEN
    assert await agent.asks(SECRET, "db-nothing") == "NOT_FOUND"


async def test_admins_make_and_see_such_tokens(runtime: Runtime, http: httpx.AsyncClient) -> None:
    admin = Agent(runtime, http, (await runtime.session.client.tokens.create("root", Role.ADMIN)).text)
    make = "mutation ($i: create_api_token_input!) { create_api_token(input: $i) { token } }"
    given = {"name": "box", "role": "agent", "secrets": ["db-*"]}
    made = (await admin.graphql(make, i=given))["data"]["create_api_token"]["token"]
    assert set(await read_by(Agent(runtime, http, made))) == {"db-password"}
    listed = (await admin.graphql("{ api_token(order_by: {created: asc}) { name secrets } }"))["data"]["api_token"]
    assert listed == [{"name": "root", "secrets": None}, {"name": "box", "secrets": ["db-*"]}]


async def test_what_no_token_is_made_for(runtime: Runtime) -> None:
    tokens = runtime.session.client.tokens
    with pytest.raises(BadRequest, match="for tokens of the role agent"):
        await tokens.create("x", Role.OPERATOR, secrets=["a"])
    with pytest.raises(BadRequest, match="secrets: a text is needed"):
        await tokens.create("x", Role.AGENT, secrets=[""])
    assert Bounds().may_read("anything")
