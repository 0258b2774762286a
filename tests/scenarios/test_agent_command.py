"""`agent local start`: what its options do, and how it begins and ends."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.scenarios.processes import PATIENCE, Server, agent, prefectlite, serving, wait_until

FLOWS = """
import asyncio, os, sys
from pathlib import Path
from prefectlite import Flow, Parameter, context, task
from prefectlite.run_configs import UniversalRun

HERE = Path(__file__).parent

@task
async def hold(name):
    context.logger.warning("holding")
    (HERE / f"held-{name}").touch()
    while not (HERE / "go").exists():
        await asyncio.sleep(0.02)

@task
def stubborn():
    (HERE / "stubborn").touch()
    while not (HERE / "go").exists():
        pass

@task
def look(name):
    import lying_elsewhere
    (HERE / "looked").write_text(f"{os.environ['STAGE']} {lying_elsewhere.PLACE}")

with Flow("held") as held:
    hold(Parameter("name", default="a"))

with Flow("apart", run_config=UniversalRun(isolate="process")) as apart:
    hold(Parameter("name", default="apart"))

with Flow("deaf") as deaf:
    stubborn()

with Flow("looking") as looking:
    look("a")
"""
#: It asks every two seconds and a half, whatever it hears.
QUIET = {"PREFECTLITE_AGENT_SILENCE": "10", "PREFECTLITE_GRACE_PERIOD": "20"}


@pytest.fixture
def server(tmp_path: Path, free_port: int) -> Iterator[Server]:
    (tmp_path / "flows.py").write_text(FLOWS)
    with serving("--no-agent", "flows.py", port=free_port, cwd=tmp_path, **QUIET) as server:
        yield server


def said(process: subprocess.Popen[str]) -> str:
    """What else it says until it ends."""
    output, _ = process.communicate(timeout=PATIENCE)
    return output


@contextlib.contextmanager
def waiting(*arguments: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """A command that has begun."""
    process = subprocess.Popen(
        [sys.executable, "-m", "prefectlite", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("flow", ["held", "apart"])
def test_after_its_last_poll_it_ends_with_the_runs_that_it_has_begun(server: Server, tmp_path: Path, flow: str) -> None:
    run_id = server.start(flow, name="a")
    with agent("--max-polls", "1", url=server.url, cwd=tmp_path, **QUIET) as process:
        wait_until((tmp_path / "held-a").exists)
        later = server.start(flow, name="b")
        (tmp_path / "go").touch()
        assert process.wait(PATIENCE) == 0
        assert "left to be taken up" not in said(process)
    assert server.state(run_id) == "Success"
    assert server.state(later) == "Scheduled"


def test_without_anything_to_do_it_ends_after_its_last_poll(server: Server, tmp_path: Path) -> None:
    with agent("--max-polls", "2", url=server.url, cwd=tmp_path, PREFECTLITE_AGENT_SILENCE="1") as process:
        assert process.wait(PATIENCE) == 0
    none = prefectlite("agent", "local", "start", "--max-polls", "0", cwd=tmp_path)
    assert none.returncode == 2


def test_it_answers_for_its_health_and_can_be_poked(server: Server, tmp_path: Path) -> None:
    long = {**QUIET, "PREFECTLITE_AGENT_SILENCE": "1000"}
    with agent("--agent-address", "http://:0", "--max-polls", "2", url=server.url, cwd=tmp_path, **long) as process:
        assert process.stdout is not None
        # `agent` has read the line that tells where it works, which comes after this one.
        ports = listening(process.pid)
        (url,) = {f"http://127.0.0.1:{port}" for port in ports}
        answer = httpx.get(f"{url}/api/health")
        assert answer.status_code == 200
        assert answer.json()["status"] == "ok"
        assert (answer.json()["name"], answer.json()["running"]) == ("agent", 0)
        run_id = server.start("held")
        wait_until((tmp_path / "held-a").exists)
        assert httpx.get(f"{url}/api/health").json()["running"] == 1
        assert httpx.get(f"{url}/api/health", headers={"host": "elsewhere.example"}).status_code == 421
        assert httpx.post(f"{url}/api/poke", headers={"origin": "http://elsewhere.example"}).status_code == 403
        (tmp_path / "go").touch()
        wait_until(lambda: server.state(run_id) == "Success")
        assert process.poll() is None, "the last poll is a thousand seconds away"
        assert httpx.get(f"{url}/api/poke").json() == {}
        assert process.wait(PATIENCE) == 0


def listening(pid: int) -> list[int]:
    """The ports at which a process listens to this machine, as Linux tells."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        if found := re.fullmatch(r"socket:\[(\d+)\]", str(link.readlink())):
            inodes.add(found[1])
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [
        int(row[1].split(":")[1], 16) for row in rows if row[9] in inodes and row[3] == "0A" and row[1][:8] == "0100007F"
    ]


@pytest.mark.parametrize("address", ["ftp://x:1", "http://x", "http://x:99999", "http://x:80/path"])
def test_what_is_no_address_is_said_before_anything_begins(tmp_path: Path, address: str) -> None:
    done = prefectlite("agent", "local", "start", "--api", "http://127.0.0.1:1", "--agent-address", address, cwd=tmp_path)
    assert done.returncode == 78
    assert f"--agent-address {address}: write it as http://127.0.0.1:8081" in done.stderr


