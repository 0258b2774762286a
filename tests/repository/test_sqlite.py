from __future__ import annotations

import asyncio
import concurrent.futures.thread  # noqa: F401 - before a test gives up the right to read the library
import contextlib
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from prefectlite.errors import StoreClosed, StoreDamaged, StoreError, StoreUnavailable
from prefectlite.repository import sqlite
from prefectlite.repository.database import Database, Transaction
from prefectlite.repository.locks import FileLock
from prefectlite.repository.sqlite import READERS, SqliteDatabase, open_sqlite

PATIENCE = 10  # seconds; nothing here waits that long unless it fails
Work = Callable[[Transaction], Awaitable[Any]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.sqlite"


@pytest_asyncio.fixture
async def file(path: Path) -> AsyncIterator[SqliteDatabase]:
    """An open database in a file, with a table to play with."""
    opened = await open_sqlite(path)
    await toys(opened)
    yield opened
    await opened.aclose()


@pytest_asyncio.fixture(params=["memory", "file"])
async def any_database(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[Database]:
    """An open database of each kind that SQLite has, with a table to play with."""
    opened = await open_sqlite(None if request.param == "memory" else path)
    await toys(opened)
    yield opened
    await opened.aclose()


async def toys(database: Database) -> None:
    async def work(tx: Transaction) -> None:
        await tx.execute("CREATE TABLE toy (name TEXT PRIMARY KEY, value)")

    await database.write(work)


def insert(*names: str) -> Work:
    async def work(tx: Transaction) -> None:
        await tx.executemany("INSERT INTO toy (name) VALUES ($1)", [(name,) for name in names])

    return work


async def names(database: Database) -> list[str]:
    return [name for (name,) in await database.read("SELECT name FROM toy ORDER BY name")]


class Gate:
    """A transaction that inserts `one`, waits until it is let on, and inserts `two`."""

    def __init__(self) -> None:
        self.inside, self.go = threading.Event(), threading.Event()

    async def work(self, tx: Transaction) -> str:
        await tx.execute("INSERT INTO toy (name) VALUES ('one')")
        self.inside.set()
        assert self.go.wait(PATIENCE)
        await tx.execute("INSERT INTO toy (name) VALUES ('two')")
        return "done"

    async def entered(self) -> None:
        assert await asyncio.to_thread(self.inside.wait, PATIENCE)


def end_of_others(known: set[threading.Thread]) -> None:
    """Connections that were made since are closed; asyncio keeps the threads in which directories were made."""
    for thread in set(threading.enumerate()) - known:
        if not thread.name.startswith("asyncio"):
            thread.join(PATIENCE)
            assert not thread.is_alive()


class Disaster(BaseException):
    pass


# -- statements -----------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_statements(any_database: Database) -> None:
    async def work(tx: Transaction) -> list[Any]:
        await tx.execute("INSERT INTO toy VALUES ($1, $2)", ("a", 1))
        await tx.executemany("INSERT INTO toy VALUES ($2, $1)", [(2, "b"), (None, "c")])
        await tx.executemany("INSERT INTO toy VALUES ($1, $2)", [])
        return await tx.fetch("SELECT * FROM toy ORDER BY name")

    rows = [("a", 1), ("b", 2), ("c", None)]
    assert await any_database.write(work) == rows
    assert await any_database.read("SELECT * FROM toy ORDER BY name") == rows
    assert await any_database.read("SELECT name FROM toy WHERE value = $1", (2,)) == [("b",)]


@pytest.mark.asyncio
async def test_parameters_are_numbered_not_ordered(any_database: Database) -> None:
    values = tuple(range(1, 13))
    assert await any_database.read("SELECT $12, $2, $1, $2 + $10, '$' || 'x'", values) == [(12, 2, 1, 12, "$x")]


@pytest.mark.asyncio
@pytest.mark.parametrize("value", [None, 0, -(2**63), 2**63 - 1, 1.5, "", "ü👋\0x", b"\0\xff", "'; DROP TABLE toy; --"])
async def test_values_come_back_as_they_were(any_database: Database, value: Any) -> None:
    async def work(tx: Transaction) -> None:
        await tx.execute("INSERT INTO toy VALUES ('x', $1)", (value,))

    await any_database.write(work)
    ((read,),) = await any_database.read("SELECT value FROM toy")
    assert (type(read), read) == (type(value), value)


@pytest.mark.asyncio
async def test_foreign_keys_hold(any_database: Database) -> None:
    async def work(tx: Transaction) -> None:
        await tx.execute("INSERT INTO edge VALUES ('e', 'no flow', 'no task', 'no task', NULL, 0)")

    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        await any_database.write(work)


# -- transactions ---------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [ValueError("no"), Disaster("no"), asyncio.CancelledError("no"), StopAsyncIteration("no")])
async def test_a_transaction_that_fails_is_undone(any_database: Database, error: BaseException) -> None:
    async def work(tx: Transaction) -> None:
        await insert("one", "two")(tx)
        raise error

    with pytest.raises(type(error), match="no"):
        await any_database.write(work)
    await any_database.write(insert("three"))
    assert await names(any_database) == ["three"]


@pytest.mark.asyncio
async def test_a_statement_that_fails_undoes_the_transaction(any_database: Database) -> None:
    await any_database.write(insert("one"))
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        await any_database.write(insert("two", "one"))
    assert await names(any_database) == ["one"]


@pytest.mark.asyncio
async def test_work_may_survive_a_statement_that_fails(any_database: Database) -> None:
    async def work(tx: Transaction) -> None:
        await insert("one")(tx)
        with contextlib.suppress(sqlite3.IntegrityError):
            await insert("one")(tx)
        await insert("two")(tx)

    await any_database.write(work)
    assert await names(any_database) == ["one", "two"]


@pytest.mark.asyncio
async def test_work_that_waits_for_something_else_is_an_error(any_database: Database) -> None:
    async def work(tx: Transaction) -> None:
        await insert("one")(tx)
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="awaited something other than its own statements"):
        await any_database.write(work)
    assert await names(any_database) == []


@pytest.mark.asyncio
async def test_a_cancelled_writer_leaves_a_whole_transaction(any_database: Database) -> None:
    gate = Gate()
    writing = asyncio.create_task(any_database.write(gate.work))
    await gate.entered()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    gate.go.set()
    await any_database.write(insert("three"))
    assert await names(any_database) == ["one", "three", "two"]


@pytest.mark.asyncio
async def test_a_cancelled_writer_whose_work_fails_leaves_nothing(any_database: Database) -> None:
    gate = Gate()

    async def work(tx: Transaction) -> None:
        await gate.work(tx)
        raise ValueError("nobody hears this")

    writing = asyncio.create_task(any_database.write(work))
    await gate.entered()
    writing.cancel()
    await asyncio.wait([writing])
    gate.go.set()
    assert await names(any_database) == []


@pytest.mark.asyncio
@pytest.mark.parametrize("seed", range(3))
async def test_writers_may_be_cancelled_at_any_moment(any_database: Database, seed: int) -> None:
    dice = random.Random(seed)

    async def write(number: int) -> None:
        await any_database.write(insert(f"{number} left", f"{number} right"))

    tasks = [asyncio.create_task(write(number)) for number in range(150)]
    for _ in range(100):
        dice.choice(tasks).cancel()
        await asyncio.sleep(0)
    await asyncio.wait(tasks)
    found = await names(any_database)
    finished = {str(number) for number, task in enumerate(tasks) if not task.cancelled()}
    assert 50 <= len(finished) < 150
    assert all(not task.exception() for task in tasks if not task.cancelled())
    assert {name.split()[0] for name in found} >= finished
    assert len(found) == 2 * len({name.split()[0] for name in found})


@pytest.mark.asyncio
async def test_writers_come_one_after_another(any_database: Database) -> None:
    async def work(tx: Transaction) -> None:
        ((value,),) = await tx.fetch("SELECT value FROM counter WHERE name = 'seq'")
        await tx.execute("UPDATE counter SET value = $1 WHERE name = 'seq'", (value + 1,))

    await asyncio.gather(*(any_database.write(work) for _ in range(100)))
    assert await any_database.read("SELECT value FROM counter WHERE name = 'seq'") == [(100,)]


# -- reading --------------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_readers_see_what_is_committed_and_wait_for_nobody(file: SqliteDatabase) -> None:
    gate = Gate()
    writing = asyncio.create_task(file.write(gate.work))
    await gate.entered()
    assert await asyncio.gather(*(names(file) for _ in range(READERS * 3))) == [[]] * READERS * 3
    gate.go.set()
    assert await writing == "done"
    assert await names(file) == ["one", "two"]


@pytest.mark.asyncio
async def test_a_database_in_memory_shows_no_half_transactions() -> None:
    database = await open_sqlite(None)
    await toys(database)
    gate = Gate()
    writing = asyncio.create_task(database.write(gate.work))
    await gate.entered()
    reading = asyncio.create_task(names(database))
    gate.go.set()
    assert await reading == ["one", "two"]
    await writing
    await database.aclose()


@pytest.mark.asyncio
async def test_many_may_read_at_once_and_be_cancelled(any_database: Database) -> None:
    await any_database.write(insert("one"))
    for _ in range(5):
        reading = [asyncio.create_task(names(any_database)) for _ in range(READERS * 5)]
        await asyncio.sleep(0)
        for task in reading[::2]:
            task.cancel()
        await asyncio.wait(reading)
        assert {tuple(task.result()) for task in reading[1::2]} == {("one",)}
    assert await names(any_database) == ["one"]


@pytest.mark.asyncio
async def test_readers_cannot_write(file: SqliteDatabase) -> None:
    with pytest.raises(StoreError, match="readonly"):
        await file.read("INSERT INTO toy (name) VALUES ('x')")
    assert await names(file) == []


# -- durability -----------------------------------------------------------------------------------------------------------


async def synchronous(tx: Transaction) -> str:
    ((level,),) = await tx.fetch("PRAGMA synchronous")
    return {1: "normal", 2: "full"}[level]


@pytest.mark.asyncio
async def test_a_durable_commit_is_synchronous(file: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "SYNC_INTERVAL", 1_000)
    assert await file.write(synchronous) == "normal"
    assert await file.write(synchronous, durable=True) == "full"
    assert await file.write(synchronous) == "normal"
    with pytest.raises(ZeroDivisionError):
        await file.write(failing, durable=True)
    assert await file.write(synchronous) == "normal"


async def failing(tx: Transaction) -> None:
    raise ZeroDivisionError


@pytest.mark.asyncio
async def test_the_commit_itself_is_inside(file: SqliteDatabase) -> None:
    """What SQLite is told: FULL before the transaction begins, NORMAL only after its end."""
    assert file._writer is not None
    told: list[str] = []
    await file._writer.run(lambda connection: connection.set_trace_callback(told.append))
    await file.write(insert("one"), durable=True)
    assert [line.split(" ")[0] if "toy" in line else line for line in told] == [
        "PRAGMA synchronous=FULL",
        "BEGIN IMMEDIATE",
        "INSERT",
        "COMMIT",
        "PRAGMA synchronous=NORMAL",
    ]


@pytest.mark.asyncio
async def test_the_last_commit_before_a_long_wait_is_synced_too(
    file: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "SYNC_INTERVAL", 0.3)
    synced = asyncio.Event()
    loop = asyncio.get_running_loop()

    def heard(statement: str) -> None:
        if statement == "PRAGMA synchronous=NORMAL":
            loop.call_soon_threadsafe(synced.set)

    assert file._writer is not None
    file._synced_at = time.monotonic()  # so that this commit is not a durable one
    await file._writer.run(lambda connection: connection.set_trace_callback(heard))
    await file.write(insert("one"))
    async with asyncio.timeout(5):
        await synced.wait()


@pytest.mark.asyncio
async def test_a_commit_is_synchronous_every_now_and_then(file: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "SYNC_INTERVAL", 1_000)
    now = 5_000.0
    monkeypatch.setattr(sqlite.time, "monotonic", lambda: now)
    file._synced_at = now
    assert await file.write(synchronous) == "normal"
    now += 1_001
    assert await file.write(synchronous) == "full"
    assert await file.write(synchronous) == "normal"


@pytest.mark.asyncio
async def test_always_durable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "SYNC_INTERVAL", 1_000)
    database = await open_sqlite(path, always_durable=True)
    assert await database.write(synchronous) == "full"
    await database.aclose()


