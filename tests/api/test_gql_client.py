"""Subscriptions as the Python client `gql` has them, which nobody here wrote."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from gql import Client, gql
from gql.client import AsyncClientSession
from gql.transport.exceptions import TransportQueryError
from gql.transport.websockets import WebsocketsTransport

from prefectlite import Flow, Runtime
from tests.api.conftest import talking


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[AsyncClientSession]:
    transport = WebsocketsTransport(
        url=f"ws://localhost:{port}/graphql",
        subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL],  # its name for graphql-transport-ws
        ping_interval=1,
        pong_timeout=20,
    )
    async with asyncio.timeout(30), Client(transport=transport, fetch_schema_from_transport=True) as session:
        yield session


async def until_success(session: AsyncClientSession, query: str, runs: int, **variables: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    request = gql(query)
    request.variable_values = variables
    async for data in session.subscribe(request):
        found.append(data["state_changes"])
        if sum(one["kind"] == "flow_run" and one["state"] == "Success" for one in found) == runs:
            return found
    raise AssertionError("the subscription ended")


@pytest.mark.asyncio
async def test_subscriptions(port: int, runtime: Runtime, flows: tuple[Flow, Flow]) -> None:
    run = await flows[0].run()
    async with connected(port) as session:  # it has read the whole schema, and checks every document against that
        flow = (await session.execute(gql('{ flow(where: {name: {_eq: "doubling"}}) { id flow_group_id } }')))["flow"][0]
        fields = "{ seq kind state flow_run_id task_run_id timestamp lagged }"
        queries: list[tuple[str, int, dict[str, Any]]] = [
            (f"subscription ($id: uuid) {{ state_changes(flow_run_id: $id, after: 0) {fields} }}", 1, {"id": run.id}),
            (f"subscription ($id: uuid) {{ state_changes(flow_id: $id, after: 0) {fields} }}", 2, {"id": flow["id"]}),
            (f"subscription {{ state_changes(after: 0, task_runs: true) {fields} }}", 2, {}),
            (f"subscription {{ state_changes(after: 0) {fields} }}", 2, {}),
        ]
        async with asyncio.TaskGroup() as group:
            followers = [group.create_task(until_success(session, query, n, **given)) for query, n, given in queries]
            await flows[0].run()
        of_run, of_flow, of_all, of_flow_runs = (follower.result() for follower in followers)
        assert of_flow == of_flow_runs
        assert {one["flow_run_id"] for one in of_run} == {run.id}
        assert [one for one in of_all if one["kind"] == "flow_run"] == of_flow
        again = await until_success(session, queries[2][0].replace("after: 0", f"after: {of_all[4]['seq']}"), 2)
        assert again == of_all[5:]


@pytest.mark.asyncio
async def test_logs_and_counts(port: int, runtime: Runtime) -> None:
    run = await talking.run()
    async with connected(port) as session:
        query = gql("subscription ($run: uuid!) { logs(flow_run_id: $run, after: 0) { seq level message } }")
        query.variable_values = {"run": run.id}
        lines: list[str] = []
        async for data in session.subscribe(query):
            lines.append(data["logs"]["message"])
            if len(lines) == 6:
                break
        assert lines == [f"line {number}" for number in range(6)]
        async for data in session.subscribe(gql("subscription { run_counts { seq counts { state count } } }")):
            if data["run_counts"]["counts"] == [{"state": "Success", "count": 1}]:
                break


@pytest.mark.asyncio
async def test_errors_come_as_errors(port: int) -> None:
    async with connected(port) as session:
        session.client.schema = None  # so that it does not check by itself
        with pytest.raises(TransportQueryError, match="Cannot query field 'nothing'"):
            async for _ in session.subscribe(gql("subscription { nothing }")):
                pass
        assert await session.execute(gql("{ hello }")) == {"hello": "👋"}
