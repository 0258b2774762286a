"""Looking after a database: how large it is, making room, copies of it, and the way back to one."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import msgspec

from prefectlite.disk import beside
from prefectlite.errors import BadRequest, NotFound, StoreUnavailable
from prefectlite.repository.database import Database
from prefectlite.repository.dialect import SQLITE
from prefectlite.repository.locks import FileLock
from prefectlite.repository.sqlite_file import copy_to, damage, is_damage, remember_copy, verify

_COMPANIONS = ("-wal", "-shm")


class TableSize(msgspec.Struct, frozen=True):
    """How many rows a table has, and how many bytes it takes with its indices; None where the database cannot tell."""

    table: str
    rows: int
    bytes: int | None


async def sizes(database: Database) -> list[TableSize]:
    """The size of each table, the largest first."""
    if database.dialect is SQLITE:
        names = await database.read(
            "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type <> 'shadow' AND name NOT LIKE 'sqlite%'"
        )
        measured = await _measured_by_sqlite(database)
    else:
        names = await database.read("SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()")
        measured = {}
        for (name,) in names:
            ((measured[name],),) = await database.read("SELECT pg_total_relation_size(to_regclass($1))", (f'"{name}"',))
    found = []
    for (name,) in names:
        ((count,),) = await database.read(f'SELECT count(*) FROM "{name}"')
        found.append(TableSize(name, count, measured.get(name)))
    return sorted(found, key=lambda size: (-(size.bytes or 0), -size.rows, size.table))


async def total_bytes(database: Database) -> int:
    """How many bytes the database takes."""
    if database.dialect is SQLITE:
        sql = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    else:
        sql = "SELECT pg_database_size(current_database())"
    ((size,),) = await database.read(sql)
    return int(size)


async def _measured_by_sqlite(database: Database) -> dict[str, int]:
    if not await database.read("SELECT 1 FROM pragma_module_list WHERE name = 'dbstat'"):
        return {}  # SQLite can be built without
    rows = await database.read(
        # What an index of words consists of counts as that index.
        "SELECT CASE t.type WHEN 'shadow' THEN 'log_words' ELSE t.name END AS owner, sum(s.pgsize)"
        " FROM dbstat s JOIN sqlite_master m ON m.name = s.name JOIN pragma_table_list t ON t.name = m.tbl_name"
        " WHERE s.aggregate = 1 GROUP BY owner"
    )
    return dict(rows)


def vacuum_file(path: Path) -> tuple[int, int]:
    """Give the room of what was deleted back to the disk; the bytes before and after. Others who write wait meanwhile."""
    before = _bytes(path)
    lock = FileLock(beside(path, ".lock"))
    try:
        with lock, _connected(path) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        lock.close()
    return before, _bytes(path)


def back_up(path: Path, target: Path, *, overwrite: bool = False) -> dict[str, int]:
    """Copy the database at `path`, as it is at this moment, to the file `target`; the rows of each table.

    Others may write meanwhile. `target` is there once it is whole and checked. Raises BadRequest if it is there already.
    """
    if target.exists():
        if target.is_dir() or target.samefile(path):
            raise BadRequest(f"{target} is {'a directory' if target.is_dir() else 'the database itself'}: name another file")
        if not overwrite:
            raise BadRequest(f"{target} is there already: name another file, or say --force")
    with _connected(path) as connection:
        counts = copy_to(connection, target)
    remember_copy(path, target.resolve())
    return counts


def problems(path: Path) -> list[str]:
    """What is damaged in the database at `path`; nothing if it is whole."""
    with closing(sqlite3.connect(_uri(path), uri=True)) as connection:
        try:
            found = [text for (text,) in connection.execute("PRAGMA integrity_check(20)") if text != "ok"]
            if not found:
                rows = connection.execute("PRAGMA foreign_key_check").fetchmany(20)
                found = [f"row {row[1]} of {row[0]} refers to a row of {row[2]} that is not there" for row in rows]
        except sqlite3.DatabaseError as error:
            found = [str(error)]
    return found


def restore(path: Path, copy: Path) -> Path | None:
    """Put a copy of `copy`, checked, in place of the database at `path`; where that is now, if there was one.

    Raises BadRequest if a process uses the database, StoreError if the copy is not whole.
    """
    if is_in_use(path):
        raise BadRequest(f"The database {path} is in use by a running process: stop that first")
    with _connected(copy) as connection:
        counts = verify(connection, copy)
        if "migration" not in counts or "flow_run" not in counts:
            raise BadRequest(f"{copy} is no database of prefectlite's")
        aside = _set_aside(path) if path.exists() else None
        for ending in _COMPANIONS:
            beside(path, ending).unlink(missing_ok=True)
        copy_to(connection, path)
    return aside


def is_in_use(path: Path) -> bool:
    """Whether a running process has opened the database at `path` for its runs."""
    directory = beside(path, ".owners")  # each of them holds the lock on a file in there, as long as it lives
    for file in directory.iterdir() if directory.is_dir() else ():
        lock = FileLock(file)
        try:
            if not lock.try_acquire():
                return True
        finally:
            lock.close()
    return False


def _set_aside(path: Path) -> Path:
    """A second name, or else a copy, of a database file and its journal."""
    number = 1
    while (aside := beside(path, f".replaced-{number}")).exists():
        number += 1
    for ending in ("", *_COMPANIONS):
        if (file := beside(path, ending)).exists():
            try:
                os.link(file, beside(aside, ending))
            except OSError:
                shutil.copy2(file, beside(aside, ending))
    return aside


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a file that is there; what goes wrong is a StoreError that names it."""
    try:
        with closing(sqlite3.connect(_uri(path), isolation_level=None, timeout=30, uri=True)) as connection:
            yield connection
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            raise damage(path, str(error)) from error
        raise StoreUnavailable(f"The database {path} cannot be used: {error}") from error


def _uri(path: Path) -> str:
    if not path.is_file():
        raise NotFound(f"There is no database {path}")
    return f"{path.absolute().as_uri()}?mode=rw"


def _bytes(path: Path) -> int:
    total = 0
    for ending in ("", *_COMPANIONS):
        with suppress(FileNotFoundError):
            total += beside(path, ending).stat().st_size
    return total
