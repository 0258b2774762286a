"""Database URLs: `sqlite:///relative.sqlite`, `sqlite:////absolute.sqlite`, `sqlite://:memory:`, `postgresql://…`.

`sqlite://:memory:/name` names a database in memory that is there as long as anything in this process has it open.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, unquote, urlsplit

from prefectlite.errors import SettingsError
from prefectlite.lazily import lazily
from prefectlite.repository.database import Database
from prefectlite.repository.sqlite import open_sqlite

if TYPE_CHECKING:
    from prefectlite.repository import postgres
else:
    postgres = lazily("prefectlite.repository.postgres")  # asyncpg takes 30 ms that users of SQLite need not spend

_NAMED = ":memory:/"
_POSTGRES = ("postgresql", "postgres")
_PASSWORD = re.compile(r"(?<=://)([^/?#\s:@]*):\S*@")


async def open_database(url: str, *, always_durable: bool = False) -> Database:
    """The database at `url`, open and at the newest schema. Raises SettingsError for a URL that names none."""
    if is_postgres(url):
        return await postgres.open_postgres(url, postgres_place(url))
    path = sqlite_path(url)
    return await open_sqlite(path, always_durable=always_durable, memory_uri=None if path else memory_uri(url))


def is_postgres(url: str) -> bool:
    """Whether `url` names a PostgreSQL database."""
    return url.partition("://")[0] in _POSTGRES


def database_key(url: str) -> str:
    """The database's name, whichever way its URL is written, and without a password. Raises SettingsError."""
    if is_postgres(url):
        return postgres_place(url)
    path = sqlite_path(url)
    return url if path is None else str(path.resolve())


def without_password(url: str) -> str:
    """A database URL as it may be shown."""
    return _PASSWORD.sub(r"\1:***@", url) if is_postgres(url) else url


def postgres_place(url: str) -> str:
    """Server, port and name of the database that a PostgreSQL URL names. Raises SettingsError if it cannot be read."""
    parts = urlsplit(url)
    try:
        port = parts.port
        if "@" in parts.path + parts.query or parts.fragment:
            raise ValueError
    except ValueError:
        raise SettingsError(
            f"The database URL {parts.scheme}://… cannot be read: write postgresql://user:password@host:5432/database, with"
            " %40 for @, %3A for :, %2F for /, %3F for ? and %23 for # in user and password"
        ) from None
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    host = parts.hostname or options.get("host") or "localhost"
    name = (
        unquote(parts.path.lstrip("/")) or options.get("database") or options.get("dbname") or unquote(parts.username or "")
    )
    return f"postgresql://{host}:{port or options.get('port') or 5432}/{name}"


def sqlite_path(url: str) -> Path | None:
    """The file that a SQLite URL names; None for a database in memory. Raises SettingsError for anything else."""
    scheme, separator, rest = url.partition("://")
    if scheme != "sqlite" or not separator or not rest:
        raise SettingsError(
            f"The database URL {scheme}{separator}… is not one prefectlite can open: write sqlite:///file.sqlite,"
            " sqlite:////absolute/file.sqlite, sqlite://:memory: or postgresql://user:password@host/database"
        )
    if rest in (":memory:", "/:memory:") or rest.startswith(_NAMED):  # the second is how SQLAlchemy writes it
        return None
    if not rest.startswith("/") or rest.endswith("/"):
        raise SettingsError(f"The database URL {url} names no file: write sqlite:///file.sqlite (three slashes)")
    return Path(rest[1:]).expanduser().absolute()


def memory_uri(url: str) -> str | None:
    """How SQLite opens the database in memory that `url` names; None where it has no name."""
    _, named, name = url.partition(_NAMED)
    return f"file:/{quote(name)}?vfs=memdb" if named else None
