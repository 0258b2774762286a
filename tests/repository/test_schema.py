from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import pytest

from prefectlite.errors import SchemaTooNew, StoreError, StoreUnavailable
from prefectlite.repository.schema import Migration, migrations
from prefectlite.repository.sqlite import open_sqlite
from prefectlite.repository.sqlite_schema import TYPES
from prefectlite.repository.table import Kind
from prefectlite.repository.tables import TABLES


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.sqlite"


def edit(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


async def made(path: Path) -> Path:
    await (await open_sqlite(path)).aclose()
    return path


def tables(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    return names


def test_migrations_are_numbered_without_gaps() -> None:
    known = migrations()
    assert [migration.number for migration in known] == list(range(1, len(known) + 1))
    assert known[0].name == "first"


@pytest.mark.parametrize("migration", migrations(), ids=lambda migration: migration.name)
def test_every_migration_is_written_for_any_database(migration: Migration) -> None:
    assert migration.digest == hashlib.sha256(migration.text.encode()).hexdigest()
    for statement in migration.statements({word: word.upper() for word in TYPES}):
        assert "$" not in statement
        assert "--" not in statement
        assert statement
        assert not statement.endswith(";") or statement.count(";") == 1
    with pytest.raises(KeyError):
        migration.statements({})


def test_comments_are_not_statements() -> None:
    text = "-- one; two;\nCREATE TABLE a (\n    x $id, -- the key;\n    y $time\n);\n\n-- end\nCREATE INDEX i ON a (x);\n"
    assert Migration(9, "x", text).statements(TYPES) == [
        "CREATE TABLE a (\n    x TEXT, \n    y INTEGER\n)",
        "CREATE INDEX i ON a (x)",
    ]


@pytest.mark.asyncio
async def test_everything_that_can_be_read_is_there(path: Path) -> None:
    database = await open_sqlite(path)
    try:
        for table in TABLES.values():
            columns = {row[1]: row[2] for row in await database.read(f"PRAGMA table_info({table.name})")}
            assert set(table.columns) <= set(columns)
            for column, kind in table.columns.items():
                number = kind in (Kind.INT, Kind.BOOL, Kind.TIME, Kind.DURATION)
                assert columns[column] == ("INTEGER" if number else "TEXT")
            for relation in table.relations.values():
                assert table.kind(relation.local) is not None
                assert relation.remote in TABLES[relation.table].columns
    finally:
        await database.aclose()


@pytest.mark.asyncio
async def test_opening_again_changes_nothing(path: Path) -> None:
    await made(path)
    edit(path, "UPDATE counter SET value = 41")
    database = await open_sqlite(path)
    try:
        assert await database.read("SELECT value FROM counter WHERE name = 'seq'") == [(41,)]
        assert await database.read("SELECT number, name, digest FROM migration") == [
            (migration.number, migration.name, migration.digest) for migration in migrations()
        ]
    finally:
        await database.aclose()


@pytest.mark.asyncio
async def test_a_newer_schema_is_left_alone(path: Path) -> None:
    await made(path)
    edit(path, "INSERT INTO migration VALUES (99, 'future', 'digest')", "CREATE TABLE future (x)")
    newest = migrations()[-1].number
    with pytest.raises(SchemaTooNew) as caught:
        await open_sqlite(path)
    assert str(caught.value) == (
        f"The database {path} has schema 99, and this prefectlite knows {newest}:"
        " use the newer prefectlite that wrote it, or another database"
    )
    assert caught.value.exit_code == 76
    edit(path, "DELETE FROM migration WHERE number = 99")
    await made(path)
    assert "future" in tables(path)


@pytest.mark.asyncio
async def test_an_edited_migration_is_noticed(path: Path) -> None:
    await made(path)
    edit(path, "UPDATE migration SET digest = 'other' WHERE number = 1")
    with pytest.raises(StoreError, match=r"was made with another text of migration 1 \(first\)") as caught:
        await open_sqlite(path)
    assert str(path) in str(caught.value)


@pytest.mark.asyncio
@pytest.mark.parametrize("table", ["counter", "result"])  # the first and the last that is made
async def test_a_migration_that_fails_leaves_nothing(path: Path, table: str) -> None:
    edit(path, f"CREATE TABLE {table} (mine)")
    with pytest.raises(StoreUnavailable, match=f"{path}.*table {table} already exists"):
        await open_sqlite(path)
    assert tables(path) == {table}
    edit(path, f"DROP TABLE {table}")
    await made(path)


@pytest.mark.asyncio
async def test_a_lost_memo_is_not_taken_for_an_empty_database(path: Path) -> None:
    await made(path)
    edit(path, "DELETE FROM migration")
    with pytest.raises(StoreUnavailable, match="already exists"):
        await open_sqlite(path)
    assert "flow_run" in tables(path)
