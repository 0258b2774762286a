from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from prefectlite.errors import SettingsError
from prefectlite.repository.urls import database_key, open_database, postgres_place, sqlite_path, without_password


@pytest.mark.parametrize("url", ["sqlite://:memory:", "sqlite:///:memory:"])
def test_a_database_in_memory(url: str) -> None:
    assert sqlite_path(url) is None


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:////absolute/file.sqlite", Path("/absolute/file.sqlite")),
        ("sqlite:///relative.sqlite", Path("relative.sqlite").absolute()),
        ("sqlite:///sub/dir/relative.sqlite", Path("sub/dir/relative.sqlite").absolute()),
        ("sqlite:///~/file.sqlite", Path("~/file.sqlite").expanduser()),
        ("sqlite:////a b/ü?#%20.sqlite", Path("/a b/ü?#%20.sqlite")),  # no escapes: a path is written as it is
        ("sqlite:////a://b", Path("/a:/b")),
    ],
)
def test_a_file(url: str, path: Path) -> None:
    assert sqlite_path(url) == path


@pytest.mark.parametrize(
    "url",
    [
        "",
        "sqlite",
        "sqlite:",
        "sqlite:/file.sqlite",
        "sqlite://",
        "file.sqlite",
        "/absolute/file.sqlite",
        "mysql://user:secret@host/db",
        "SQLite:///x",
    ],
)
def test_what_is_no_sqlite_url(url: str) -> None:
    with pytest.raises(SettingsError, match=r"write sqlite:///file\.sqlite") as caught:
        sqlite_path(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["sqlite://file.sqlite", "sqlite:///", "sqlite:////", "sqlite:///directory/", "sqlite://host/x"]
)
def test_a_url_that_names_no_file(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        sqlite_path(url)
    assert str(caught.value) == f"The database URL {url} names no file: write sqlite:///file.sqlite (three slashes)"


def test_who_runs_on_sqlite_does_not_load_what_postgresql_needs() -> None:
    code = (
        "import sys; from prefectlite import Flow, task\n"
        "with Flow('f') as flow: task(lambda: 1)()\n"
        "assert flow.run().is_successful(); print('asyncpg' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False"]


@pytest.mark.asyncio
async def test_opening_makes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "ü.sqlite"
    database = await open_database(f"sqlite:///{path}")
    try:
        assert path.is_file()
        assert await database.read("SELECT count(*) FROM flow") == [(0,)]
    finally:
        await database.aclose()


@pytest.mark.asyncio
async def test_a_database_in_memory_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url in ("sqlite://:memory:", "sqlite:///:memory:"):
        database = await open_database(url)
        await database.aclose()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://ann:s3cret@db.example:6543/flows", "postgresql://db.example:6543/flows"),
        ("postgres://ann:s3cret@db.example/flows?sslmode=require", "postgresql://db.example:5432/flows"),
        ("postgresql://ann:p%40ss%2F@[::1]/my%20flows", "postgresql://::1:5432/my flows"),
        ("postgresql://ann@/flows?host=/run/pg&port=7", "postgresql:///run/pg:7/flows"),
        ("postgresql://ann:s3cret@host", "postgresql://host:5432/ann"),
        ("postgresql://", "postgresql://localhost:5432/"),
    ],
)
def test_the_place_of_a_postgresql_database(url: str, place: str) -> None:
    assert (postgres_place(url), database_key(url)) == (place, place)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:s3/cret@host/flows",
        "postgresql://ann:12/s3cret@host/flows",
        "postgresql://ann:s3?cret@host/flows",
        "postgresql://ann:s3#cret@host/flows",
        "postgresql://ann@host:s3cret/flows",
    ],
)
def test_a_password_that_is_not_quoted_is_not_shown_either(url: str) -> None:
    with pytest.raises(SettingsError, match="%2F for /") as caught:
        postgres_place(url)
    assert "cret" not in str(caught.value)
    assert "cret" not in without_password(url) or "@host:" in url


def test_urls_as_they_may_be_shown() -> None:
    assert without_password("postgres://ann:s3cret@host/flows") == "postgres://ann:***@host/flows"
    assert without_password("postgresql://ann@host:5432/flows") == "postgresql://ann@host:5432/flows"
    assert without_password("sqlite:///a:b@c.sqlite") == "sqlite:///a:b@c.sqlite"
