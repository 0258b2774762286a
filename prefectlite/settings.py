"""Settings, typed: defaults, then the TOML file, then `PREFECTLITE_…` variables.

The file is `config.toml` in the user's configuration directory, or what `PREFECTLITE_CONFIG` names.
"""

from __future__ import annotations

import difflib
import functools
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import msgspec

from prefectlite.errors import SettingsError
from prefectlite.lazily import lazily

if TYPE_CHECKING:
    import tomllib

    import platformdirs
else:
    platformdirs, tomllib = lazily("platformdirs"), lazily("tomllib")

PREFIX = "PREFECTLITE_"
_NOT_SETTINGS = ("config", "home")  # variables that say where things lie
_SECRET = "secret_"  # PREFECTLITE_SECRET_NAME is the value of the secret NAME
MEMORY_URL = "sqlite://:memory:"
_Count = Annotated[int, msgspec.Meta(ge=0)]
_Positive = Annotated[int, msgspec.Meta(ge=1)]  # with none of them, a run would wait for ever
_Seconds = Annotated[float, msgspec.Meta(ge=0)]
_SomeSeconds = Annotated[float, msgspec.Meta(gt=0)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set. Durations are in seconds, sizes in bytes."""

    database_url: str = ""  # empty: a file in the user's data directory
    retention_days: _Count = 30  # after which finished runs are deleted, where their project says nothing else; 0: never
    log_retention_days: _Count | None = None  # for lines of their logs; not set: with their runs
    audit_retention_days: _Count = 365  # after which rows of the audit log are deleted; 0: never
    durability: Literal["default", "full"] = "default"
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8080
    allowed_hosts: tuple[str, ...] = ()  # names, beyond those of this machine, under which the API may be asked for
    auth: bool = False  # whether the API asks for tokens; wanted for every address but loopback
    allowed_origins: tuple[str, ...] = ()  # pages of other sites that may use the API, such as http://localhost:3000
    api_token: str = ""  # what this process shows to the server at api_url; empty: the data directory's, of servers here
    api_url: str = ""  # a running server to register with; empty: the local database
    agent: bool = True  # whether `serve` executes runs itself
    agent_labels: tuple[str, ...] = ()  # of this process's own agent, which takes runs that have some of them, and no others
    agent_silence: _SomeSeconds = 20.0  # an agent elsewhere of which nothing is heard for so long is gone
    isolate: Literal["no", "process"] = "no"  # whether each run that an agent begins has a process of its own
    late_after_seconds: _SomeSeconds = 15.0  # a run that has not begun so long after it was due is late
    hook_allow_private: bool = False  # whether cloud hooks may post to private addresses, and without TLS
    smtp_url: str = ""  # what sends the e-mail of cloud hooks: smtp://user:password@host:587, or smtps://…
    mail_from: str = ""  # in whose name; empty: prefectlite at that host
    grace_period: _Seconds = 10.0  # how long `serve` lets runs go on after it was asked to stop

    max_coroutines: _Positive = 10_000  # async tasks of one run that may be executing at once
    max_threads: _Positive = 64  # plain-function tasks of one process that may be executing at once
    worker_processes: _Count = 0  # for tasks that are executed in processes of their own; 0: as many as there are cores
    max_map_children: _Positive = 1_000_000
    cancel_patience: _Seconds = 5.0  # a coroutine that goes on for so long though it was cancelled is left behind
    blocked_loop_seconds: _Seconds = 1.0  # a coroutine that holds the event loop for longer is warned of; 0: none is
    allow_pickled_flows: bool = False  # whether flows are stored as pickles, and loaded from those that this user stored
    git_protocols: tuple[Literal["https", "ssh", "http", "git", "file"], ...] = ("https", "ssh")  # that Git storage may use
    git_hosts: tuple[str, ...] = ()  # that it may ask: git.example.com, *.example.com; none: all that can be reached
    run_on_schedule: bool = True  # whether `flow.run()` of a flow with a schedule waits for it, and runs again and again
    eager_edge_validation: bool = False  # whether edges are checked when they are made rather than before a run
    telemetry: bool = True  # whether OpenTelemetry spans are made of runs, where somebody takes them; none is sent by itself

    checkpointing: bool = True  # whether results of tasks with a `result` or a `target` are written there
    max_result_bytes: _Count = 64 * 1024 * 1024  # larger results stay in memory and are computed again on resume
    inline_result_bytes: _Count = 64 * 1024  # larger results lie in files beside the database's, or under result_store_url
    result_store_url: str = ""  # s3://bucket/folder, file:///folder, …: where they lie instead
    result_key_file: str = ""  # what seals them; empty: a file beside the database's, or in the user's data directory
    secrets_key_file: str = ""  # what encrypts secrets; empty: a file beside the database's, or in the data directory
    task_max_retries: _Count = 0  # for tasks that say nothing themselves, as the next two
    task_retry_delay: _Seconds | None = None
    task_timeout: _SomeSeconds | None = None

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    log_format: str = "[%(asctime)s] %(levelname)s - %(name)s | %(message)s"  # of lines on standard error
    log_datefmt: str = "%Y-%m-%d %H:%M:%S%z"
    log_attributes: tuple[str, ...] = ()  # values of prefectlite.context that every log record carries as attributes
    extra_loggers: tuple[str, ...] = ()  # loggers of others whose lines inside a run are in the run's log, too

    context: dict[str, Any] = {}  # what prefectlite.context holds before anything else; in the file, a [context] table

    def resolved_database_url(self) -> str:
        """The database's URL, with the default filled in."""
        return self.database_url or f"sqlite:///{default_directory() / 'prefectlite.sqlite'}"


#: What holds in this process whatever the file and the variables say, the innermost last.
_replaced: list[dict[str, Any]] = []


class Given(NamedTuple):
    """A value somebody gave, and where; `option` is the command's option it was given by."""

    value: Any
    source: str
    option: str = ""


def default_directory() -> Path:
    """Where this user's data lies: `PREFECTLITE_HOME`, else the operating system's place for such."""
    return Path(os.environ.get("PREFECTLITE_HOME") or platformdirs.user_data_dir("prefectlite"))


def load_settings(
    environ: Mapping[str, str] | None = None, *, options: Mapping[str, str] | None = None, **overrides: Any
) -> Settings:
    """The settings in force; `overrides` that are not None win over everything.

    `options`: by which option of a command an override was given (`{"port": "--port"}`), for messages. Raises
    SettingsError, naming every unknown key and every value that cannot be used, and where it stands.
    """
    return _checked(_given(environ, options or {}, overrides))


def settings_and_sources(environ: Mapping[str, str] | None = None) -> tuple[Settings, dict[str, str]]:
    """The settings in force, and where each that is not at its default comes from: file and line, or a variable."""
    given = _given(environ, {}, {})
    return _checked(given), {name: value.source for name, value in given.items()}


def settings_file(environ: Mapping[str, str] | None = None) -> Path:
    """The file that settings are read from, which need not exist."""
    environ = os.environ if environ is None else environ
    return Path(environ.get(PREFIX + "CONFIG") or platformdirs.user_config_path("prefectlite") / "config.toml")


def current_settings() -> Settings:
    """The settings in force, read again only when their variables or the file have changed."""
    variables = tuple(map(os.environ.get, _WATCHED))
    path = _file_with(variables)
    try:
        status = path.stat()
    except OSError:
        return _loaded(variables, path, 0, 0)
    return _loaded(variables, path, status.st_mtime_ns, status.st_size)


#: Variables that have to do with settings; going through all that there are takes ten times as long.
_WATCHED = (*(PREFIX + name.upper() for name in (*Settings.__struct_fields__, "config")), "HOME", "XDG_CONFIG_HOME")


@functools.lru_cache(maxsize=4)
def _file_with(variables: tuple[str | None, ...]) -> Path:
    return settings_file()


@functools.lru_cache(maxsize=4)
def _loaded(variables: tuple[str | None, ...], path: Path, changed: int, size: int) -> Settings:
    return load_settings()


@contextmanager
def replaced_settings(**changes: Any) -> Iterator[None]:
    """In this block, and everywhere in the process, these settings hold whatever the file and the variables say.

    Raises SettingsError for those that cannot be used.
    """
    _checked({name: Given(value, "the test") for name, value in changes.items()})
    _replaced.append(changes)
    _loaded.cache_clear()
    try:
        yield
    finally:
        _replaced.remove(changes)
        _loaded.cache_clear()


def with_changes(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """`settings` with those in `changes` in place of theirs. Raises SettingsError for those that cannot be used."""
    checked = _checked({name: Given(value, "context(config=…)") for name, value in changes.items()})
    return msgspec.structs.replace(settings, **{name: getattr(checked, name) for name in changes})


def _given(environ: Mapping[str, str] | None, options: Mapping[str, str], overrides: Mapping[str, Any]) -> dict[str, Given]:
    """What is given in `environ`, or in this process where that is None."""
    given = _from_file(settings_file(environ))
    for variable, text in (os.environ if environ is None else environ).items():
        name = variable.removeprefix(PREFIX).lower()
        if variable.startswith(PREFIX) and name not in _NOT_SETTINGS and not name.startswith(_SECRET):
            given[name] = Given(text, variable)
    for changes in _replaced if environ is None else ():
        given.update({name: Given(value, "the test") for name, value in changes.items()})
    for name, value in overrides.items():
        if value is not None:
            given[name] = Given(value, "the call", options.get(name, ""))
    return given


def _from_file(path: Path) -> dict[str, Given]:
    if not path.is_file():
        return {}
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error}") from error
    return {name: Given(value, f"{path}{_line(text, name)}") for name, value in content.items()}


def _line(text: str, name: str) -> str:
    """`:3` where the third line sets `name` or begins its table. The parser does not tell, so this looks for it."""
    word = re.escape(name)
    found = re.search(rf"^[ \t]*(\[[ \t]*)?([\"']?){word}\2[ \t]*(\]|\.|=)", text, re.MULTILINE)
    return f":{text.count(chr(10), 0, found.start()) + 1}" if found else ""


@functools.cache
def _fields() -> dict[str, msgspec.structs.FieldInfo]:
    return {field.name: field for field in msgspec.structs.fields(Settings)}


def _checked(given: Mapping[str, Given]) -> Settings:
    problems, good = [], {}
    for name, one in given.items():
        if name not in Settings.__struct_fields__:
            near = difflib.get_close_matches(name, Settings.__struct_fields__, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            problems.append(f"{one.source}: unknown setting {name!r}{hint}")
            continue
        try:
            good[name] = _converted(name, one.value)
        except (msgspec.ValidationError, ValueError) as error:
            written = f"{one.option} {one.value}" if one.option else f"{one.source}: {name} = {one.value!r}"
            problems.append(f"{written}: {error}")
    if problems:
        raise SettingsError("\n".join(problems))
    return Settings(**good)


def _converted(name: str, value: Any) -> Any:
    field = _fields()[name]
    if isinstance(value, str) and isinstance(field.default, tuple):  # a variable has no other way to hold several
        value = [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, str) and field.default is None and value.strip().lower() in ("", "none"):
        return None
    if isinstance(value, str) and field.default_factory is dict:
        raise ValueError("write it in the settings file, as a table")
    converted = msgspec.convert(value, field.type, strict=not isinstance(value, str) or field.type is str)
    if name == "log_format":
        logging.Formatter(converted)  # raises ValueError for one that is none
    return converted
