"""The file in the user's data directory that holds an admin's token for the servers of this machine."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from prefectlite.client.tokens import PREFIX, Tokens, new_text
from prefectlite.errors import SettingsError
from prefectlite.repository import tokens
from prefectlite.repository.database import Database
from prefectlite.repository.key_file import made_key, read_key, replace_key
from prefectlite.roles import Role
from prefectlite.settings import Settings, default_directory

_LEAST = len(PREFIX) + 43


def token_path() -> Path:
    """Where the file is, if there is one."""
    return default_directory().expanduser().absolute() / "token"


def token_for(url: str, settings: Settings) -> str | None:
    """What to show to the server at `url`: the token of the settings, or the file's if the server is on this machine."""
    if settings.api_token:
        return settings.api_token
    if not _is_here(url):
        return None
    try:
        content = read_key(token_path(), _LEAST)
    except OSError:
        return None
    return None if content is None else content.decode("ascii", "ignore").strip()


async def ensure_admin(database: Database, known: Tokens, now: int) -> bool:
    """Let there be a token for everything, in the file, if the database has none. Whether one was made or taken over.

    Several databases of one user share the file's token. Raises SettingsError if the file cannot be written.
    """
    if await tokens.an_admin(database, now) is not None:
        return False
    path = token_path()
    try:
        text = (await asyncio.to_thread(made_key, path, _LEAST, _new_line)).decode("ascii", "ignore").strip()
        if await tokens.is_known(database, hashlib.sha256(text.encode()).hexdigest()):  # revoked, or expired
            text = new_text()
            await asyncio.to_thread(replace_key, path, f"{text}\n".encode())
    except OSError as error:
        raise SettingsError(
            f"The admin's token cannot be kept in {path}: {error.strerror}. Set PREFECTLITE_HOME to a directory that can be"
            " written to"
        ) from error
    await known.create(await _free_name(database), Role.ADMIN, text=text)
    return True


async def _free_name(database: Database) -> str:
    rows = await database.read("SELECT name FROM api_token WHERE revoked_at IS NULL")
    taken = {name for (name,) in rows}
    return next(name for n in range(1, len(taken) + 2) if (name := "admin" if n == 1 else f"admin-{n}") not in taken)


def _new_line() -> bytes:
    return f"{new_text()}\n".encode()


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
