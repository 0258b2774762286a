"""`prefectlite db`, as a user types it."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec
import pytest

from tests.scenarios.processes import prefectlite, rows, serving

FLOW = """
from prefectlite import Flow, task

@task(log_stdout=True)
def talk(number):
    print("said", number)
    return number

with Flow("talks") as flow:
    talk.map(list(range(50)))
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database with a run in it."""
    file = tmp_path / "app.sqlite"
    monkeypatch.setenv("PREFECTLITE_DATABASE_URL", f"sqlite:///{file}")
    (tmp_path / "flow.py").write_text(FLOW)
    assert prefectlite("run", "flow.py", "--run-name", "first", cwd=tmp_path).returncode == 0
    return file


def db(path: Path, *arguments: str, code: int = 0) -> str:
    """What `prefectlite db …` prints; one line of error, if any is expected."""
    done = prefectlite("db", *arguments, cwd=path.parent)
    assert done.returncode == code, done.stderr
    if code:
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("Error: ")
        return done.stderr.removeprefix("Error: ").rstrip("\n")
    assert done.stderr == ""
    return done.stdout.rstrip("\n")


def test_where_it_is_and_how_large(path: Path, postgres_url: str) -> None:
    assert db(path, "path") == str(path)
    assert db(path, "path", "--database", "sqlite://:memory:") == "in memory"
    assert db(path, "path", "--database", "postgresql://me:secret@db.example/x") == "postgresql://db.example:5432/x"
    for url in (f"sqlite:///{path}", postgres_url):
        tables = {table["table"]: table for table in msgspec.json.decode(db(path, "size", "-o", "json", "--database", url))}
        assert tables["migration"]["rows"] == 1
        assert tables["task_run"]["bytes"] > 0
    assert {line.split()[0]: line.split()[1] for line in db(path, "size").splitlines()}["task_run"] == "51"
    assert db(path, "migrate") == f"{path} is at schema 1, the newest"
    assert "is at schema 1, the newest" in db(path, "migrate", "--database", postgres_url)


def test_a_backup_of_a_database_in_use(path: Path, tmp_path: Path, free_port: int) -> None:
    copy = tmp_path / "copies.sqlite"
    (tmp_path / "served.py").write_text(FLOW.replace('"talks"', '"served"'))
    with serving("served.py", port=free_port, cwd=tmp_path) as server:
        runs = [server.start("served") for _ in range(3)]
        said = [db(path, "backup", str(copy), "--force") for _ in range(3)]
        assert all(server.state(run) for run in runs)
    assert all(line.startswith(f"{copy}: ") and line.endswith("bytes, checked") for line in said)
    assert rows(copy, "PRAGMA integrity_check") == [("ok",)]
    assert sys.platform == "win32" or copy.stat().st_mode & 0o077 == 0  # as the database itself
    assert rows(copy, "SELECT count(*) FROM task_run r WHERE version <> (SELECT count(*) FROM task_run_state s"
                " WHERE s.task_run_id = r.id)") == [(0,)]  # fmt: skip
    assert "is there already: name another file, or say --force" in db(path, "backup", str(copy), code=65)
    assert "is the database itself" in db(path, "backup", str(path), "--force", code=65)
    assert "is a directory" in db(path, "backup", str(tmp_path), "--force", code=65)
    assert "No such file or directory" in db(path, "backup", str(tmp_path / "no" / "copy"), code=74)
    nothing = ("--database", f"sqlite:///{tmp_path / 'nothing.sqlite'}")
    assert (
        db(path, "backup", str(tmp_path / "x"), *nothing, code=66) == f"There is no database {tmp_path / 'nothing.sqlite'}"
    )
    assert sorted(file.name for file in tmp_path.glob("copies*")) == ["copies.sqlite"]


def test_a_damaged_database_and_the_way_back(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.sqlite"
    assert db(path, "check") == f"{path} is whole"
    db(path, "backup", str(copy))
    content = bytearray(path.read_bytes())
    content[4096 : 20 * 4096] = random.Random(5).randbytes(19 * 4096)
    path.write_bytes(content)
    for words in (["run", "flow.py"], ["db", "size"]):
        done = prefectlite(*words, cwd=tmp_path)
        assert done.returncode == 74
        assert done.stderr.startswith(f"Error: The database {path} is damaged (")
        assert (
            f"the newest backup is {copy}: stop what uses the database, then `prefectlite db restore {copy}`" in done.stderr
        )
        assert len(done.stderr.splitlines()) == 1
    assert db(path, "check", code=74) == f"The database {path} is damaged"
    assert f"The database {path} is damaged" in db(path, "backup", str(tmp_path / "bad"), code=74)
    said = db(path, "restore", str(copy))
    assert said == f"{path} is now as in {copy}; as it was before, it is in {path}.replaced-1"
    assert Path(f"{path}.replaced-1").read_bytes() == content
    assert rows(path, "SELECT name, state FROM flow_run") == [("first", "Success")]
    assert prefectlite("run", "flow.py", cwd=tmp_path).returncode == 0


def test_what_cannot_be_restored(path: Path, tmp_path: Path, free_port: int) -> None:
    copy = tmp_path / "copy.sqlite"
    db(path, "backup", str(copy))
    other = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE mine (x)")
    assert db(path, "restore", str(other), code=65) == f"{other} is no database of prefectlite's"
    assert db(path, "restore", str(tmp_path / "none"), code=66) == f"There is no database {tmp_path / 'none'}"
    assert "is damaged" in db(path, "restore", str(tmp_path / "flow.py"), code=74)
    with serving(port=free_port, cwd=tmp_path):
        assert (
            db(path, "restore", str(copy), code=65) == f"The database {path} is in use by a running process: stop that first"
        )
    assert rows(path, "SELECT count(*) FROM flow_run") == [(1,)]
    path.unlink()
    assert db(path, "restore", str(copy)) == f"{path} is now as in {copy}"


def test_vacuum_gives_room_back(path: Path, tmp_path: Path, postgres_url: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE ballast AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
                           " WHERE i < 5000) SELECT hex(randomblob(100)) AS x FROM n")  # fmt: skip
        connection.execute("DROP TABLE ballast")
    size = path.stat().st_size
    said = db(path, "vacuum")
    assert path.stat().st_size < size / 2
    assert said.endswith(f"{path.stat().st_size:,} after")
    assert "PostgreSQL uses the room again by itself" in db(path, "vacuum", "--database", postgres_url)
    assert db(path, "vacuum", "--database", "sqlite://:memory:", code=65).endswith("in a file, not one in memory")


def test_vacuum_beside_a_writer(path: Path, tmp_path: Path) -> None:
    ends: list[int] = []
    running = threading.Thread(target=lambda: ends.append(prefectlite("run", "flow.py", cwd=tmp_path).returncode))
    running.start()
    for _ in range(3):
        db(path, "vacuum")
    running.join()
    assert ends == [0]


@pytest.mark.parametrize(
    ("words", "tool"), [(["backup", "x"], "pg_dump"), (["check"], "pg_amcheck"), (["restore", "x"], "pg_restore")]
)
def test_what_postgres_has_tools_for(path: Path, words: list[str], tool: str) -> None:
    url = "postgresql://me:secret@db.example/x"
    assert db(path, *words, "--database", url, code=65) == (
        f"`prefectlite db {words[0]}` is for SQLite: on PostgreSQL use {tool}"
    )


def test_a_run_as_a_file(path: Path, tmp_path: Path, postgres_url: str) -> None:
    file = tmp_path / "run.zip"
    ((run_id,),) = rows(path, "SELECT id FROM flow_run")
    said = db(path, "export", "first", str(file))
    assert said.startswith(f"{file}: flow run {run_id}, 51 task runs, 50 results, ")
    assert "is there already" in db(path, "export", run_id, str(file), code=65)
    db(path, "export", run_id, str(file), "--force")
    other = ("--database", f"sqlite:///{tmp_path / 'other.sqlite'}")
    assert db(path, "import", str(file), *other).startswith(f"Flow run {run_id}: 51 task runs")
    assert db(path, "import", str(file), *other, code=65) == f"Flow run {run_id} is in this database already"
    assert db(path, "import", str(file), "--database", postgres_url).startswith(f"Flow run {run_id}: 51 task runs")
    query = "SELECT message FROM log ORDER BY seq"
    assert rows(tmp_path / "other.sqlite", query) == rows(path, query)
    assert db(path, "export", "nobody", str(tmp_path / "x"), code=66).startswith("There is no flow run 'nobody' in ")
    assert "is damaged, or no exported run" in db(path, "import", "flow.py", code=65)
    assert "No such file" in db(path, "import", "nothing.zip", code=74)


def test_how_long_a_project_keeps_its_runs(path: Path, postgres_url: str) -> None:
    for url in (f"sqlite:///{path}", postgres_url):
        (path.parent / "register.py").write_text(
            f"import os; os.environ['PREFECTLITE_DATABASE_URL'] = {url!r}\n"
            "from prefectlite import Flow\nFlow('empty').register(project_name='p')\n"
        )
        subprocess.run([sys.executable, "register.py"], cwd=path.parent, check=True, capture_output=True)
        ask = partial(db, path, "retention", "p", "--database", url)
        assert ask() == "p: finished runs as the settings say, logs as the settings say"
        assert ask("--days", "7") == "p: finished runs for 7 days, logs as the settings say"
        assert ask("--log-days", "0") == "p: finished runs for 7 days, logs for ever"
        assert ask("--default", "--days", "1") == "p: finished runs for a day, logs as the settings say"
    assert db(path, "retention", "q", code=66).startswith("There is no project 'q' in ")
