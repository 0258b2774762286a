"""A next release with one more migration meets old databases: in real processes, several at once, killed at any moment."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

import prefectlite
from prefectlite.repository.schema import migrations
from tests.postgres_server import PostgresServer, name_in
from tests.scenarios.processes import PATIENCE, rows

OPEN = """
import asyncio, sys
from prefectlite.repository.urls import open_database

async def main():
    print("begun", flush=True)
    database = await open_database(sys.argv[1])
    print(await database.read("SELECT count(*) FROM migration"), flush=True)
    await database.aclose()

asyncio.run(main())
"""
#: Long enough that a kill can find it halfway.
NEXT = """
CREATE TABLE much (number INTEGER PRIMARY KEY, words TEXT NOT NULL);

INSERT INTO much (number, words) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
    SELECT i, 'a few words that take some room' FROM n;

CREATE INDEX much_by_words ON much (words, number);
"""
NEWEST = len(migrations())
NEXT_NUMBER = f"{NEWEST + 1:04}"


@pytest.fixture(scope="module")
def next_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a prefectlite that has one migration more."""
    directory = tmp_path_factory.mktemp("next")
    here = Path(prefectlite.__file__).parent
    shutil.copytree(here, directory / "prefectlite", ignore=shutil.ignore_patterns("ui", "__pycache__"))
    (directory / "prefectlite" / "repository" / "migrations" / f"{NEXT_NUMBER}_much.sql").write_text(NEXT)
    return directory


def opening(url: str, release: Path | None = None) -> subprocess.Popen[str]:
    place = release or Path(prefectlite.__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(place)}
    command = [sys.executable, "-c", OPEN, url]
    return subprocess.Popen(command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def outcome(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    output, errors = process.communicate(timeout=PATIENCE)
    return process.returncode, output, errors


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_several_start_at_once_on_an_empty_database(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, next_release: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'new.sqlite'}"
    if kind == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        name = server.new_database("template0")
        url = server.url_of(name)
    processes = [opening(url, next_release) for _ in range(4)]
    ends = [outcome(process) for process in processes]
    assert ends == [(0, f"begun\n[({NEWEST + 1},)]\n", "")] * 4
    if kind == "postgres":
        server.ask(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_an_edited_migration_is_refused(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path = tmp_path / "new.sqlite"
    url = f"sqlite:///{path}"
    edit = "UPDATE migration SET digest = 'other' WHERE number = 1"
    if kind == "postgres":
        url = request.getfixturevalue("postgres_url")
        request.getfixturevalue("postgres_server").ask(f"{edit};", name_in(url))
    else:
        outcome(opening(url))
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(edit)
    code, _, errors = outcome(opening(url))
    assert code == 1
    assert "was made with another text of migration 1 (first)" in errors
    if kind == "postgres":
        undo = f"UPDATE migration SET digest = '{migrations()[0].digest}' WHERE number = 1;"
        request.getfixturevalue("postgres_server").ask(undo, name_in(url))


def test_a_file_is_copied_aside_before_it_is_migrated(tmp_path: Path, next_release: Path) -> None:
    path, url = tmp_path / "old.sqlite", f"sqlite:///{tmp_path / 'old.sqlite'}"
    aside = tmp_path / f"old.sqlite.before-{NEXT_NUMBER}"
    assert outcome(opening(url))[0] == 0
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO project (id, name, created, updated) VALUES ('p', 'kept', 0, 0)")
    assert not aside.exists()
    ends = [outcome(process) for process in [opening(url, next_release) for _ in range(3)]]
    assert [end[:2] for end in ends] == [(0, f"begun\n[({NEWEST + 1},)]\n")] * 3
    told = "".join(end[2] for end in ends)
    assert told == f"The database {path} is brought to schema {NEWEST + 1}; as it was before, it is in {aside}\n"
    assert rows(aside, "SELECT name FROM project") == [("kept",)]
    assert rows(aside, "SELECT max(number) FROM migration") == [(NEWEST,)]
    assert rows(path, "SELECT count(*) FROM much") == [(60_000,)]
    code, _, errors = outcome(opening(url))
    assert code == 1
    assert f"has schema {NEWEST + 1}, and this prefectlite knows {NEWEST}" in errors, "the old one refuses it"
    aside.rename(path)
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    assert outcome(opening(url))[0] == 0, "the copy is the way back"


def test_no_room_for_the_copy_and_nothing_is_changed(tmp_path: Path, next_release: Path) -> None:
    path, url = tmp_path / "old.sqlite", f"sqlite:///{tmp_path / 'old.sqlite'}"
    outcome(opening(url))
    aside = tmp_path / f"old.sqlite.before-{NEXT_NUMBER}"
    aside.mkdir()
    (aside / "in the way").write_text("")
    code, _, errors = outcome(opening(url, next_release))
    assert code == 1
    assert f"must be brought to schema {NEXT_NUMBER.lstrip('0')}, and cannot be copied to {aside} before that" in errors
    assert rows(path, "SELECT max(number) FROM migration") == [(NEWEST,)]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_killed_at_any_moment_the_schema_is_the_old_or_the_new_one(
    kind: str, tmp_path: Path, next_release: Path, kill_seed: int, request: pytest.FixtureRequest
) -> None:
    chance = random.Random(kill_seed)
    path, url = tmp_path / "old.sqlite", f"sqlite:///{tmp_path / 'old.sqlite'}"
    server: PostgresServer | None = None
    if kind == "postgres":
        server = request.getfixturevalue("postgres_server")
        name = server.new_database("template0")
        url = server.url_of(name)
    assert outcome(opening(url))[0] == 0
    process = opening(url, next_release)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(chance.random() * 0.25)  # that moment is what the test is about
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    if server is None:
        ((number,),) = rows(path, "SELECT max(number) FROM migration")
        made = rows(path, "SELECT count(*) FROM sqlite_master WHERE name LIKE 'much%'")
        assert (number, made) in ((NEWEST, [(0,)]), (NEWEST + 1, [(2,)]))
        assert rows(path, "PRAGMA integrity_check") == [("ok",)]
        for aside in tmp_path.glob("*.before-????"):
            assert rows(aside, "PRAGMA integrity_check") == [("ok",)]
            assert rows(aside, "SELECT max(number) FROM migration") == [(NEWEST,)]
    code, output, _ = outcome(opening(url, next_release))
    assert (code, output) == (0, f"begun\n[({NEWEST + 1},)]\n")
    if server is not None:
        server.ask(f"DROP DATABASE {name} WITH (FORCE)")
