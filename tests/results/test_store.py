"""Which store a session has, and where its key is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prefectlite.errors import SettingsError
from prefectlite.results.files import FileResultStore
from prefectlite.results.remote import RemoteResultStore
from prefectlite.results.store import result_store
from prefectlite.settings import Settings

MEMORY, POSTGRES = "sqlite://:memory:", "postgresql://user:secret@host/name"


def test_beside_the_database(tmp_path: Path) -> None:
    store = result_store(Settings(database_url=f"sqlite:///{tmp_path / 'a.sqlite'}"))
    assert isinstance(store, FileResultStore)
    assert store.place == str(tmp_path / "a.sqlite.results")
    assert store._seal.key_file == tmp_path / "a.sqlite.results.key"
    assert list(tmp_path.iterdir()) == [], "made when needed"


@pytest.mark.parametrize("database_url", [MEMORY, POSTGRES])
def test_none_where_results_stay_in_the_database(database_url: str) -> None:
    assert result_store(Settings(database_url=database_url)) is None


def test_where_the_url_says(tmp_path: Path) -> None:
    database_url = f"sqlite:///{tmp_path / 'a.sqlite'}"
    for one in (database_url, MEMORY, POSTGRES):
        store = result_store(Settings(database_url=one, result_store_url="s3://key:secret@bucket/x"))
        assert isinstance(store, RemoteResultStore)
        assert "secret" not in store.place
        assert store._seal.key_file.parent == (tmp_path if one == database_url else Path(os.environ["PREFECTLITE_HOME"]))
    folder = result_store(Settings(database_url=POSTGRES, result_store_url=f"file://{tmp_path}/a%20b"))
    assert isinstance(folder, FileResultStore)
    assert folder.place == str(tmp_path / "a b")


def test_the_key_is_a_setting_and_else_goes_by_the_database(tmp_path: Path) -> None:
    def key(**settings: str) -> Path:
        store = result_store(Settings(result_store_url="memory://x", **settings))
        assert store is not None
        return store._seal.key_file

    assert key(database_url=POSTGRES, result_key_file=str(tmp_path / "k")) == tmp_path / "k"
    assert key(database_url=POSTGRES) == key(database_url="postgres://other:word@host:5432/name")
    assert key(database_url=POSTGRES) != key(database_url="postgresql://user:secret@host/other")


@pytest.mark.parametrize("url", ["/tmp/x", "bucket", "://x"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(SettingsError, match="is no URL: write s3://bucket/folder, or file:///folder"):
        result_store(Settings(database_url=MEMORY, result_store_url=url))
