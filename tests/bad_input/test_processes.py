"""What is done to a process from outside: Ctrl-C, output that nobody takes, a home that cannot be used."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bad_input.cases import TRACEBACK, check_consistent
from tests.scenarios.processes import PATIENCE, prefectlite, rows, wait_until

SLOW = """
import asyncio, time
from prefectlite import Flow, task

def begin():
    with open("begun", "w") as file:
        file.write("yes")

@task
def plain():
    begin()
    while True:
        time.sleep(0.01)

@task
def in_c():
    begin()
    time.sleep(600)

@task
async def on_the_loop():
    begin()
    await asyncio.sleep(600)

@task
async def stubborn():
    begin()
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            pass

@task
async def blocking():
    begin()
    end = time.monotonic() + 25
    while time.monotonic() < end:
        time.sleep(0.05)

with Flow("slow") as flow:
    {name}()

if __name__ == "__main__":
    flow.run()
"""
FINE = """
from prefectlite import Flow, task

@task(log_stdout=True)
def hello():
    for number in range({lines}):
        print("hello", number)

with Flow("fine") as flow:
    hello()

if __name__ == "__main__":
    flow.run()
"""
ENTRIES = {"script": ["flow.py"], "cli": ["-m", "prefectlite", "run", "flow.py"]}
#: With which exit code a script ends whose KeyboardInterrupt nobody catches: the shell says 130.
INTERRUPTED = {"script": -signal.SIGINT, "cli": 130}
HURRY = 4.0  # less than what code that does not end is given by default


def interrupted(entry: str, name: str, times: int, directory: Path) -> tuple[int, float, str]:
    """Exit code, seconds from the last Ctrl-C to the end, and standard error, of a flow with the task `name`."""
    (directory / "flow.py").write_text(SLOW.format(name=name))
    process = subprocess.Popen(
        [sys.executable, *ENTRIES[entry]], cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: (directory / "begun").exists() or process.poll() is not None)
        running = "SELECT count(*) FROM flow_run WHERE state = 'Running'"
        wait_until(lambda: rows(directory / "test.sqlite", running) == [(1,)])
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)  # signals that arrive together are one
        began = time.monotonic()
        _, errors = process.communicate(timeout=PATIENCE)
        return process.returncode, time.monotonic() - began, errors
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("name", ["plain", "in_c", "on_the_loop"])
def test_ctrl_c_cancels(entry: str, name: str, tmp_path: Path) -> None:
    code, seconds, errors = interrupted(entry, name, 1, tmp_path)
    assert (code, seconds < HURRY) == (INTERRUPTED[entry], True), errors
    assert rows(tmp_path / "test.sqlite", "SELECT state FROM flow_run") == [("Cancelled",)]
    assert rows(tmp_path / "test.sqlite", "SELECT state FROM task_run") == [("Cancelled",)]
    check_consistent(tmp_path / "test.sqlite")
    assert "CancelledError" not in errors, "how it is done is nobody's business"
    assert (TRACEBACK in errors) == (entry == "script"), "as of every script that is interrupted"


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("name", ["plain", "stubborn", "blocking"])
def test_ctrl_c_twice_is_at_once(entry: str, name: str, tmp_path: Path) -> None:
    code, seconds, errors = interrupted(entry, name, 2, tmp_path)
    assert (code, seconds < HURRY) == (INTERRUPTED[entry], True), errors
    check_consistent(tmp_path / "test.sqlite", ended=False)
    (tmp_path / "flow.py").write_text(FINE.format(lines=1))
    assert prefectlite("run", "flow.py", cwd=tmp_path).returncode == 0, "the database is nobody's any more"


def test_a_task_that_leaves_the_process(tmp_path: Path) -> None:
    code = "import os\nfrom prefectlite import Flow, task\nwith Flow('f') as flow:\n    task(lambda: os._exit(3))()\n"
    (tmp_path / "flow.py").write_text(code)
    assert prefectlite("run", "flow.py", cwd=tmp_path).returncode == 3
    check_consistent(tmp_path / "test.sqlite", ended=False)
    (tmp_path / "flow.py").write_text(FINE.format(lines=1))
    assert prefectlite("run", "flow.py", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("lines", [1, 5_000])
@pytest.mark.parametrize("redirection", [">&-", ">&- 2>&-", ">&- 2>&- <&-", "| true", "| head -n 1", ">/dev/full"])
def test_output_that_nobody_takes(redirection: str, lines: int, tmp_path: Path) -> None:
    if "full" in redirection and not Path("/dev/full").exists():
        pytest.skip("there is no such device here")
    (tmp_path / "flow.py").write_text(FINE.format(lines=lines))
    command = f"{sys.executable} -m prefectlite run flow.py {redirection}"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0
    told = "Error: standard output cannot be written to (No space left on device); the run goes on without it\n"
    assert done.stderr == (told if "full" in redirection else "")
    assert rows(tmp_path / "test.sqlite", "SELECT state FROM flow_run") == [("Success",)]
    [(count,)] = rows(tmp_path / "test.sqlite", "SELECT count(*) FROM log WHERE message LIKE 'hello %'")
    assert count == lines, "what was printed is in the log"
    check_consistent(tmp_path / "test.sqlite")


def test_other_commands_without_room_for_their_output(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no such device here")
    command = [sys.executable, "-m", "prefectlite", "config"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 74
    assert "No space left on device" in done.stderr
    assert TRACEBACK not in done.stderr


@pytest.mark.parametrize("variables", [{}, {"PREFECTLITE_HOME": "{file}/home"}, {"HOME": "{file}"}, {"HOME": "{file}/x"}])
def test_a_home_that_cannot_be_used(variables: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FINE.format(lines=1))
    (tmp_path / "file").write_text("a file where a directory should be")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    environment |= {name: value.format(file=tmp_path / "file") for name, value in variables.items()}
    if not variables:  # no HOME at all: the user's, which no test may touch, is found all the same
        environment["PREFECTLITE_DATABASE_URL"] = f"sqlite:///{tmp_path / 'test.sqlite'}"
    done = subprocess.run(
        [sys.executable, "-m", "prefectlite", "run", "flow.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (78 if variables else 0), done.stderr
    assert TRACEBACK not in done.stderr
    if variables:
        assert "Set PREFECTLITE_HOME to a directory that can be written to" in done.stderr


def test_bytes_on_the_command_line_that_are_no_text(tmp_path: Path) -> None:
    code = (
        FINE.format(lines=1)
        .replace("hello()\n\nif", "hello()\n    Parameter('x')()\n\nif")
        .replace("Flow,", "Flow, Parameter,")
    )
    (tmp_path / "flow.py").write_text(code)
    done = prefectlite("run", "flow.py", "--run-name", "a\udcff", "-px=\udcff", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path / "test.sqlite", "SELECT name, parameters FROM flow_run") == [("a\\udcff", '{"x":"\\\\udcff"}')]
