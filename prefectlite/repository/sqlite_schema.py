"""Making the schema of a SQLite database, and bringing it up to date."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from prefectlite.repository.database import Transaction
from prefectlite.repository.schema import APPLIED, migrate, missing
from prefectlite.repository.sqlite_file import keep_aside
from prefectlite.repository.sqlite_transaction import run_to_end, run_transaction

T = TypeVar("T")
#: The words of the migrations in SQLite's language.
TYPES = {"id": "TEXT", "time": "INTEGER", "json": "TEXT", "bytes": "BLOB", "seq": "INTEGER", "big": "INTEGER"}
TYPES["keyed"] = " WITHOUT ROWID"
# The index keeps no text; to forget a line, it has to be told what that was.
TYPES["words"] = """
CREATE VIRTUAL TABLE log_words USING fts5(words, content='', tokenize='ascii');
CREATE TRIGGER log_words_of_deleted AFTER DELETE ON log WHEN old.seq <= (SELECT value FROM counter WHERE name = 'log_words')
BEGIN INSERT INTO log_words (log_words, rowid, words) VALUES ('delete', old.seq, coalesce(old.indexed, old.message)); END
"""
_logger = logging.getLogger("prefectlite.database")


def make_schema(connection: sqlite3.Connection, path: Path | None = None) -> None:
    """Bring the schema of the database behind `connection` up to date, from plain code.

    Where there is one already in the file `path`, the file is copied aside before; nobody else may write meanwhile.
    """

    class Here:
        async def write(self, work: Callable[[Transaction], Awaitable[T]], *, durable: bool = False) -> T:
            return run_transaction(connection, work)[0]

    place = str(path or "in memory")
    is_made = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'migration'").fetchone()
    applied = connection.execute(APPLIED).fetchall() if is_made else []
    steps = missing(applied, place)
    if steps and applied and path is not None:
        copy = keep_aside(connection, path, steps[0].number)
        _logger.warning(
            "The database %s is brought to schema %s; as it was before, it is in %s", place, steps[-1].number, copy
        )
    if steps:
        run_to_end(migrate(Here(), TYPES, place))
