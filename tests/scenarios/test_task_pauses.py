"""A task run that is paused before it begins, in a run that an agent elsewhere executes, or a process of the run's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.processes import agent, prefectlite, serving, wait_until

FLOWS = """
import asyncio
from pathlib import Path
from prefectlite import Flow, task
from prefectlite.run_configs import UniversalRun

@task
async def hold():
    (Path(__file__).parent / "held").touch()
    while not (Path(__file__).parent / "go").exists():
        await asyncio.sleep(0.02)

@task
def after(x):
    (Path(__file__).parent / "after").touch()

@task
def beside(x):
    pass

with Flow("here") as here:
    x = hold()
    after(x), beside(x)

with Flow("apart", run_config=UniversalRun(isolate="process")) as apart:
    x = hold()
    after(x), beside(x)
"""


@pytest.mark.parametrize("flow", ["here", "apart"])
def test_it_waits_wherever_the_run_is_executed(tmp_path: Path, free_port: int, flow: str) -> None:
    (tmp_path / "flows.py").write_text(FLOWS)
    with (
        serving("--no-agent", "flows.py", port=free_port, cwd=tmp_path) as server,
        agent(url=server.url, cwd=tmp_path),
    ):
        run_id = server.start(flow)
        wait_until((tmp_path / "held").exists)
        paused = prefectlite("pause", run_id, "--task", "after", cwd=tmp_path, PREFECTLITE_API_URL=server.url)
        assert paused.returncode == 0, paused.stderr
        (tmp_path / "go").touch()
        query = "query ($id: uuid!) { task_run(where: {flow_run_id: {_eq: $id}}, order_by: {state: asc}) { state } }"
        waiting = [{"state": "Paused"}, {"state": "Success"}, {"state": "Success"}]
        wait_until(lambda: server.graphql(query, id=run_id)["task_run"] == waiting)
        assert not (tmp_path / "after").exists()
        resumed = prefectlite("resume", run_id, "--reason", "fine", cwd=tmp_path, PREFECTLITE_API_URL=server.url)
        assert resumed.returncode == 0, resumed.stderr
        wait_until(lambda: server.state(run_id) == "Success")
        assert (tmp_path / "after").exists()