def test_an_address_that_somebody_else_has(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = prefectlite(
            "agent", "local", "start", "--api", "http://127.0.0.1:1", "--agent-address", address, cwd=tmp_path
        )
    assert "cannot be listened to: Address already in use" in done.stderr
    assert done.returncode == 69


def test_it_has_the_name_of_its_machine_as_a_label_if_told(server: Server, tmp_path: Path) -> None:
    with agent("-l", "x", "-n", "without", url=server.url, cwd=tmp_path):
        pass
    with agent("-l", "x", "-n", "with", "--hostname-label", url=server.url, cwd=tmp_path):
        pass
    found = server.graphql("{ agent(order_by: {name: asc}) { name labels } }")["agent"]
    assert found == [{"name": "with", "labels": sorted({"x", socket.gethostname()})}, {"name": "without", "labels": ["x"]}]


@pytest.mark.parametrize("flow", ["held", "apart"])
@pytest.mark.parametrize("shown", [True, False])
def test_it_shows_what_runs_log_only_if_asked_to(server: Server, tmp_path: Path, shown: bool, flow: str) -> None:
    (tmp_path / "go").touch()
    run_id = server.start(flow)
    options = ["--show-flow-logs"] if shown else []
    with agent("--max-polls", "1", *options, url=server.url, cwd=tmp_path, **QUIET) as process:
        output = said(process)
    assert ("holding" in output) is shown
    assert server.state(run_id) == "Success"
    query = "query ($id: uuid) { log(where: {flow_run_id: {_eq: $id}}) { message } }"
    assert server.graphql(query, id=run_id)["log"] == [{"message": "holding"}], "the run's log has it all the same"


def test_variables_and_import_paths_are_for_all_runs(server: Server, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "lying_elsewhere.py").write_text("PLACE = 'more'")
    run_id = server.start("looking")
    with agent("-e", "STAGE=test", "-p", "more", "--max-polls", "1", url=server.url, cwd=tmp_path) as process:
        said(process)
    assert server.state(run_id) == "Success"
    assert (tmp_path / "looked").read_text() == "test more"


@pytest.mark.parametrize("flow", ["held", "apart", "deaf"])
def test_the_second_interrupt_ends_it_at_once(server: Server, tmp_path: Path, flow: str) -> None:
    server.start(flow)
    name = {"held": "held-a", "apart": "held-apart", "deaf": "stubborn"}[flow]
    grace = {**QUIET, "PREFECTLITE_GRACE_PERIOD": "1000"}
    with agent(url=server.url, cwd=tmp_path, **grace) as process:
        wait_until((tmp_path / name).exists)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        while "get 1000 s to end" not in (line := process.stdout.readline()):
            assert line
        process.send_signal(signal.SIGINT)
        output = said(process)
        assert process.returncode == 0
        assert "1 flow run(s) are left to be taken up again" in output
        assert "Traceback" not in output


def test_it_begins_to_work_when_its_server_is_there(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "flows.py").write_text(FLOWS)
    (tmp_path / "go").touch()
    command = ["agent", "local", "start", "--max-polls", "1"]
    with serving("--no-agent", "flows.py", port=free_port, cwd=tmp_path) as server:
        run_id = server.start("held")
        server.stop()
    with waiting(*command, "--api", server.url, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert "cannot be reached" in process.stdout.readline()
        with serving("--no-agent", port=free_port, cwd=tmp_path) as server:
            wait_until(lambda: server.state(run_id) == "Success")
            assert process.wait(PATIENCE) == 0


#: Every process that has this on its path is of another version.
OTHER = "import prefectlite.version\nprefectlite.version.__version__ = '9.9.9'\n"


@pytest.mark.parametrize("flow", ["held", "apart"])
def test_it_ends_when_its_server_is_of_another_version_from_now_on(tmp_path: Path, free_port: int, flow: str) -> None:
    (tmp_path / "flows.py").write_text(FLOWS)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "sitecustomize.py").write_text(OTHER)
    other = {"PYTHONPATH": f"{tmp_path}/other:{os.environ.get('PYTHONPATH', '')}"}
    soon = {"PREFECTLITE_AGENT_SILENCE": "1.5"}
    with contextlib.ExitStack() as stack:
        with serving("--no-agent", "flows.py", port=free_port, cwd=tmp_path, **soon) as server:
            run_id = server.start(flow)
            process = stack.enter_context(agent(url=server.url, cwd=tmp_path, PREFECTLITE_GRACE_PERIOD="1000", **soon))
            wait_until(lambda: list(tmp_path.glob("held-*")))
            server.stop(signal.SIGKILL)
        with serving(port=free_port, cwd=tmp_path, **soon, **other) as server:
            output = said(process)
            assert process.returncode == 69
            mine = prefectlite("--version", cwd=tmp_path).stdout.split()[-1]
            assert f"is of version 9.9.9, and this of {mine}: install the same one" in output
            assert "Traceback" not in output, output
            (tmp_path / "go").touch()
            wait_until(lambda: server.state(run_id) == "Success")  # executed by the server, where it stopped
            late = prefectlite("agent", "local", "start", "--api", server.url, cwd=tmp_path)
            assert late.returncode == 69
            assert f"is of version 9.9.9, and this of {mine}" in late.stderr
