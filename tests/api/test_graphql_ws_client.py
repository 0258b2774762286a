"""Subscriptions as the npm client `graphql-ws` has them, which nobody here wrote."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from prefectlite import Flow, Runtime
from tests import node
from tests.api.conftest import talking

pytestmark = pytest.mark.skipif(node.node() is None or node.npm() is None, reason=node.NONE)
SCRIPT = Path(__file__).with_name("graphql_ws.mjs")


@pytest.fixture
def api_database_url() -> str:
    return "sqlite://:memory:"  # what is tried here is above databases


async def ask(port: int, number: int, *queries: str, scratch: Path) -> list[dict[str, Any]]:
    """What the client got for each query."""
    module = node.packages(scratch) / "graphql-ws" / "dist" / "client.js"
    executable = node.node()
    assert executable is not None
    process = await asyncio.create_subprocess_exec(
        *(executable, "--experimental-websocket", "--no-warnings", SCRIPT, module),  # without the flag Node 20 has none
        *(f"ws://localhost:{port}/graphql", str(number), *queries),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        said, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    return [json.loads(line) for line in said.splitlines()[1:]]


@pytest.mark.asyncio
async def test_subscriptions(
    port: int, runtime: Runtime, flows: tuple[Flow, Flow], tmp_path_factory: pytest.TempPathFactory
) -> None:
    run, talk = await flows[0].run(), await talking.run()
    running = asyncio.create_task(
        ask(
            port,
            6,
            f'subscription {{ state_changes(flow_run_id: "{run.id}", after: 0) {{ seq kind state }} }}',
            "subscription { state_changes(after: 0) { state lagged } }",
            f'subscription {{ logs(flow_run_id: "{talk.id}", after: 0) {{ message }} }}',
            "subscription { nothing }",
            scratch=tmp_path_factory.getbasetemp().parent,
        )
    )
    of_run, of_all, lines, refused = await running
    assert len(of_run["found"]) == len(lines["found"]) == 6
    seqs = [one["data"]["state_changes"]["seq"] for one in of_run["found"]]
    assert seqs == sorted(set(seqs))
    states = [one["data"]["state_changes"] for one in of_all["found"]]
    assert states == [{"state": state, "lagged": False} for state in ("Scheduled", "Running", "Success")] * 2
    assert "Cannot query field 'nothing'" in refused["errors"][0]


@pytest.mark.asyncio
async def test_counts_and_queries(port: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    scratch = tmp_path_factory.getbasetemp().parent
    counts, hello = await ask(
        port, 1, "subscription { run_counts { seq counts { state count } } }", "{ hello }", scratch=scratch
    )
    assert counts["found"][0]["data"]["run_counts"]["counts"] == []
    assert hello["found"] == [{"data": {"hello": "👋"}}]
