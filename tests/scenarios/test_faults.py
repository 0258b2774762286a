"""A database that cannot be written, for a while or for good: full, read-only, broken, slow."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from tests.scenarios.processes import PATIENCE, Server, can_trace, prefectlite, rows, serving, wait_until

FLOW = """
from prefectlite import Flow, context, task

@task
async def part(number):
    context.logger.info("part %s", number)
    return str(number) * 20_000

@task
def total(parts):
    return sum(map(len, parts))

with Flow("parts") as flow:
    total(part.map(list(range(20))))
"""
TASK_RUNS = 20 + 1 + 1
WAITING = "wait until the database can be used: The database"

traced = pytest.mark.skipif(not can_trace(), reason="strace is not here to make system calls fail")
limits = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="the limits of another process cannot be changed here")


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    file = tmp_path / "parts.py"
    file.write_text(FLOW)
    return file


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "test.sqlite"


def check_whole(database: Path, run_id: str) -> None:
    """The run ended well, with all that belongs to it, once."""
    assert rows(database, "PRAGMA integrity_check") == [("ok",)]
    assert rows(database, "SELECT state FROM flow_run WHERE id = ?", run_id) == [("Success",)]
    of_run = "FROM task_run WHERE flow_run_id = ?"
    assert rows(database, f"SELECT count(*) {of_run} AND state IN ('Success', 'Mapped')", run_id) == [(TASK_RUNS,)]
    history = (
        f"SELECT count(*), max(version) FROM task_run_state WHERE task_run_id IN (SELECT id {of_run}) GROUP BY task_run_id"
    )
    assert all(count == highest for count, highest in rows(database, history, run_id))
    assert rows(database, "SELECT count(*) FROM log WHERE flow_run_id = ? AND message LIKE 'part %'", run_id) == [(20,)]


def wait_for_words(server: Server, words: str) -> None:
    """Return when the server has printed them."""
    assert server.process.stdout is not None
    giving_up = threading.Timer(PATIENCE, server.process.kill)
    giving_up.start()
    try:
        assert any(words in line for line in server.process.stdout)
    finally:
        giving_up.cancel()


@limits
def test_a_server_waits_until_a_full_disk_has_room(parts: Path, database: Path, free_port: int) -> None:
    with serving(str(parts), port=free_port, cwd=parts.parent) as server:
        first = server.start("parts")
        wait_until(lambda: server.state(first) == "Success")
        journal = database.with_name(database.name + "-wal").stat().st_size
        # Room for the run itself, and not for all of its results.
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (journal + 150_000, resource.RLIM_INFINITY))
        run_id = server.start("parts")
        wait_for_words(server, WAITING)
        assert httpx.get(f"{server.url}/api/health").status_code == 200
        assert (server.state(first), server.state(run_id)) == ("Success", "Running")
        check_whole(database, first)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        wait_until(lambda: server.state(run_id) == "Success")
    check_whole(database, run_id)


@traced
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("pwrite64:error=ENOSPC:when=150..153", "database or disk is full. Make room on the disk of "),
        ("pwrite64:error=EIO:when=150..153", "disk I/O error (IOERR_WRITE). See to the disk of "),
        ("fdatasync:delay_enter=50000", None),
    ],
)
def test_a_script_goes_on_when_the_fault_is_over(
    parts: Path, database: Path, fault: str, words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert prefectlite("db", "migrate", cwd=parts.parent).returncode == 0
    monkeypatch.setenv("PREFECTLITE_DURABILITY", "full")  # each commit is synced, and may meet the fault
    done = broken(fault, "run", str(parts), cwd=parts.parent)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    if words is not None:
        said = re.escape(f" {WAITING} {database} cannot be used: {words}{database.parent}")
        assert re.search(f"(Runs|Log lines){said}", done.stderr + done.stdout)  # whoever comes upon it
    ((run_id,),) = rows(database, "SELECT r.id FROM flow_run r JOIN flow f ON f.id = r.flow_id WHERE f.name = 'parts'")
    check_whole(database, run_id)


@traced
@pytest.mark.parametrize("when", [3, 6, 9])
def test_a_script_ends_when_its_disk_does_not_keep_what_it_was_given(
    parts: Path, database: Path, when: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The next sync would succeed, without what was lost: https://wiki.postgresql.org/wiki/Fsync_Errors
    assert prefectlite("db", "migrate", cwd=parts.parent).returncode == 0
    monkeypatch.setenv("PREFECTLITE_DURABILITY", "full")
    done = broken(f"fdatasync:error=EIO:when={when}", "run", str(parts), "--plain", cwd=parts.parent)
    assert done.returncode == 74, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert done.stderr.count(f"Error: The disk did not keep what was written to the database {database}") == 1
    again = prefectlite("run", str(parts), "--plain", "--resume", cwd=parts.parent)
    assert again.returncode == 0, again.stderr
    ((run_id,),) = rows(database, "SELECT r.id FROM flow_run r JOIN flow f ON f.id = r.flow_id WHERE f.name = 'parts'")
    assert rows(database, "SELECT state FROM flow_run WHERE id = ?", run_id) == [("Success",)]
    assert rows(database, "PRAGMA integrity_check") == [("ok",)]


LONG = """
import asyncio
from prefectlite import Flow, task

