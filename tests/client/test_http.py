"""The client of a running server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from prefectlite import Client, Flow, Parameter, task
from prefectlite.errors import ApiError
from tests.scenarios.processes import serving, wait_until

pytestmark = pytest.mark.asyncio

FILE = """
import asyncio
from prefectlite import Flow, Parameter, task
@task
async def wait(seconds):
    await asyncio.sleep(seconds)
with Flow("waiting") as flow:
    wait(Parameter("seconds", default=0))
"""


async def test_it_asks_a_server(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "waiting.py").write_text(FILE)
    with serving("waiting.py", port=free_port, cwd=tmp_path) as server:
        async with Client(server.url + "/") as client:
            project = await client.create_project("mine", "for tests")
            assert await client.project_named("mine") == project
            with pytest.raises(ApiError, match="Uniqueness violation"):
                await client.create_project("mine")
            data = await client.graphql("{ flow { id } }")
            run_id = await client.create_flow_run(flow_id=data["flow"][0]["id"], parameters={"seconds": 60})
            await asyncio.to_thread(wait_until, lambda: server.state(run_id) == "Running")
            assert await client.cancel_flow_run(run_id) == "Cancelling"
            with pytest.raises(ApiError, match="no parameter minutes"):
                await client.create_flow_run(flow_id=data["flow"][0]["id"], parameters={"minutes": 1})


async def test_a_server_that_is_not_there(free_port: int) -> None:
    async with Client(f"http://127.0.0.1:{free_port}") as client:
        with pytest.raises(ApiError, match=f"127.0.0.1:{free_port} cannot be reached"):
            await client.graphql("{ hello }")


async def test_registering_with_a_server_that_is_not_there(free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECTLITE_API_URL", f"http://127.0.0.1:{free_port}")

    @task
    def nothing(x: int) -> None:
        pass

    with Flow("unregistered") as flow:
        nothing(Parameter("x"))
    with pytest.raises(ApiError, match="cannot be reached"):
        await flow.register("project")
