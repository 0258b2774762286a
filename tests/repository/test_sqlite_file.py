"""A damaged file is found and left alone; copies are whole, whoever writes meanwhile."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from prefectlite.errors import StoreDamaged, StoreError
from prefectlite.repository.database import Transaction
from prefectlite.repository.sqlite import SqliteDatabase, open_sqlite
from prefectlite.repository.sqlite_file import ALWAYS_CHECKED, copies, copy_to, remember_copy, verify

_PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.sqlite"


async def filled(path: Path, projects: int) -> None:
    """A database with so many projects in it, closed."""
    database = await open_sqlite(path)
    await add_projects(database, 0, projects)
    await database.aclose()


async def add_projects(database: SqliteDatabase, first: int, count: int) -> None:
    async def work(tx: Transaction) -> None:
        rows = [(f"id-{n}", f"project {n}", "x" * 300) for n in range(first, first + count)]
        await tx.executemany("INSERT INTO project (id, name, description, created, updated) VALUES ($1, $2, $3, 0, 0)", rows)

    await database.write(work)


@pytest.mark.asyncio
async def test_flipped_pages_are_found_or_do_no_harm(path: Path, tmp_path: Path) -> None:
    await filled(path, 200)
    whole = path.read_bytes()
    chance = random.Random(7)
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole)
        page = chance.randrange(len(whole) // _PAGE) * _PAGE
        damaged[page : page + _PAGE] = chance.randbytes(_PAGE)
        path.write_bytes(damaged)
        try:
            database = await open_sqlite(path)
        except StoreDamaged:
            refused += 1
            same = path.read_bytes() == damaged
            assert same, "it is left as it is"
        else:  # a page that holds nothing
            assert len(await database.read("SELECT name, description FROM project")) == 200
            await database.aclose()
    assert refused > 50


@pytest.mark.asyncio
@pytest.mark.parametrize("length", [_PAGE // 2, 3 * _PAGE, -_PAGE])
async def test_a_truncated_file_is_refused(path: Path, length: int) -> None:
    await filled(path, 100)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(StoreDamaged):
        await open_sqlite(path)


@pytest.mark.asyncio
async def test_a_journal_without_its_database_is_not_thrown_away(path: Path) -> None:
    journal = path.with_name("test.sqlite-wal")
    journal.write_bytes(b"the last changes")
    with pytest.raises(StoreDamaged, match=r"is empty or gone, but .*, test\.sqlite-wal, is there"):
        await open_sqlite(path)
    assert journal.read_bytes() == b"the last changes"


@pytest.mark.asyncio
async def test_a_large_file_is_looked_through_when_it_was_not_closed(path: Path, tmp_path: Path) -> None:
    await filled(path, ALWAYS_CHECKED // 300)
    assert path.stat().st_size > ALWAYS_CHECKED
    database = await open_sqlite(path)
    await add_projects(database, 1_000_000, 1)
    left = tmp_path / "left.sqlite"  # as a process leaves it that is killed now
    for ending in ("", "-wal"):
        shutil.copy(tmp_path / f"test.sqlite{ending}", tmp_path / f"left.sqlite{ending}")
    await database.aclose()
    opened = await open_sqlite(left)
    assert await opened.read("SELECT count(*) FROM project WHERE id = 'id-1000000'") == [(1,)]
    again = await open_sqlite(left)  # two at once: the second one has no reason to look
    await again.aclose()
    await opened.aclose()
    for file in (left, path):
        with file.open("r+b") as damaged:
            damaged.seek(file.stat().st_size // 2 // _PAGE * _PAGE)
            damaged.write(bytes(random.Random(1).randbytes(_PAGE)))
    await (await open_sqlite(path)).aclose()  # closed properly and large: not looked through
    shutil.copy(path, left)
    (tmp_path / "left.sqlite-wal").write_bytes(b"\0" * 32)
    with pytest.raises(StoreDamaged):
        await open_sqlite(left)


@pytest.mark.asyncio
async def test_the_newest_copy_is_named(path: Path, tmp_path: Path) -> None:
    await filled(path, 10)
    elsewhere = tmp_path / "elsewhere.sqlite"
    for copy in (path.with_name("test.sqlite.before-0002"), elsewhere):
        with closing(sqlite3.connect(path)) as connection:
            assert copy_to(connection, copy)["project"] == 10
    remember_copy(path, elsewhere)
    assert copies(path) == [path.with_name("test.sqlite.before-0002"), elsewhere]
    path.write_bytes(b"nonsense " * 1000)
    with pytest.raises(StoreDamaged, match=f"the newest backup is {elsewhere}: .*`prefectlite db restore {elsewhere}`"):
        await open_sqlite(path)
    elsewhere.unlink()
    with pytest.raises(StoreDamaged, match=r"the newest backup is .*\.before-0002"):
        await open_sqlite(path)


@pytest.mark.asyncio
async def test_a_copy_is_one_moment_of_a_database_that_is_written_to(path: Path, tmp_path: Path) -> None:
    database = await open_sqlite(path)
    is_over = asyncio.Event()

    async def write() -> int:
        count = 0
        while not is_over.is_set():
            await add_projects(database, count, 7)  # what is committed together is copied together
            count += 7
        return count

    writing = asyncio.create_task(write())
    found = []
    for number in range(8):
        copy = tmp_path / f"copy-{number}.sqlite"

        def make(copy: Path = copy) -> int:
            with closing(sqlite3.connect(path)) as connection:
                return copy_to(connection, copy)["project"]

        found.append(await asyncio.to_thread(make))
        with closing(sqlite3.connect(copy)) as connection:
            assert verify(connection, copy)["project"] == found[-1]
    is_over.set()
    total = await writing
    await database.aclose()
    assert found == sorted(found)
    assert found[-1] <= total
    assert all(count % 7 == 0 for count in found)
    assert sorted(file.name for file in tmp_path.glob("copy*")) == [f"copy-{n}.sqlite" for n in range(8)]


@pytest.mark.asyncio
async def test_a_copy_that_is_damaged_does_not_appear(path: Path, tmp_path: Path) -> None:
    await filled(path, 1000)
    with path.open("r+b") as damaged:
        damaged.seek(path.stat().st_size - 20 * _PAGE)
        damaged.write(bytes(random.Random(3).randbytes(20 * _PAGE)))
    target = tmp_path / "copy.sqlite"
    with closing(sqlite3.connect(path)) as connection, pytest.raises((StoreError, sqlite3.DatabaseError)):
        copy_to(connection, target)
    assert not list(tmp_path.glob("copy*"))
