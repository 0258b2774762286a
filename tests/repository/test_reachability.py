"""Looking at a database without changing it."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefectlite.repository.database import Database
from prefectlite.repository.reachability import reachability


@pytest.mark.asyncio
async def test_one_that_is_there(database: Database, database_url: str) -> None:
    found = await reachability(database_url)
    assert (found.reachable, found.problem) == (True, None)
    assert found.kind == ("PostgreSQL" if "postgres" in database_url else "SQLite")
    if ":memory:" not in database_url:
        ((number,),) = await database.read("SELECT max(number) FROM migration")
        assert found.schema == number


@pytest.mark.asyncio
async def test_one_without_tables(tmp_path: Path) -> None:
    (tmp_path / "empty.sqlite").touch()
    found = await reachability(f"sqlite:///{tmp_path / 'empty.sqlite'}")
    assert (found.reachable, found.schema) == (True, None)
    assert (tmp_path / "empty.sqlite").stat().st_size == 0


@pytest.mark.asyncio
async def test_one_that_is_not_there(tmp_path: Path, free_port: int) -> None:
    gone = await reachability(f"sqlite:///{tmp_path / 'gone.sqlite'}")
    assert (gone.reachable, gone.problem) == (False, "the file does not exist yet: it is made by the first run")
    assert not (tmp_path / "gone.sqlite").exists()
    (tmp_path / "text.sqlite").write_text("no database" * 100)
    assert (await reachability(f"sqlite:///{tmp_path / 'text.sqlite'}")).problem == "file is not a database"
    nobody = await reachability(f"postgresql://ann:s3cret@127.0.0.1:{free_port}/x")
    assert not nobody.reachable
    assert nobody.problem
    assert "s3cret" not in f"{nobody.place} {nobody.problem}"
