"""A run goes from one database to another, of whichever kind, and the answers are the same."""

from __future__ import annotations

import pickle
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from prefectlite import Flow, Parameter, Runtime, task
from prefectlite.errors import NotFound, RunFileError
from prefectlite.repository.database import Database, Transaction
from prefectlite.repository.transfer import _TABLES, columns_of, export_run, import_run
from prefectlite.repository.urls import open_database
from tests.conftest import DATABASES

#: What is not the same afterwards.
ANEW = {"seq", "owner", "cache_key"}


@task(log_stdout=True)
def talk(value: Any) -> Any:
    print("said", value, "ü 👋")
    return value


@task(max_retries=1, retry_delay=0.001)
def fail(values: Any) -> Any:
    raise ValueError("no 'good' \"at all\"")


with Flow("travels") as TRAVELS:
    fail(talk.map([1, "two", {"three": 3.5}, b"\x00\xff", object]), upstream_tasks=[talk(Parameter("value", default=None))])


async def recorded(database_url: str, *, register: bool = False) -> str:
    """The id of a run that is in the database."""
    async with Runtime(flows=[TRAVELS] if register else [], database_url=database_url, agent=False) as runtime:
        assert runtime.session is not None
        run_id = (await TRAVELS.run(value=[1])).id

        async def show(tx: Transaction) -> None:
            await tx.execute(
                "INSERT INTO task_run_artifact (id, task_run_id, kind, data, created, updated)"
                " SELECT id, id, 'markdown', '{}', 1, 1 FROM task_run WHERE flow_run_id = $1",
                (run_id,),
            )

        await runtime.session.database.write(show)
        return run_id


async def contents(database: Database, run_id: str) -> dict[str, list[dict[str, Any]]]:
    """All rows that belong to a run."""
    found = {}
    for table, (condition, key) in _TABLES.items():
        columns = await columns_of(database, table)
        rows = await database.read(f"SELECT {', '.join(columns)} FROM {table} WHERE {condition} ORDER BY {key}", (run_id,))
        found[table] = [{name: value for name, value in zip(columns, row, strict=True) if name not in ANEW} for row in rows]
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run.zip"


