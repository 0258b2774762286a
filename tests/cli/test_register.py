"""`prefectlite register`: what is written down, what is said of it, and what one bad file does to the others."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.processes import PATIENCE, prefectlite, rows, serving, wait_until

FLOW = """
from prefectlite import Flow, task

@task
def nothing():
    pass

with Flow("{name}") as flow:
    nothing()
"""
MAKER = """
from prefectlite import Flow, task

@task
def nothing():
    pass

def made(name):
    with Flow(name) as flow:
        nothing()
    return flow
"""
SCHEDULED = """
from datetime import timedelta
from prefectlite import Flow, task
from prefectlite.schedules import IntervalSchedule

@task
def nothing():
    pass

with Flow("hourly", schedule=IntervalSchedule(interval=timedelta(hours=1))) as flow:
    nothing()
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "one.py").write_text(FLOW.format(name="one"))
    (tmp_path / "flows" / "two.py").write_text(FLOW.format(name="two"))
    (tmp_path / "flows" / "plain.py").write_text("shared = 1\n")
    return tmp_path


def register(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return prefectlite("register", "--project", "reports", *arguments, cwd=place)


def recorded(place: Path, columns: str = "f.name, f.version") -> list[tuple[Any, ...]]:
    """The current versions in the project."""
    return rows(
        place / "test.sqlite",
        f"SELECT {columns} FROM flow f JOIN project p ON p.id = f.project_id"
        " WHERE p.name = 'reports' AND f.archived = 0 ORDER BY f.name",
    )


def test_a_directory(place: Path) -> None:
    done = register(place, "-p", "flows")
    assert done.returncode == 0, done.stderr
    (one, _), (two, _) = recorded(place, "f.id, f.name")
    assert done.stdout.splitlines() == [
        "Collecting flows...",
        "Processing 'flows/one.py':",
        "  Registering 'one'... Done",
        f"  └── ID: {one}",
        "  └── Version: 1",
        "Processing 'flows/two.py':",
        "  Registering 'two'... Done",
        f"  └── ID: {two}",
        "  └── Version: 1",
        "======================== 2 registered ========================",
    ]


def test_what_is_unchanged_is_skipped_unless_forced(place: Path) -> None:
    register(place, "-p", "flows")
    (place / "flows" / "two.py").write_text(FLOW.format(name="two") + "\n# changed\n")
    done = register(place, "-p", "flows")
    assert done.returncode == 0
    assert "  Registering 'one'... Skipped (metadata unchanged)\n" in done.stdout
    assert done.stdout.splitlines()[-1] == "================== 1 registered, 1 skipped =================="
    assert recorded(place) == [("one", 1), ("two", 2)]
    assert "2 registered" in register(place, "-p", "flows", "--force").stdout
    assert recorded(place) == [("one", 2), ("two", 3)]
    assert "0 registered, 2 skipped" in register(place, "-p", "flows").stdout


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["-p", "flows/one.py"], ["one"]),
        (["-p", "**/*.py"], ["one", "two"]),
        (["-p", "flows/t*.py"], ["two"]),
        (["-p", "flows", "-p", "flows/one.py"], ["one", "two"]),
        (["-p", "flows", "-n", "two"], ["two"]),
        (["-m", "flows.one", "-m", "flows.two.flow"], ["one", "two"]),
    ],
)
def test_what_to_register(arguments: list[str], found: list[str], place: Path) -> None:
    done = register(place, *arguments)
    assert done.returncode == 0, done.stderr
    assert recorded(place) == [(name, 1) for name in found]


def test_a_flow_belongs_to_the_file_that_makes_it(place: Path) -> None:
    (place / "flows" / "again.py").write_text("from one import flow\n")
    (place / "flows" / "made.py").write_text("from maker import made\nflow = made('three')\n")
    (place / "flows" / "maker.py").write_text(MAKER)
    done = register(place, "-p", "flows")
    assert done.returncode == 0, done.stdout + done.stderr
    places = [(name, Path(json.loads(storage)["path"]).name) for name, storage in recorded(place, "f.name, f.storage")]
    assert places == [("one", "one.py"), ("three", "made.py"), ("two", "two.py")]


def test_two_flows_of_one_name(place: Path) -> None:
    (place / "flows" / "two.py").write_text(FLOW.format(name="one"))
    done = register(place, "-p", "flows")
    assert done.returncode == 1
    assert done.stderr == "Error: flows/two.py and flows/one.py both have a flow 'one': rename one\n"
    assert recorded(place) == [("one", 1)]


