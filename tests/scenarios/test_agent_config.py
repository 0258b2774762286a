"""`agent local start --agent-config-id`: an agent whose options are kept at its server."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.processes import PATIENCE, Server, agent, prefectlite, serving, wait_until

FLOWS = """
import os
from pathlib import Path
from prefectlite import Flow, context, task
from prefectlite.run_configs import UniversalRun

@task
def look():
    import lying_elsewhere
    context.logger.debug("looking")
    (Path(__file__).parent / "looked").write_text(f"{os.environ['STAGE']} {os.environ['WHO']} {lying_elsewhere.PLACE}")

with Flow("looking", run_config=UniversalRun(labels=["gpu"])) as looking:
    look()
"""
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def server(tmp_path: Path, free_port: int) -> Iterator[Server]:
    (tmp_path / "flows.py").write_text(FLOWS)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "lying_elsewhere.py").write_text("PLACE = 'more'")
    with serving("--no-agent", "flows.py", port=free_port, cwd=tmp_path) as server:
        yield server


def kept(server: Server, of: str = "ours", **settings: Any) -> str:
    """The id of new settings for agents."""
    mutation = "mutation ($input: create_agent_config_input!) { create_agent_config(input: $input) { id } }"
    made = server.graphql(mutation, input={"name": of, "settings": settings})
    return str(made["create_agent_config"]["id"])


def agents(server: Server) -> list[dict[str, Any]]:
    found = server.graphql("{ agent(order_by: {name: asc}) { name labels agent_config { name } } }")
    return list(found["agent"])


def test_it_has_the_options_that_are_kept_for_it(server: Server, tmp_path: Path) -> None:
    config_id = kept(
        server,
        name="theirs",
        labels=["gpu"],
        env_vars={"STAGE": "kept", "WHO": "kept"},
        import_paths=["more"],
        show_flow_logs=True,
        hostname_label=False,
        max_polls=1,
        log_level="debug",
    )
    run_id = server.start("looking")
    said = ["--agent-config-id", config_id, "-e", "WHO=said", "-n", "mine"]
    with agent(*said, url=server.url, cwd=tmp_path) as process:
        output, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, server.state(run_id)) == (0, "Success"), output
    assert (tmp_path / "looked").read_text() == "kept said more"
    assert "looking" in output
    query = 'query ($id: uuid) { log(where: {flow_run_id: {_eq: $id}, level: {_eq: "DEBUG"}}) { message } }'
    assert server.graphql(query, id=run_id)["log"] == [{"message": "looking"}]
    assert agents(server) == [{"name": "mine", "labels": ["gpu"], "agent_config": {"name": "ours"}}]


def test_what_is_said_counts_more_and_an_agent_may_change_its_settings(server: Server, tmp_path: Path) -> None:
    first, second = kept(server, "first", name="kept", labels=["kept"], max_polls=1), kept(server, "second")
    for said in (["--agent-config-id", first, "-l", "said"], ["-n", "kept", "-l", "said", "--agent-config-id", second]):
        with agent(*said, url=server.url, cwd=tmp_path):
            pass
    assert agents(server) == [{"name": "kept", "labels": ["said"], "agent_config": {"name": "second"}}]
    with agent("-n", "kept", "-l", "said", url=server.url, cwd=tmp_path):
        pass
    assert agents(server) == [{"name": "kept", "labels": ["said"], "agent_config": None}]


def test_what_cannot_be_its_options(server: Server, tmp_path: Path) -> None:
    def refusal(config_id: str) -> tuple[int, str]:
        start = ("agent", "local", "start", "--api", server.url, "--agent-config-id", config_id)
        done = prefectlite(*start, cwd=tmp_path)
        assert done.stdout == ""
        return done.returncode, done.stderr

    told = f"There is no agent config {UNKNOWN} at {server.url}: create_agent_config of its API makes one"
    assert refusal(UNKNOWN) == (66, f"Error: {told}\n")
    code, said = refusal("mine")
    assert (code, "Could not parse UUID: mine" in said) == (65, True)
    code, said = refusal(kept(server, "a", label=["x"]))
    assert (code, "Agent config 'a': Object contains unknown field `label`. It may have name, labels, " in said) == (
        78,
        True,
    )
    code, said = refusal(kept(server, "b", max_polls=0))
    assert (code, "Agent config 'b': Expected `int` >= 1 - at `$.max_polls`" in said) == (78, True)
    code, said = refusal(kept(server, "c", env_vars={"A=B": "x"}))
    assert (code, "Agent config 'c'" in said) == (78, True)
    assert agents(server) == []


def test_it_waits_for_its_server_and_shows_its_key(tmp_path: Path, free_port: int) -> None:
    with serving("--auth", port=free_port, cwd=tmp_path) as server:
        key = prefectlite("token", "create", "worker", "--role", "agent", cwd=tmp_path).stdout.strip()
        server.show((tmp_path / "home" / "token").read_text().strip())
        config_id = kept(server, labels=["kept"])
        server.stop()
    command = ["agent", "local", "start", "--api", server.url, "--agent-config-id", config_id, "-k", key]
    process = subprocess.Popen(
        [sys.executable, "-m", "prefectlite", *command], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        assert "cannot be reached" in process.stderr.readline()
        with serving("--auth", port=free_port, cwd=tmp_path) as server:
            server.show((tmp_path / "home" / "token").read_text().strip())
            wait_until(lambda: [one["labels"] for one in agents(server)] == [["kept"]])
            process.send_signal(signal.SIGINT)
            _, output = process.communicate(timeout=PATIENCE)
            assert process.returncode == 0, output
    finally:
        process.kill()
        process.communicate()
