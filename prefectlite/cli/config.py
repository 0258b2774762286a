"""`prefectlite config`: the settings in force."""

from __future__ import annotations

import re
from typing import Any

import click
import msgspec

from prefectlite.cli.tables import OUTPUT, show_data
from prefectlite.repository.urls import without_password
from prefectlite.settings import Settings, default_directory, settings_and_sources, settings_file

_PASSWORD_IN_URL = re.compile(r"(?<=://)([^/?#\s:]*):[^/?#\s]*@")
_SECRET_IN_QUERY = re.compile(r"(?<=[?&])([^=&#\s]*(?:password|secret|token|key)[^=&#\s]*)=[^&#\s]*", re.IGNORECASE)
_SECRET_NAME = re.compile(r"password|secret|token|credential|api_?key", re.IGNORECASE)
_MASK = "***"
_NAMES = max(len(name) for name in Settings.__struct_fields__)
_WIDEST = 60  # longer values are rare and must not push the others' sources off the screen


@click.command("config")
@click.option("--json", "as_json", is_flag=True, hidden=True)
@OUTPUT
def command(as_json: bool, output: str) -> None:
    """Show every setting with its value, and where it comes from: its default, a line of the file, or a variable.

    Passwords are not shown.
    """
    settings, sources = settings_and_sources()
    listed = {
        name: {"value": masked(value, name if name == "api_token" and value else ""), "source": sources.get(name, "default")}
        for name, value in msgspec.structs.asdict(settings).items()
    }
    path = settings_file()
    if as_json or output != "table":
        content = {"file": str(path), "data_directory": str(default_directory()), "settings": listed}
        # What TOML has and JSON has not, such as times and infinity, is shown as text.
        shown = msgspec.json.decode(msgspec.json.encode(content, enc_hook=str))
        show_data(shown, "json" if as_json else output)
        return
    click.echo(f"file            {path}{'' if path.is_file() else '  (there is none)'}")
    click.echo(f"data directory  {default_directory()}\n")
    values = {name: _written(one["value"]) for name, one in listed.items()}
    width = max(len(text) for text in values.values() if len(text) <= _WIDEST)
    for name, text in values.items():
        click.echo(f"{name:<{_NAMES}}  {text:<{width}}  {listed[name]['source']}")


def masked(value: Any, name: str = "") -> Any:
    """`value` without the passwords in its URLs, and without items that are called a secret."""
    if _SECRET_NAME.search(name):
        return _MASK
    if isinstance(value, dict):
        return {key: masked(item, key) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item) for item in value]
    if isinstance(value, str):
        return _SECRET_IN_QUERY.sub(rf"\1={_MASK}", _PASSWORD_IN_URL.sub(rf"\1:{_MASK}@", without_password(value)))
    return value


def _written(value: Any) -> str:
    if value is None:
        return "none"
    return value or '""' if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()