@task
async def first():
    return 1

@task
async def second(x):
    await asyncio.sleep(3)
    return x + 1

with Flow("long") as flow:
    second(first())
"""


@traced
def test_a_server_ends_when_its_disk_does_not_keep_what_it_was_given(tmp_path: Path, free_port: int, database: Path) -> None:
    (tmp_path / "long.py").write_text(LONG)
    with serving("long.py", port=free_port, cwd=tmp_path) as server:
        run_id = server.start("long")
        wait_until(lambda: rows(database, "SELECT count(*) FROM task_run WHERE state = 'Success'") == [(1,)])
        watch = ["strace", "-f", "-qq", "-o", os.devnull, "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=1"]
        with subprocess.Popen([*watch, "-p", str(server.process.pid)]):
            output, _ = server.process.communicate(timeout=PATIENCE)  # its next sync comes by itself
    assert server.process.returncode == 74, output
    assert "Traceback" not in output
    assert output.count(f"Error: The disk did not keep what was written to the database {database}:") == 1
    with serving("long.py", port=free_port, cwd=tmp_path) as server:
        wait_until(lambda: server.state(run_id) == "Success")
    assert rows(database, "SELECT count(*) FROM task_run_state WHERE state = 'Success'") == [(2,)]


def broken(fault: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`prefectlite …` while system calls of its fail, or take their time."""
    call = fault.partition(":")[0]
    watch = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={fault}"]
    return _ended([*watch, sys.executable, "-m", "prefectlite", *arguments], cwd)


def _ended(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE, check=False)


@traced
@pytest.mark.parametrize(("error", "code"), [("ENOSPC", 73), ("EIO", 74)])
def test_a_database_that_cannot_be_begun(tmp_path: Path, database: Path, error: str, code: int) -> None:
    done = broken(f"pwrite64:error={error}", "db", "migrate", cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith(f"Error: The database {database} cannot be opened: ")
    assert str(tmp_path) in done.stderr.partition("disk of ")[2]
    assert len(done.stderr.splitlines()) == 1
    assert prefectlite("db", "migrate", cwd=tmp_path).returncode == 0, "nothing is left that stands in its way"


#: Modes bind the superuser, too, who is without these rights.
_ORDINARY = ["setpriv", "--inh-caps=-dac_override,-dac_read_search", "--bounding-set=-dac_override,-dac_read_search"]


def _prefix() -> list[str] | None:
    if os.geteuid() != 0:
        return []
    tried = shutil.which("setpriv") and subprocess.run([*_ORDINARY, "true"], check=False, capture_output=True)
    return _ORDINARY if tried and tried.returncode == 0 else None


@pytest.mark.skipif(_prefix() is None, reason="the superuser may write everywhere, and setpriv is not here")
@pytest.mark.parametrize("what", ["file", "directory", "directory of a new one"])
def test_what_may_not_be_written_to(parts: Path, database: Path, tmp_path: Path, what: str) -> None:
    directory = tmp_path / "store"
    directory.mkdir()
    path, url = directory / "a.sqlite", f"sqlite:///{directory / 'a.sqlite'}"
    if what != "directory of a new one":
        assert prefectlite("db", "migrate", "--database", url, cwd=tmp_path).returncode == 0
    (path if what == "file" else directory).chmod(0o444 if what == "file" else 0o555)
    before = path.read_bytes() if path.exists() else None
    done = _ended([*(_prefix() or []), sys.executable, "-m", "prefectlite", "run", str(parts), "--database", url], tmp_path)
    directory.chmod(0o755)
    assert done.returncode == 77, done.stderr
    used = "used" if what == "file" else "opened"  # it can be read
    assert done.stderr.startswith(f"Error: The database {path} cannot be {used}: ")
    assert str(directory) in done.stderr.partition(f"{used}: ")[2]
    assert len(done.stderr.splitlines()) == 1
    assert (path.read_bytes() if path.exists() else None) == before
