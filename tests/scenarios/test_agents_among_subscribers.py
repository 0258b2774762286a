"""Agents among hundreds of subscribers: they hear of runs before these hear of anything."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.scenarios.processes import Server, agent, prefectlite, serving, wait_until

FLOWS = """
import asyncio
from pathlib import Path
from prefectlite import Flow, task

HERE = Path(__file__).parent

@task
async def nothing(number):
    await asyncio.sleep(0)

@task
def numbers(made):
    return list(range(1_000))

with Flow("quick") as quick:
    numbers(None)

with Flow("busy") as busy:
    made = numbers(None)
    for _ in range(300):
        made = numbers(nothing.map(made))
"""
SUBSCRIBERS, RUNS = 200, 15
#: Seconds; among those who take turns an agent would wait for about one.
MOST = 0.3
STATES = """query ($id: uuid!) { flow_run_by_pk(id: $id) { states(order_by: {version: asc}) { state timestamp } } }"""


@contextlib.contextmanager
def listening(port: int, number: int) -> Iterator[None]:
    """A block in which a process has so many subscriptions to everything, one of which never reads."""
    command = [sys.executable, "-m", "tests.benchmarks.subscribers", str(port), str(number)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield
        output, _ = process.communicate("\n", timeout=30)
        assert '"' not in output
    finally:
        process.kill()
        process.communicate()


def wake_up(server: Server, run_id: str) -> float:
    """Seconds from the creation of a run to its being begun."""
    wait_until(lambda: server.state(run_id) == "Success")
    states = server.graphql(STATES, id=run_id)["flow_run_by_pk"]["states"]
    times = {one["state"]: datetime.fromisoformat(one["timestamp"]) for one in states}
    return (times["Running"] - times["Scheduled"]).total_seconds()


@pytest.mark.skipif(sys.platform != "linux", reason="how many are connected is seen in /proc")
@pytest.mark.parametrize("is_busy", [False, True])
def test_an_agent_hears_of_runs_before_subscribers_do(tmp_path: Path, free_port: int, is_busy: bool) -> None:
    (tmp_path / "flows.py").write_text(FLOWS)
    with (
        serving(port=free_port, cwd=tmp_path) as server,
        agent("-l", "gpu", url=server.url, cwd=tmp_path),
    ):
        place = ("register", "-p", "flows.py", "--project", "p", "--api", server.url)
        for arguments in (("-n", "quick", "--label", "gpu"), ("-n", "busy")):
            done = prefectlite(*place, *arguments, cwd=tmp_path)
            assert done.returncode == 0, done.stdout + done.stderr
        with listening(free_port, SUBSCRIBERS):
            wait_until(lambda: connections(server) >= SUBSCRIBERS)
            if is_busy:
                busy = server.start("busy")
                wait_until(lambda: server.state(busy) == "Running")
            taken = [wake_up(server, server.start("quick")) for _ in range(RUNS)]
            assert not is_busy or server.state(busy) == "Running"
    assert statistics.median(taken) < MOST, taken


def connections(server: Server) -> int:
    """How many sockets the server has open."""
    found = 0
    for link in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += str(link.readlink()).startswith("socket:")
    return found
