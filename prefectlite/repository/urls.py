"""Database URLs: `sqlite:///relative.sqlite`, `sqlite:////absolute.sqlite`, `sqlite://:memory:`.

`sqlite://:memory:/name` names a database in memory that is there as long as anything in this process has it open.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from prefectlite.errors import SettingsError
from prefectlite.repository.database import Database
from prefectlite.repository.sqlite import open_sqlite

_NAMED = ":memory:/"


async def open_database(url: str, *, always_durable: bool = False) -> Database:
    """The database at `url`, open and at the newest schema. Raises SettingsError for a URL that names none."""
    path = sqlite_path(url)
    return await open_sqlite(path, always_durable=always_durable, memory_uri=None if path else memory_uri(url))


def sqlite_path(url: str) -> Path | None:
    """The file that a SQLite URL names; None for a database in memory. Raises SettingsError for anything else."""
    scheme, separator, rest = url.partition("://")
    if scheme != "sqlite" or not separator or not rest:
        raise SettingsError(
            f"The database URL {scheme}{separator}… is not one prefectlite can open: write sqlite:///file.sqlite,"
            " sqlite:////absolute/file.sqlite or sqlite://:memory:"
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
