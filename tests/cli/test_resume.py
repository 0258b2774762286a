"""`prefectlite resume`, `prefectlite restart` and `run --resume`, in real processes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenarios.processes import prefectlite

CODE = """
import os, signal
from pathlib import Path
from prefectlite import Flow, task

here = Path(__file__).parent

def note(line):
    with open(here / "calls", "a") as file:
        file.write(line + "\\n")

@task
def numbers():
    note("numbers")
    return [1, 2, 3, 4]

@task
def check(x):
    note(f"check {x}")
    if x == 3 and (here / "killed").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    if x == 3 and (here / "broken").exists():
        raise ValueError("broken")
    return x

@task
def total(values):
    note(f"total {sum(values)}")

with Flow("sums") as flow:
    total(check.map(numbers()))

if __name__ == "__main__":
    flow.run(flow_run_name="by hand")
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "sums.py").write_text(CODE)
    return tmp_path


def calls(place: Path) -> list[str]:
    """What was called since this was last asked."""
    path = place / "calls"
    lines = path.read_text().splitlines()
    path.unlink()
    return lines


def test_a_script_that_was_killed_is_resumed_by_the_name_of_its_run(place: Path) -> None:
    (place / "killed").touch()
    script = subprocess.run([sys.executable, "sums.py"], cwd=place, check=False)
    assert script.returncode == -9
    first = calls(place)
    assert "check 3" in first
    (place / "killed").unlink()
    done = prefectlite("resume", "by hand", "--plain", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "Success  All reference tasks succeeded." in done.stdout
    again = calls(place)
    assert "numbers" not in again
    assert again[-1] == "total 10"
    again = prefectlite("resume", "by hand", cwd=place)
    assert (again.returncode, again.stdout) == (65, "")
    assert again.stderr.startswith("Error: Flow run 'by hand' has ended as Success: `prefectlite restart`")


def test_running_it_with_resume_goes_on_with_the_run_that_was_interrupted(place: Path) -> None:
    (place / "killed").touch()
    first = prefectlite("run", "sums.py", "--run-name", "first", cwd=place)
    assert first.returncode == -9
    calls(place)
    (place / "killed").unlink()
    assert prefectlite("run", "sums.py", "--resume", cwd=place).returncode == 0
    assert "numbers" not in calls(place)
    assert prefectlite("run", "sums.py", "--resume", cwd=place).returncode == 0  # there is none any more: a new run
    assert "numbers" in calls(place)


def test_a_failed_run_is_restarted_from_what_failed_and_from_a_chosen_task(place: Path) -> None:
    (place / "broken").touch()
    failed = prefectlite("run", "sums.py", "--run-name", "first", cwd=place)
    assert failed.returncode == 1
    run_id = re.search(r"\(([0-9a-f-]{36})\)", failed.stdout)
    assert run_id is not None
    calls(place)
    (place / "broken").unlink()
    done = prefectlite("restart", run_id[1].upper(), cwd=place)
    assert done.returncode == 0, done.stderr
    assert calls(place) == ["check 3", "total 10"]
    assert prefectlite("restart", "first", "--from", "total", cwd=place).returncode == 0
    assert calls(place) == ["total 10"]
    refused = prefectlite("restart", "first", cwd=place)
    assert refused.returncode == 65
    assert refused.stderr.startswith("Error: All tasks of flow run 'first' succeeded")


def test_code_that_was_moved_is_named_and_code_that_changed_is_refused(place: Path) -> None:
    (place / "broken").touch()
    prefectlite("run", "sums.py", "--run-name", "first", cwd=place)
    (place / "broken").unlink()
    (place / "sums.py").rename(place / "moved.py")
    gone = prefectlite("restart", "first", cwd=place)
    assert gone.returncode == 66
    assert "there is no such file" in gone.stderr
    assert prefectlite("restart", "first", "moved.py", cwd=place).returncode == 0
    (place / "moved.py").write_text(CODE.replace("def total", "def summed").replace("    total(", "    summed("))
    changed = prefectlite("restart", "first", "moved.py", "--from", "check", cwd=place)
    assert changed.returncode == 66
    assert re.search(r"not as it was when run 'first' began: .*summed-1, total-1\. Run it anew", changed.stderr)


def test_names_that_nobody_or_several_have(place: Path) -> None:
    nobody = prefectlite("resume", "first", cwd=place)
    assert nobody.returncode == 66
    assert re.match(r"Error: There is no flow run 'first' in .*: give its id or its name", nobody.stderr)
    for _ in range(2):
        prefectlite("run", "sums.py", "--run-name", "first", cwd=place)
    several = prefectlite("restart", "first", cwd=place)
    assert several.returncode == 65
    assert several.stderr.startswith("Error: Several flow runs are called 'first': give the id of one")


def test_a_run_whose_process_is_there_is_left_to_it(place: Path) -> None:
    (place / "waits.py").write_text(
        "import time\nfrom prefectlite import Flow, task\n@task\ndef wait():\n    print('begun', flush=True)\n"
        "    time.sleep(60)\nwith Flow('waits') as flow:\n    wait()\nflow.run(flow_run_name='long')\n"
    )
    with subprocess.Popen([sys.executable, "waits.py"], cwd=place, stdout=subprocess.PIPE, text=True) as script:
        assert script.stdout is not None
        assert script.stdout.readline() == "begun\n"
        refused = prefectlite("resume", "long", cwd=place)
        script.kill()
    assert refused.returncode == 65
    assert refused.stderr.startswith("Error: Flow run 'long' is executed by another process")


PAUSING = """
import asyncio
from prefectlite.session import open_session
from prefectlite.settings import load_settings

async def main():
    async with open_session(load_settings()) as session:
        [(run_id,)] = await session.database.read("SELECT id FROM flow_run WHERE name = 'by hand'")
        await session.client.pauses.pause_flow_run(run_id, "look at it", "ann")

asyncio.run(main())
"""


def test_a_paused_script_whose_process_is_gone(place: Path) -> None:
    (place / "killed").touch()
    subprocess.run([sys.executable, "sums.py"], cwd=place, check=False, capture_output=True)
    subprocess.run([sys.executable, "-c", PAUSING], cwd=place, check=True)
    (place / "killed").unlink()
    shown = prefectlite("get", "flow-runs", cwd=place).stdout
    assert "Paused by ann: look at it" in " ".join(shown.split())
    resumed = prefectlite("resume", "by hand", "--reason", "fine", "--plain", cwd=place)
    assert resumed.returncode == 0, resumed.stderr
    assert "by hand: Paused by ann: look at it" in resumed.stderr
    assert "total 10" in (place / "calls").read_text()
