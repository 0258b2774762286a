"""What the code of a run can show to the server from a process of its own: a token for that run, and not its agent's."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from prefectlite import Runtime
from prefectlite.live.events import ALL_FLOW_RUNS, StateChange
from prefectlite.services import run_processes
from prefectlite.settings import load_settings
from prefectlite.storage.source import FileSource
from tests.scenarios.processes import agent, prefectlite, serving, wait_until

FLOWS = """
import asyncio, os, time
from pathlib import Path
from prefectlite import Flow, task
from prefectlite.client.http import Client
from prefectlite.errors import ApiError
from prefectlite.settings import current_settings

HERE = Path(__file__).parent

@task
async def look():
    (HERE / "seen").write_text(os.environ.get("PREFECTLITE_API_TOKEN", ""))
    async with Client(os.environ["URL"]) as client:
        found = await client.graphql("{ flow_run { id } }")
        (HERE / "runs").write_text(" ".join(run["id"] for run in found["flow_run"]))
        try:
            await client.create_project("evil")
        except ApiError as error:
            (HERE / "refused").write_text(str(error))

@task
def watch():
    tokens = {}
    while len(tokens) < 2:
        tokens[os.environ["PREFECTLITE_API_TOKEN"]] = current_settings().api_token
        time.sleep(0.01)
    (HERE / "tokens").write_text(" ".join(tokens.values()))

with Flow("looking") as looking:
    look()

with Flow("watching") as watching:
    watch()
"""


@pytest.mark.parametrize("is_remote", [True, False])
def test_code_shows_its_runs_token(tmp_path: Path, free_port: int, is_remote: bool) -> None:
    (tmp_path / "flows.py").write_text(FLOWS)
    url = f"http://127.0.0.1:{free_port}"
    surroundings = {"PREFECTLITE_ISOLATE": "process", "URL": url}
    arguments = ["--auth", *(["--no-agent"] if is_remote else [])]
    with serving("flows.py", *arguments, port=free_port, cwd=tmp_path, **surroundings) as server:
        admin = (tmp_path / "home" / "token").read_text().strip()
        server.show(admin)
        made = prefectlite("token", "create", "box", "--role", "agent", "--api", url, cwd=tmp_path)
        own = {**surroundings, "PREFECTLITE_API_TOKEN": made.stdout.strip()}
        run_ids = [server.start("looking") for _ in range(2)] if is_remote else [server.start("looking")]
        if is_remote:
            with agent(url=url, cwd=tmp_path, **own):
                wait_until(lambda: all(server.state(run_id) == "Success" for run_id in run_ids))
        else:
            wait_until(lambda: server.state(run_ids[0]) == "Success")
        token = (tmp_path / "seen").read_text()
        assert token.startswith("pl_")
        assert token not in (admin, own["PREFECTLITE_API_TOKEN"])
        assert (tmp_path / "runs").read_text() in run_ids  # one of them alone
        assert "The role run may not use create_project" in (tmp_path / "refused").read_text()
        refused = httpx.post(f"{url}/graphql", json={"query": "{ hello }"}, headers={"authorization": f"Bearer {token}"})
        assert (refused.status_code, refused.json()["errors"][0]["extensions"]["code"]) == (403, "FORBIDDEN")
        _, output = server.stop()
    assert token not in output


@pytest.mark.asyncio
async def test_it_is_renewed_while_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_processes, "RUN_LIFE", timedelta(seconds=1))
    (tmp_path / "flows.py").write_text(FLOWS)
    settings: Any = load_settings(database_url=f"sqlite:///{tmp_path}/test.sqlite", auth=True, isolate="process")
    flows: Any = [flow for flow in FileSource(None, str(tmp_path / "flows.py")).load() if flow.name == "watching"]
    async with Runtime(flows, settings=settings) as runtime:
        [(flow_id,)] = await runtime.session.database.read("SELECT id FROM flow WHERE name = 'watching'")
        with runtime.session.bus.subscribe(ALL_FLOW_RUNS) as news:
            await runtime.session.client.create_flow_run(flow_id=flow_id)
            async with asyncio.timeout(30):
                async for event in news:
                    if isinstance(event, StateChange) and event.state.is_finished:
                        break
    first, second = (tmp_path / "tokens").read_text().split()
    assert first != second
