"""Large results in real processes: after `kill -9` they are there again, or made again; a full disk loses no state."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenarios.processes import PATIENCE, rows, serving, wait_until

FLOW = """
import asyncio, os
from pathlib import Path
from prefectlite import Flow, task

HERE = Path(__file__).parent

def journal(line):
    with (HERE / "journal.txt").open("a") as file:
        file.write(line + "\\n")

@task
def text():
    journal("text")
    return "a" * 1_000_000

@task
def table():
    journal("table")
    return {number: str(number) for number in range(100_000)}

@task
async def total(text, table):
    journal("total")
    if not (HERE / "go").exists():
        await asyncio.Event().wait()
    return len(text) + len(table)

with Flow("large") as flow:
    total(text(), table())
"""


@pytest.mark.parametrize("harm", ["none", "gone", "altered", "planted", "another key"])
def test_killed_with_large_results_and_taken_up_again(tmp_path: Path, free_port: int, harm: str) -> None:
    file, journal = tmp_path / "large.py", tmp_path / "journal.txt"
    place, key = tmp_path / "test.sqlite.results", tmp_path / "test.sqlite.results.key"
    file.write_text(FLOW)
    with serving(str(file), port=free_port, cwd=tmp_path) as server:
        run_id = server.start("large")
        wait_until(lambda: journal.exists() and "total" in journal.read_text())
        server.process.send_signal(signal.SIGKILL)
        server.process.communicate()
    files = sorted((path for path in place.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    assert len(files) == 2
    named = rows(tmp_path / "test.sqlite", "SELECT hex(data) FROM result WHERE encoding LIKE '%@file'")
    assert {name for (name,) in named} == {(path.parent.name + path.name).upper() for path in files}
    if harm == "gone":
        files[0].unlink()
    elif harm == "altered":
        files[0].write_bytes(files[0].read_bytes().replace(b"a", b"b"))
    elif harm == "planted":
        files[0].write_bytes(b"\x00" * 32 + b"cloudpickle\ncos\nsystem\n(S'touch planted'\ntR.")
    elif harm == "another key":
        key.write_bytes(b"k" * 32)
    (tmp_path / "go").touch()
    begun = journal.read_text().split()
    with serving(str(file), port=free_port, cwd=tmp_path) as server:
        wait_until(lambda: server.state(run_id) == "Success")
        _, output = server.stop()
    again = {"none": 0, "another key": 2}.get(harm, 1)
    assert len(journal.read_text().split()) == len(begun) + again + 1
    assert output.count("its recorded result cannot be used") == again
    assert not (tmp_path / "planted").exists()
    ((value,),) = rows(tmp_path / "test.sqlite", "SELECT data FROM result WHERE encoding = 'msgpack'")
    assert value == b"\xce" + (1_100_000).to_bytes(4, "big")


SCRIPT = """
import resource, sys
from prefectlite import Flow, task

@task
def large():
    return "a" * 4_000_000

@task
def size(text):
    return len(text)

with Flow("f") as flow:
    found = size(large())

resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, resource.RLIM_INFINITY))
run = flow.run()
assert run[found] == 4_000_000
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such limits there")
def test_a_full_disk_loses_no_state(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (
        "Task 'large': its result stays in memory and is computed again on resume, because it cannot be written"
        in done.stderr
    )
    assert "File too large" in done.stderr
    query = "SELECT t.name, r.state, x.encoding FROM task_run r JOIN task t ON t.id = r.task_id"
    query += " LEFT JOIN result x ON x.task_run_id = r.id ORDER BY t.name"
    states = rows(tmp_path / "test.sqlite", query)
    assert states == [("large", "Success", "absent"), ("size", "Success", "msgpack")]
    assert [path for path in (tmp_path / "test.sqlite.results").rglob("*") if path.is_file()] == []


def test_a_server_removes_what_nothing_names(tmp_path: Path, free_port: int) -> None:
    forgotten = tmp_path / "test.sqlite.results" / "ab" / ("c" * 62)
    young = forgotten.with_name("d" * 62)
    forgotten.parent.mkdir(parents=True)
    for path in (forgotten, young):
        path.write_text("of a run that was deleted")
    os.utime(forgotten, (0, 0))
    with serving(port=free_port, cwd=tmp_path):
        wait_until(lambda: not forgotten.exists())
    assert young.exists()