# -- opening --------------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_file_is_made_with_its_directory(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "test.sqlite"
    await (await open_sqlite(path)).aclose()
    assert path.is_file()
    assert path.parent.stat().st_mode & 0o077 == 0  # what tasks return is nobody else's business


@pytest.mark.asyncio
async def test_two_may_open_an_empty_file_at_once(path: Path) -> None:
    opened = await asyncio.gather(*(open_sqlite(path) for _ in range(4)))
    await toys(opened[0])
    await asyncio.gather(*(database.write(insert(f"n{number}")) for number, database in enumerate(opened)))
    for database in opened:
        assert await names(database) == ["n0", "n1", "n2", "n3"]
        await database.aclose()


@pytest.mark.asyncio
@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\0" + b"\xff" * 4096])
async def test_a_file_that_is_no_database(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreDamaged, match=f"^The database {path} is damaged"):
        await open_sqlite(path)
    assert path.read_bytes() == content


@pytest.mark.asyncio
async def test_a_directory_is_no_database(tmp_path: Path) -> None:
    directory = tmp_path / "directory"
    directory.mkdir()
    with pytest.raises(StoreUnavailable, match=f"^The database {directory} cannot be opened: "):
        await open_sqlite(directory)


@pytest.mark.asyncio
async def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match=r"cannot be opened: (Not a directory|File exists)"):
        await open_sqlite(tmp_path / "file" / "test.sqlite")


