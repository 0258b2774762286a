"""Large results in real processes: after `kill -9` they are there again, or made again; a full disk loses no state."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenarios.processes import PATIENCE, agent, prefectlite, rows, serving, wait_until

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


ON_AGENTS = FLOW.replace('"a" * 1_000_000', '"a" * 6_000_000').replace('Flow("large")', 'Flow("large", run_config=CONFIG)')
ON_AGENTS = ON_AGENTS.replace(
    "HERE = ",
    """from prefectlite.run_configs import UniversalRun

CONFIG = UniversalRun(labels=["far"], isolate=os.environ.get("ISOLATED") or None)
HERE = """,
    1,
)
SILENT = {"PREFECTLITE_AGENT_SILENCE": "1.5"}


@pytest.mark.parametrize("isolated", ["", "process"])
@pytest.mark.parametrize("url", ["", "file"])
def test_large_results_of_agents_lie_at_the_server(tmp_path: Path, free_port: int, isolated: str, url: str) -> None:
    (tmp_path / "large.py").write_text(ON_AGENTS)
    journal, isolation = tmp_path / "journal.txt", {"ISOLATED": isolated}
    there = {"PREFECTLITE_RESULT_STORE_URL": f"file://{tmp_path}/there"} if url else {}
    with serving("large.py", "--auth", port=free_port, cwd=tmp_path, **SILENT, **there, **isolation) as server:
        server.show((tmp_path / "home" / "token").read_text().strip())
        made = prefectlite("token", "create", "worker", "--role", "agent", "--api", server.url, cwd=tmp_path)
        token = next(word for word in made.stdout.split() if word.startswith("pl_"))
        known = {"url": server.url, "cwd": tmp_path, "PREFECTLITE_API_TOKEN": token, **SILENT}
        run_id = server.start("large")
        with agent("-l", "far", **known) as first:
            wait_until(lambda: journal.exists() and "total" in journal.read_text())
            first.send_signal(signal.SIGKILL)
            first.wait()
        place = tmp_path / ("there" if url else "test.sqlite.results")
        assert len([path for path in place.rglob("*") if path.is_file()]) == 2
        (tmp_path / "go").touch()
        with agent("-l", "far", **known):
            wait_until(lambda: server.state(run_id) == "Success")
    assert sorted(journal.read_text().split()) == ["table", "text", "total", "total"], "what was finished is not done again"
    named = rows(tmp_path / "test.sqlite", "SELECT encoding FROM result ORDER BY 1")
    assert named == [("cloudpickle@file",), ("msgpack",), ("msgpack@file",)]


@pytest.mark.parametrize("limit", ["results", "memory"])
def test_what_the_server_does_not_take_is_said_and_loses_no_state(tmp_path: Path, free_port: int, limit: str) -> None:
    (tmp_path / "large.py").write_text(ON_AGENTS)
    (tmp_path / "go").touch()
    given = {"PREFECTLITE_MAX_RESULT_BYTES": "2000000"} if limit == "results" else {}
    options = ["--database", "sqlite://:memory:"] if limit == "memory" else []
    with serving("large.py", *options, port=free_port, cwd=tmp_path, **given) as server:
        run_id = server.start("large")
        with agent("-l", "far", url=server.url, cwd=tmp_path) as process:
            wait_until(lambda: server.state(run_id) == "Success")
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=PATIENCE)
        query = "query ($id: uuid) { log(where: {flow_run_id: {_eq: $id}}) { message } }"
        told = output + "".join(line["message"] for line in server.graphql(query, id=run_id)["log"])
    assert "Task 'text': its result stays in memory and is computed again on resume" in told
    if limit == "results":
        assert "This result has 6,000,005 bytes, and the server takes 2,000,000 at the most (max_result_bytes there)" in told
    else:
        assert "the server has no place for results of more than 4 MB outside its database" in told
