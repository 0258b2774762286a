"""Where a session's large results lie: beside the database's file, or where `result_store_url` says."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from prefectlite.disk import beside
from prefectlite.errors import SettingsError
from prefectlite.lazily import lazily
from prefectlite.repository.urls import database_key, is_postgres, sqlite_path
from prefectlite.results.files import FileResultStore
from prefectlite.results.seal import Seal
from prefectlite.settings import Settings, default_directory

if TYPE_CHECKING:
    from prefectlite.results import remote
else:
    remote = lazily("prefectlite.results.remote")


def result_store(settings: Settings) -> FileResultStore | remote.RemoteResultStore | None:
    """The store for large results; None where they stay in the database: one in memory, or on another machine.

    Nothing is read or written yet. Raises SettingsError for a URL that cannot be one.
    """
    database_url, url = settings.resolved_database_url(), settings.result_store_url
    file = None if is_postgres(database_url) else sqlite_path(database_url)
    if not url:
        if file is None:
            return None
        return FileResultStore(beside(file, ".results"), Seal(_key_file(settings, file)))
    scheme, separator, rest = url.partition("://")
    if not scheme or not separator:
        raise SettingsError(f"result_store_url = {url!r} is no URL: write s3://bucket/folder, or file:///folder")
    seal = Seal(_key_file(settings, file))
    if scheme == "file":
        return FileResultStore(Path(unquote(rest)).absolute(), seal, shared=True)
    return remote.RemoteResultStore(url, seal)


def _key_file(settings: Settings, database: Path | None) -> Path:
    if settings.result_key_file:
        return Path(settings.result_key_file).expanduser().absolute()
    if database is not None:
        return beside(database, ".results.key")
    name = hashlib.sha256(database_key(settings.resolved_database_url()).encode()).hexdigest()[:16]
    return default_directory().expanduser().absolute() / f"results-{name}.key"