@contextlib.contextmanager
def without_privileges() -> Iterator[None]:
    """Root may write anywhere: be nobody for a while."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.asyncio
@pytest.mark.skipif(sys.platform == "win32", reason="directories are not protected like this")
@pytest.mark.parametrize("exists", [False, True], ids=["new", "existing"])
async def test_a_directory_that_is_read_only(tmp_path: Path, exists: bool) -> None:
    directory = tmp_path / "read-only"
    path = directory / "test.sqlite"
    if exists:
        await (await open_sqlite(path)).aclose()
    directory.mkdir(exist_ok=True)
    directory.chmod(0o500)
    with without_privileges(), pytest.raises(StoreUnavailable, match=r"cannot be opened: .*ermission denied"):
        await open_sqlite(path)
    directory.chmod(0o700)


@pytest.mark.asyncio
async def test_an_open_that_is_cancelled_leaves_nothing_open(path: Path) -> None:
    before = set(threading.enumerate())
    for turns in range(12):
        opening = asyncio.create_task(open_sqlite(path))
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await opening).aclose()
    database = await open_sqlite(path)
    await database.write(synchronous)
    await database.aclose()
    end_of_others(before)


# -- what the database cannot do ------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_full_disk_is_a_store_error(any_database: Database) -> None:
    async def work(tx: Transaction) -> None:
        ((pages,),) = await tx.fetch("PRAGMA page_count")
        await tx.fetch(f"PRAGMA max_page_count = {pages + 2}")
        await tx.execute("INSERT INTO toy VALUES ('large', zeroblob(1000000))")

    with pytest.raises(StoreError, match=r"^The database .* cannot be used: database or disk is full"):
        await any_database.write(work)
    await any_database.write(insert("small"))
    assert await names(any_database) == ["small"]


@pytest.mark.asyncio
async def test_a_database_that_another_program_locks_is_a_store_error(file: SqliteDatabase, path: Path) -> None:
    assert file._writer is not None
    await file._writer.run(lambda connection: connection.execute("PRAGMA busy_timeout=0").fetchall())
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="database is locked"):
        await file.write(insert("one"))
    other.execute("COMMIT")
    other.close()
    await file.write(insert("one"))
    assert await names(file) == ["one"]


# -- closing --------------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_closed_database_says_so(any_database: Database) -> None:
    await any_database.aclose()
    await any_database.aclose()
    with pytest.raises(StoreClosed, match=r"^The database .* has been closed"):
        await any_database.write(insert("one"))
    with pytest.raises(StoreClosed, match=r"^The database .* has been closed"):
        await any_database.read("SELECT 1")


@pytest.mark.asyncio
async def test_closing_finishes_what_was_begun(file: SqliteDatabase, path: Path) -> None:
    gate = Gate()
    writing = asyncio.create_task(file.write(gate.work))
    await gate.entered()
    after = asyncio.create_task(file.write(insert("three")))
    await asyncio.sleep(0)
    closing = asyncio.create_task(file.aclose())
    await asyncio.sleep(0)
    gate.go.set()
    await asyncio.gather(writing, after, closing)
    database = await open_sqlite(path)
    assert await names(database) == ["one", "three", "two"]
    await database.aclose()


@pytest.mark.asyncio
@pytest.mark.parametrize("turns", range(6))
async def test_readers_at_the_time_of_closing_get_an_answer_or_are_told(file: SqliteDatabase, turns: int) -> None:
    before = set(threading.enumerate())
    await file.write(insert("one"))
    reading = [asyncio.create_task(names(file)) for _ in range(READERS * 3)]
    for _ in range(turns):
        await asyncio.sleep(0)
    await file.aclose()
    for outcome in await asyncio.gather(*reading, return_exceptions=True):
        assert outcome == ["one"] or isinstance(outcome, StoreClosed)
    end_of_others(before)  # not even a reader that was being connected is left


# -- several processes ----------------------------------------------------------------------------------------------------

PROCESS = """
import asyncio, sys
from pathlib import Path
from prefectlite.repository.sqlite import open_sqlite