def test_bad_files_do_not_keep_the_others(place: Path) -> None:
    (place / "a_bad.py").write_text("x = 1\n\n1 / 0\n")
    (place / "b_syntax.py").write_text("def f(:\n")
    (place / "c_leaves.py").write_text("raise SystemExit(3)\n")
    (place / "d_empty.py").write_text("")
    paths = ["a_bad.py", "b_syntax.py", "c_leaves.py", "d_empty.py", "flows/one.py"]
    done = register(place, *(text for path in paths for text in ("-p", path)))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert [line.removeprefix(f"Error: {place}/") for line in done.stderr.splitlines()] == [
        "a_bad.py cannot be imported: line 3: ZeroDivisionError: division by zero",
        "b_syntax.py cannot be imported: SyntaxError: invalid syntax (b_syntax.py, line 1)",
        "c_leaves.py cannot be imported: it called sys.exit(3)",
        "d_empty.py: no flow found in it: define one with `with Flow(...) as flow:`",
    ]
    assert done.stdout.splitlines()[-1] == "================== 1 registered, 4 errored =================="
    assert recorded(place) == [("one", 1)]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["-p", "nowhere.py"], 66, "Error: Path 'nowhere.py' doesn't exist\n"),
        (["-p", "flows", "-n", "one", "-n", "three"], 1, "Failed to find the following flows:\n- three\n"),
        (["-m", "nowhere.at_all"], 1, "Error: nowhere.at_all: there is no such module\n"),
        ([], 2, "Error: Say what to register: a file or directory with -p, a module with -m, built flows with -j\n"),
        (["-p", "flows", "--api", "http://127.0.0.1:1"], 1, "cannot be reached"),
        (["-p", "flows", "--api", "http://x", "--database", "sqlite:///y"], 2, "Give either --api or --database"),
    ],
)
def test_errors(arguments: list[str], code: int, message: str, place: Path) -> None:
    done = register(place, *arguments)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_no_flows(place: Path) -> None:
    (place / "nothing").mkdir()
    done = register(place, "-p", "nothing")
    assert (done.returncode, done.stdout) == (0, "Collecting flows...\nNo flows found.\n")


def test_labels_are_part_of_the_version(place: Path) -> None:
    labelled = ["-p", "flows/one.py", "-l", "gpu", "--label", "big"]
    register(place, *labelled)
    ((config,),) = recorded(place, "f.run_config")
    assert json.loads(config) == {"type": "UniversalRun", "env": None, "labels": ["big", "gpu"]}
    assert "1 skipped" in register(place, *labelled).stdout
    assert "1 registered" in register(place, "-p", "flows/one.py").stdout


def test_schedules_are_switched_on_and_off(place: Path) -> None:
    (place / "hourly.py").write_text(SCHEDULED)
    columns = "f.version, f.is_schedule_active, (SELECT count(*) FROM flow_run r WHERE r.flow_id = f.id)"
    for arguments, expected in [
        (["--no-schedule"], (1, 0, 0)),
        ([], (1, 0, 0)),  # nothing is asked for: it stays as it is
        (["--schedule"], (1, 1, 10)),
        (["--force"], (2, 1, 10)),
        (["--force", "--no-schedule"], (3, 0, 0)),
        (["--force"], (4, 0, 0)),  # the next version inherits that
        (["--force", "--schedule"], (5, 1, 10)),
    ]:
        assert register(place, "-p", "hourly.py", *arguments).returncode == 0
        assert recorded(place, columns) == [expected]


def test_with_a_server(place: Path, free_port: int) -> None:
    with serving("--label", "gpu", port=free_port, cwd=place) as server:
        arguments = ["-p", "flows", "-l", "gpu", "--api", server.url]
        done = register(place, *arguments)
        assert done.returncode == 0, done.stderr
        found = server.graphql("{ flow(order_by: {name: asc}) { id name version run_config } }")["flow"]
        assert [f"  └── ID: {flow['id']}" in done.stdout for flow in found] == [True, True]
        assert found[0]["run_config"] == {"type": "UniversalRun", "env": None, "labels": ["gpu"]}
        run = server.start("one")
        wait_until(lambda: server.state(run) == "Success")
        assert server.graphql("{ flow_run { labels } }") == {"flow_run": [{"labels": ["gpu"]}]}
        assert "0 registered, 2 skipped" in register(place, *arguments).stdout
        forced = register(place, *arguments, "--force", "-n", "two").stdout
        assert "  └── Version: 2\n" in forced
        assert "1 registered ==" in forced


class Watching:
    """A `register --watch`, and what it prints."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))

    def until(self, *ends: str) -> list[str]:
        """What it prints up to a line that has all of these in it."""
        found = []
        while not found or not all(end in found[-1] for end in ends):
            found.append(self._lines.get(timeout=PATIENCE))
        return found


@contextmanager
def watching(place: Path, *arguments: str) -> Iterator[Watching]:
    command = [sys.executable, "-m", "prefectlite", "register", "--project", "reports", "--watch", *arguments]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield Watching(process)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_watching(place: Path) -> None:
    flows = place / "flows"
    with watching(place, "-p", "flows") as watch:
        watch.until("2 registered")
        watch.until("Watching for flow changes...")
        (flows / "two.py").write_text("from parts import name\n" + FLOW.format(name="two"))
        missing = watch.until("1 errored")
        assert any("No module named 'parts'" in line for line in missing)
        (flows / "parts.py").write_text("name = 'x'\n")  # what it imports has come
        assert "  └── Version: 2" in watch.until("1 registered")
        (flows / "parts.py").write_text("name = 'y'\n")  # and changed
        assert "  └── Version: 3" in watch.until("1 registered")
        (flows / "three.py").write_text(FLOW.format(name="three"))
        assert "Processing 'flows/three.py':" in watch.until("1 registered")
        watch.process.send_signal(signal.SIGINT)
        assert watch.process.wait(PATIENCE) in (0, 130)
    assert recorded(place) == [("one", 1), ("three", 1), ("two", 3)]
