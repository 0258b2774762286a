"""`prefectlite backend`: whom commands ask, a server or the local database."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import click
import msgspec

from prefectlite.disk import replace
from prefectlite.errors import SettingsError
from prefectlite.settings import PREFIX, load_settings, settings_file

_KEY = "api_url"
_TABLE = re.compile(r"^[ \t]*\[", re.MULTILINE)
_LINE = re.compile(rf"^[ \t]*{_KEY}[ \t]*=.*(?:\r?\n|$)", re.MULTILINE)


@click.command("backend")
@click.argument("backend", type=click.Choice(["server", "local", "cloud"]))
@click.option("--url", metavar="URL", help="The server's address (http://127.0.0.1:8080).")
def command(backend: str, url: str | None) -> None:
    """Say whom commands and `flow.register` ask from now on: a server, or the local database.

    This is kept in the settings file. Options of commands, and the variable PREFECTLITE_API_URL, count more.
    """
    if backend == "cloud":
        raise click.UsageError(
            "There is no cloud of prefectlite: `prefectlite backend server --url URL` asks a server of yours"
        )
    if backend == "local" and url:
        raise click.UsageError("--url goes with `backend server`")
    if url and not re.match(r"https?://[^/\s]", url):
        raise SettingsError(f"--url {url}: an address begins with http:// or https://")
    path = settings_file()
    address = (url or _usual()) if backend == "server" else None
    write_setting(path, _KEY, address)
    told = f"the server {address}" if address else "the local database"
    click.echo(f"Backend switched to {backend}: commands ask {told}")
    if variable := os.environ.get(PREFIX + _KEY.upper()):
        click.echo(f"{PREFIX}{_KEY.upper()}={variable} is set, and counts more", err=True)


def write_setting(path: Path, name: str, value: Any) -> None:
    """Have the settings file set `name` (None: not at all), and leave all else in it as it is.

    Raises SettingsError if the file cannot be read or changed.
    """
    try:
        text = path.read_bytes().decode() if path.exists() else ""
        before = tomllib.loads(text)
        after = _with(text, value)
        expected = {key: item for key, item in before.items() if key != name} | ({} if value is None else {name: value})
        if tomllib.loads(after) != expected:
            raise SettingsError(f"{path}: {name} cannot be changed here: edit the file")
        if after == text:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, after.encode())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"The settings file {path} cannot be changed: {error}") from error


def _quoted(value: str) -> str:
    """A text as TOML writes it: as JSON does, but for one character."""
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")


def _with(text: str, value: str | None) -> str:
    """The file with `value` where it sets the key, or at the end of what stands before its first table."""
    table = _TABLE.search(text)
    end = table.start() if table else len(text)
    top, rest = text[:end], text[end:]
    line = "" if value is None else f"{_KEY} = {_quoted(value)}\n"
    if _LINE.search(top):
        return _LINE.sub(lambda _: line, top, count=1) + rest
    if top and not top.endswith("\n") and line:
        top += "\n"
    return top + line + rest


def _usual() -> str:
    """The address of a server on this machine, with the settings that it would have."""
    settings = load_settings()
    if settings.api_url:
        return settings.api_url
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port or 8080}"
