"""The file with the keys of secrets: who may read it, and what becomes of secrets when it changes."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from prefectlite.errors import SecretUnreadable
from prefectlite.repository.secret_keys import SecretKeys, secret_keys
from prefectlite.settings import Settings


def test_it_is_made_for_its_owner_only(tmp_path: Path) -> None:
    keys = SecretKeys(tmp_path / "folder" / "keys")
    sealed = keys.sealed("A", {"a": "canary é"})
    assert stat.S_IMODE((tmp_path / "folder" / "keys").stat().st_mode) == 0o600
    assert "canary" not in sealed
    assert SecretKeys(tmp_path / "folder" / "keys").opened("A", sealed) == {"a": "canary é"}


def test_rotating_keeps_one_earlier_key(tmp_path: Path) -> None:
    keys = SecretKeys(tmp_path / "keys")
    first = keys.sealed("A", 1)
    keys.rotate()
    second = keys.sealed("A", 2)
    assert [keys.opened("A", sealed) for sealed in (first, second)] == [1, 2]
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o600
    keys.rotate()
    assert keys.opened("A", second) == 2
    with pytest.raises(SecretUnreadable, match=r"^Secret 'A' cannot be decrypted with the key in .*keys: "):
        keys.opened("A", first)


def test_what_holds_no_keys(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("not a key, though it is long enough for one of them")
    with pytest.raises(SecretUnreadable, match=r"does not hold keys of secrets$"):
        SecretKeys(tmp_path / "keys").sealed("A", 1)
    with pytest.raises(SecretUnreadable, match=r"^The keys of secrets cannot be read from "):
        SecretKeys(tmp_path).sealed("A", 1)


def test_where_it_is(tmp_path: Path) -> None:
    file = f"sqlite:///{tmp_path / 'a.sqlite'}"
    assert secret_keys(Settings(database_url=file)).path == tmp_path / "a.sqlite.secrets.key"
    assert secret_keys(Settings(database_url=file, secrets_key_file=str(tmp_path / "k"))).path == tmp_path / "k"
    assert secret_keys(Settings(database_url="sqlite://:memory:")).path is None
    of_server = secret_keys(Settings(database_url="postgresql://me:word@host/db")).path
    assert of_server == secret_keys(Settings(database_url="postgresql://you@host/db")).path
    assert of_server is not None
    assert of_server.parent == tmp_path / "home"
    kept = secret_keys(Settings(database_url="sqlite://:memory:"))
    assert SecretKeys(None).opened("A", kept.sealed("A", 1)) == 1