@pytest.fixture(params=DATABASES)
def other_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of each kind, to import into."""
    if request.param == "postgres":
        server = request.getfixturevalue("postgres_server")
        name = server.new_database()
        yield server.url_of(name)
        server.empty(name)
        return
    yield "sqlite://:memory:" if request.param == "sqlite memory" else f"sqlite:///{tmp_path / 'other.sqlite'}"


@pytest.fixture(params=["sqlite", "postgres"])
def source_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'source.sqlite'}"


@pytest.mark.asyncio
@pytest.mark.parametrize("register", [False, True])
async def test_there_and_elsewhere_it_is_the_same(source_url: str, other_url: str, file: Path, register: bool) -> None:
    run_id = await recorded(source_url, register=register)
    await recorded(source_url)  # what does not belong to it stays where it is
    source, other = await open_database(source_url), await open_database(other_url)
    try:
        written = await export_run(source, run_id, file)
        assert sys.platform == "win32" or file.stat().st_mode & 0o077 == 0
        before = await contents(source, run_id)
        assert all(before[table] for table in _TABLES if table != "project" or register)
        assert (await import_run(other, file)) == written
        assert await contents(other, run_id) == before
        with pytest.raises(RunFileError, match=f"Flow run {run_id} is in this database already"):
            await import_run(other, file)
        again = file.with_name("again.zip")
        await export_run(other, run_id, again)
        assert names_and_sizes(again) == names_and_sizes(file)
        ((last,),) = await other.read("SELECT value FROM counter WHERE name = 'seq'")
        assert last == sum(len(before[table]) for table in ("log", "flow_run_state", "task_run_state"))
    finally:
        await source.aclose()
        await other.aclose()


def names_and_sizes(file: Path) -> dict[str, int]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name).count(b"\n") for name in archive.namelist()}


@pytest.mark.asyncio
async def test_two_runs_of_one_flow_share_it(source_url: str, other_url: str, file: Path) -> None:
    first, second = await recorded(source_url), await recorded(source_url)
    source, other = await open_database(source_url), await open_database(other_url)
    try:
        for run_id in (first, second):
            await export_run(source, run_id, file)
            await import_run(other, file)
        assert await contents(other, first) == await contents(source, first)
        assert await contents(other, second) == await contents(source, second)
        assert await other.read("SELECT count(*) FROM flow") == [(1,)]
    finally:
        await source.aclose()
        await other.aclose()


@pytest.mark.asyncio
async def test_a_flow_of_that_name_keeps_its_newest_version(source_url: str, tmp_path: Path, file: Path) -> None:
    other_url = f"sqlite:///{tmp_path / 'theirs.sqlite'}"
    run_id = await recorded(source_url, register=True)
    theirs = await recorded(other_url, register=True)
    source, other = await open_database(source_url), await open_database(other_url)
    try:
        await export_run(source, run_id, file)
        await import_run(other, file)
        sql = "SELECT f.archived, r.id FROM flow f JOIN flow_run r ON r.flow_id = f.id ORDER BY f.archived"
        rows = await other.read(sql)
        assert rows == [(0, theirs), (1, run_id)]
        assert await other.read("SELECT count(*) FROM project") == [(1,)]
    finally:
        await source.aclose()
        await other.aclose()


class Dangerous:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self._path,)


@pytest.mark.asyncio
async def test_values_are_never_loaded(source_url: str, other_url: str, file: Path, tmp_path: Path) -> None:
    run_id = await recorded(source_url)
    trace = tmp_path / "loaded"
    bomb = pickle.dumps(Dangerous(trace))
    source, other = await open_database(source_url), await open_database(other_url)

    async def arm(tx: Transaction) -> None:
        await tx.execute("UPDATE result SET data = $1, encoding = 'pickle'", (bomb,))
        await tx.execute("UPDATE task_run SET cache_key = 'shared'")

    try:
        await source.write(arm)
        await export_run(source, run_id, file)
        await import_run(other, file)
        assert {bytes(data) for (data,) in await other.read("SELECT data FROM result")} == {bomb}
        assert await other.read("SELECT DISTINCT cache_key FROM task_run") == [(None,)], "no other run comes upon it"
        assert not trace.exists()
    finally:
        await source.aclose()
        await other.aclose()


@pytest.mark.asyncio
async def test_what_cannot_be_exported(database: Database, file: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="Flow run nobody not found"):
        await export_run(database, "nobody", file)
    url = f"sqlite:///{tmp_path / 'filled.sqlite'}"
    run_id = await recorded(url)
    filled = await open_database(url)
    try:

        async def begin(tx: Transaction) -> None:
            await tx.execute("UPDATE flow_run SET state = 'Running'")

        await filled.write(begin)
        with pytest.raises(RunFileError, match=r"Flow run .* is Running: it can be exported when it has ended"):
            await export_run(filled, run_id, file)
    finally:
        await filled.aclose()
    assert not list(tmp_path.glob("run.zip*"))


def changed(file: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    """Change one member of an archive."""
    with zipfile.ZipFile(file) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    members[name] = change(members[name])
    with zipfile.ZipFile(file, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)


def header(**changes: Any) -> Callable[[bytes], bytes]:
    return lambda content: msgspec.json.encode({**msgspec.json.decode(content), **changes})


WRONG = {
    "newer": ("run.json", header(version=99, prefectlite="9.9"), "was written by prefectlite 9.9, which is newer"),
    "newer schema": ("run.json", header(schema=99), "which is newer"),
    "something else": ("run.json", header(format="cake"), "is no exported run, but a cake"),
    "no header": ("run.json", lambda _: b"[]", "is no exported run"),
    "a row less": ("log.jsonl", lambda content: content.split(b"\n", 1)[1], "does not hold what it says"),
    "another run": ("run.json", header(flow_run_id="x"), "does not hold what it says"),
    "no JSON": ("task.jsonl", lambda content: b"{" + content, "line 1 of task.jsonl"),
    "no object": ("task.jsonl", lambda content: b"[1]\n", "line 1 of task.jsonl"),
    "no bytes": ("result.jsonl", lambda content: content.replace(b'"$bytes":"', b'"$bytes":"!'), "line 1 of result.jsonl"),
    "a strange column": ("task.jsonl", lambda c: c.replace(b'"slug"', b'"slug; DROP"'), "know: task.slug; DROP"),
    "unfinished": ("flow_run.jsonl", lambda c: c.replace(b'"state":"Failed"', b'"state":"Running"'), "has not ended"),
    "no task": ("task_run.jsonl", lambda c: c.replace(b'"task_id":"', b'"task_id":"0'), "is damaged, or was changed"),
    "no digest": ("flow.jsonl", lambda c: c.replace(b'"digest"', b'"storage"'), "is damaged, or was changed"),
}


@pytest.mark.asyncio
async def test_a_file_that_was_changed_leaves_nothing_behind(database: Database, file: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'filled.sqlite'}"
    run_id = await recorded(url)
    filled = await open_database(url)
    await export_run(filled, run_id, file)
    await filled.aclose()
    for name, change, message in WRONG.values():
        wrong = file.with_name("wrong.zip")
        shutil.copy(file, wrong)
        changed(wrong, name, change)
        with pytest.raises(RunFileError) as caught:
            await import_run(database, wrong)
        assert message in str(caught.value)
        assert str(wrong) in str(caught.value)
    whole = file.read_bytes()
    for content in (b"", b"no zip", whole[: len(whole) // 2], whole[:200] + b"xxxx" + whole[204:]):
        wrong.write_bytes(content)
        with pytest.raises(RunFileError, match="is damaged, or no exported run"):
            await import_run(database, wrong)
    for table in _TABLES:
        assert await database.read(f"SELECT count(*) FROM {table}") == [(0,)]
    await import_run(database, file)
