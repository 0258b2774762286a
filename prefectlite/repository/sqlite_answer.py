"""Questions of others to SQLite: given up when they take too long, or their answer grows too large."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from typing import Any

from prefectlite.errors import BadRequest
from prefectlite.repository.database import ANSWER_BYTES, ANSWER_SECONDS, TOO_LARGE, TOO_LONG

#: Steps of SQLite's machine after which it looks at the clock: less than a millisecond's.
_STEPS = 20_000


def fetch_answer(connection: sqlite3.Connection, sql: str, params: Sequence[Any]) -> str:
    """The one text that the statement gives. Raises BadRequest. On the connection's thread."""
    end = time.monotonic() + ANSWER_SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
    before = connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, ANSWER_BYTES)
    try:
        ((text,),) = connection.execute(sql, params).fetchall()
    except sqlite3.Error as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            raise BadRequest(TOO_LONG) from None
        if error.sqlite_errorcode == sqlite3.SQLITE_TOOBIG:
            raise BadRequest(TOO_LARGE) from None
        raise
    finally:
        connection.set_progress_handler(None, 0)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, before)
    return str(text)
