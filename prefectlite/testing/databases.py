"""A database in memory for the length of a block."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from prefectlite.ids import new_id
from prefectlite.repository.sqlite_schema import make_schema
from prefectlite.repository.urls import memory_uri
from prefectlite.settings import MEMORY_URL, replaced_settings


@contextmanager
def memory_database(**settings: Any) -> Iterator[str]:
    """In this block, everything in the process uses one database in memory, empty at first; its URL.

    `settings` hold there as well, such as `task_max_retries=2`; neither the settings file nor an API server that it names
    has a say in where runs are recorded. Both `flow.run()` in plain tests and `await flow.run()` in async ones find it, one
    after another, so that a second run sees what the first one cached. Raises SettingsError for settings that are none.
    """
    url = f"{MEMORY_URL}/{new_id()}"
    uri = memory_uri(url)
    assert uri is not None
    with (
        closing(sqlite3.connect(uri, uri=True, check_same_thread=False)) as kept,  # there as long as somebody has it open
        replaced_settings(**{"database_url": url, "api_url": "", **settings}),
    ):
        with closing(sqlite3.connect(":memory:")) as empty:
            empty.deserialize(_empty_database())
            empty.backup(kept)
        yield url


@functools.cache
def _empty_database() -> bytes:
    """A database with nothing but its schema: copying it takes a fraction of the time that making it does."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        make_schema(connection)
        return connection.serialize()
