"""Concurrency limits between real processes: agents of a server, and what becomes of the slots of one that is killed."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.processes import Server, agent, prefectlite, rows, serving, wait_until

FLOWS = """
import asyncio
from pathlib import Path
from prefectlite import Flow, Parameter, task, unmapped

HERE = Path(__file__).parent

def mark(what):
    with (HERE / "marks").open("a") as file:
        file.write(f"{what}\\n")

@task(tags=["db"])
async def query(name, number):
    mark("in")
    if name == "held":
        while not (HERE / "go").exists():
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.02)
    mark("out")

with Flow("queries") as queries:
    query.map(unmapped(Parameter("name")), Parameter("numbers"))

@task
async def stay():
    mark("in")
    await asyncio.sleep(0.05)
    mark("out")

with Flow("one") as one:
    stay()
"""
SILENCE = {"PREFECTLITE_AGENT_SILENCE": "1.5", "PREFECTLITE_GRACE_PERIOD": "0.2"}


class Place:
    """A server with flows for agents with the label gpu."""

    def __init__(self, directory: Path, server: Server) -> None:
        self.directory, self.server = directory, server

    @contextlib.contextmanager
    def agents(self, count: int) -> Iterator[list[subprocess.Popen[str]]]:
        with contextlib.ExitStack() as stack:
            started = [
                agent("-l", "gpu", "-n", str(n), url=self.server.url, cwd=self.directory, **SILENCE) for n in range(count)
            ]
            yield [stack.enter_context(one) for one in started]

    def limit(self, *arguments: str) -> str:
        done = prefectlite("limits", *arguments, "--api", self.server.url, cwd=self.directory)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def marks(self) -> list[str]:
        file = self.directory / "marks"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def most(self) -> int:
        """How many were inside at once."""
        inside = most = 0
        for mark in self.marks():
            inside += 1 if mark == "in" else -1
            most = max(most, inside)
        return most

    def ends(self, *runs: str) -> None:
        wait_until(lambda: all(self.server.state(run_id) == "Success" for run_id in runs))


@pytest.fixture
def place(tmp_path: Path, free_port: int) -> Iterator[Place]:
    (tmp_path / "flows.py").write_text(FLOWS)
    with serving(port=free_port, cwd=tmp_path, **SILENCE) as server:
        arguments = ("register", "-p", "flows.py", "--project", "p", "--api", server.url, "--label", "gpu")
        done = prefectlite(*arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        yield Place(tmp_path, server)


def test_agents_share_the_slots_of_a_tag(place: Place) -> None:
    place.limit("set", "2", "--tag", "db")
    with place.agents(2):
        runs = [place.server.start("queries", name="quick", numbers=list(range(6))) for _ in range(2)]
        place.ends(*runs)
    assert place.marks().count("in") == 12
    assert place.most == 2


def test_agents_share_the_slots_of_a_label(place: Place) -> None:
    assert place.limit("set", "1", "--label", "gpu") == "label gpu: 1 at once\n"
    with place.agents(2):
        runs = [place.server.start("one") for _ in range(6)]
        place.ends(*runs)
    assert place.marks() == ["in", "out"] * 6
    assert "gpu" in place.limit("list")
    assert place.limit("delete", "--label", "gpu") == "label gpu: no limit\n"


def test_the_slots_of_a_killed_agent_are_those_of_who_takes_up_its_run(place: Place) -> None:
    place.limit("set", "1", "--tag", "db")
    with place.agents(1) as (first,):
        held = place.server.start("queries", name="held", numbers=[1])
        wait_until(lambda: place.marks() == ["in"])
        waiting = place.server.start("queries", name="quick", numbers=[2])
        database = place.directory / "test.sqlite"
        wait_until(lambda: rows(database, "SELECT 1 FROM task_run WHERE state = 'Queued'"))
        first.send_signal(signal.SIGKILL)
        first.wait()
        with place.agents(1):
            (place.directory / "go").touch()
            place.ends(held, waiting)
    assert rows(database, "SELECT count(*) FROM task_run WHERE state IN ('Running', 'Queued')") == [(0,)]