async def main(path, kind, count):
    database = await open_sqlite(path)
    print("ready", flush=True)
    if kind == "count":
        sys.stdin.readline()
        async def work(tx):
            ((value,),) = await tx.fetch("SELECT value FROM counter WHERE name = 'seq'")
            await tx.execute("UPDATE counter SET value = $1 WHERE name = 'seq'", (value + 1,))
        for number in range(count):
            await database.write(work, durable=number % 10 == 0)
        await database.aclose()
    if kind == "killed":
        async def work(tx):
            await tx.execute("UPDATE counter SET value = 1000 WHERE name = 'seq'")
            print("inside", flush=True)
            sys.stdin.read()
        await database.write(work)
    # "forgetful": does not close

asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
"""


@contextlib.contextmanager
def process(path: Path, kind: str, count: int = 0) -> Iterator[subprocess.Popen[str]]:
    arguments = [sys.executable, "-W", "ignore", "-c", PROCESS, str(path), kind, str(count)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.asyncio
async def test_processes_write_one_file_together(path: Path) -> None:
    database = await open_sqlite(path)

    async def work(tx: Transaction) -> None:
        ((value,),) = await tx.fetch("SELECT value FROM counter WHERE name = 'seq'")
        await tx.execute("UPDATE counter SET value = $1 WHERE name = 'seq'", (value + 1,))

    with process(path, "count", 100) as one, process(path, "count", 100) as other:
        assert (line(one), line(other)) == ("ready", "ready")
        ends = [asyncio.to_thread(each.communicate, "go\n", PATIENCE) for each in (one, other)]
        await asyncio.gather(*ends, *(database.write(work) for _ in range(100)))
    assert (one.returncode, other.returncode) == (0, 0)
    assert await database.read("SELECT value FROM counter WHERE name = 'seq'") == [(300,)]
    await database.aclose()


@pytest.mark.asyncio
async def test_writers_wait_for_the_lock_file_and_readers_do_not(file: SqliteDatabase, path: Path) -> None:
    lock = FileLock(path.with_name("test.sqlite.lock"))  # as another process would hold it
    with lock:
        writing = asyncio.create_task(file.write(insert("one")))
        assert await names(file) == []
        assert not writing.done()
    await writing
    assert await names(file) == ["one"]
    lock.close()


@pytest.mark.asyncio
async def test_processes_may_open_an_empty_file_together(path: Path) -> None:
    with process(path, "count", 1) as one, process(path, "count", 1) as other:
        database = await open_sqlite(path)
        ends = [asyncio.to_thread(each.communicate, "go\n", PATIENCE) for each in (one, other)]
        await asyncio.gather(*ends)
    assert (one.returncode, other.returncode) == (0, 0)
    assert await database.read("SELECT value FROM counter WHERE name = 'seq'") == [(2,)]
    await database.aclose()


@pytest.mark.asyncio
async def test_a_process_killed_inside_a_transaction_leaves_nothing_of_it(path: Path) -> None:
    database = await open_sqlite(path)
    with process(path, "killed") as killed:
        assert (line(killed), line(killed)) == ("ready", "inside")

        async def work(tx: Transaction) -> None:
            await tx.execute("UPDATE counter SET value = value + 1 WHERE name = 'seq'")

        writing = asyncio.create_task(database.write(work))
        await asyncio.sleep(0.01)
        assert not writing.done()
        killed.kill()
        await asyncio.wait_for(writing, PATIENCE)
    assert await database.read("SELECT value FROM counter WHERE name = 'seq'") == [(1,)]
    await database.aclose()


def test_an_application_that_forgets_to_close_can_end(path: Path) -> None:
    with process(path, "forgetful") as forgetful:
        forgetful.communicate(timeout=PATIENCE)
    assert forgetful.returncode == 0
