"""Settings, typed: defaults, then the TOML file, then `PREFECTLITE_…` variables.

The file is `config.toml` in the user's configuration directory, or what `PREFECTLITE_CONFIG` names.
"""

from __future__ import annotations

import difflib
import functools
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import platformdirs

from prefectlite.errors import SettingsError

PREFIX = "PREFECTLITE_"
_NOT_SETTINGS = ("config", "home")  # variables that say where things lie
MEMORY_URL = "sqlite://:memory:"
_Positive = Annotated[int, msgspec.Meta(ge=1)]  # with none of them, a run would wait for ever


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set. Durations are in seconds, sizes in bytes."""

    database_url: str = ""  # empty: a file in the user's data directory
    durability: Literal["default", "full"] = "default"
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8080
    allowed_hosts: tuple[str, ...] = ()  # names, beyond those of this machine, under which the API may be asked for
    api_url: str = ""  # a running server to register with; empty: the local database
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    grace_period: Annotated[float, msgspec.Meta(ge=0)] = 10.0  # how long `serve` lets runs go on after it was asked to stop
    max_coroutines: _Positive = 10_000  # async tasks of one run that may be executing at once
    max_threads: _Positive = 64  # plain-function tasks of one process that may be executing at once
    max_result_bytes: Annotated[int, msgspec.Meta(ge=0)] = (
        64 * 1024 * 1024
    )  # larger results stay in memory and are computed again on resume
    max_map_children: _Positive = 1_000_000

    def resolved_database_url(self) -> str:
        """The database's URL, with the default filled in."""
        return self.database_url or f"sqlite:///{default_directory() / 'prefectlite.sqlite'}"


def default_directory() -> Path:
    """Where this user's data lies: `PREFECTLITE_HOME`, else the operating system's place for such."""
    return Path(os.environ.get("PREFECTLITE_HOME") or platformdirs.user_data_dir("prefectlite"))


def load_settings(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """The settings in force; `overrides` that are not None win over everything.

    Raises SettingsError, naming every unknown key and every value that cannot be used, and where it stands.
    """
    environ = os.environ if environ is None else environ
    values = _from_file(Path(environ.get(PREFIX + "CONFIG") or platformdirs.user_config_path("prefectlite") / "config.toml"))
    for variable, text in environ.items():
        name = variable.removeprefix(PREFIX).lower()
        if variable.startswith(PREFIX) and name not in _NOT_SETTINGS:
            values[name] = (text, variable)
    values.update({name: (value, "the call") for name, value in overrides.items() if value is not None})
    return _checked(values)


@functools.cache
def _fields() -> dict[str, msgspec.structs.FieldInfo]:
    return {field.name: field for field in msgspec.structs.fields(Settings)}


def _from_file(path: Path) -> dict[str, tuple[Any, str]]:
    if not path.is_file():
        return {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error}") from error
    return {name: (value, str(path)) for name, value in content.items()}


def _checked(values: dict[str, tuple[Any, str]]) -> Settings:
    problems, good = [], {}
    for name, (value, source) in values.items():
        if name not in Settings.__struct_fields__:
            near = difflib.get_close_matches(name, Settings.__struct_fields__, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            problems.append(f"{source}: unknown setting {name!r}{hint}")
            continue
        field = _fields()[name]
        if isinstance(value, str) and isinstance(field.default, tuple):  # a variable has no other way to hold several
            value = [part.strip() for part in value.split(",") if part.strip()]
        try:
            good[name] = msgspec.convert(value, field.type, strict=not isinstance(value, str) or field.type is str)
        except msgspec.ValidationError as error:
            problems.append(f"{source}: {name} = {value!r}: {error}")
    if problems:
        raise SettingsError("\n".join(problems))
    return Settings(**good)
