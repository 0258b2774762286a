from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import platformdirs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefectlite import settings as settings_module
from prefectlite.errors import SettingsError
from prefectlite.settings import (
    Settings,
    default_directory,
    load_settings,
    settings_and_sources,
    settings_file,
    with_changes,
)

Configure = Callable[[str], dict[str, str]]
FIELDS = Settings.__struct_fields__
#: Per setting: two values that differ from the default.
SAMPLES: dict[str, tuple[Any, Any]] = {
    "database_url": ("sqlite:///a", "sqlite:///b"),
    "retention_days": (7, 0),
    "log_retention_days": (7, 0),
    "audit_retention_days": (90, 0),
    "durability": ("full", "full"),
    "host": ("0.0.0.0", "::1"),
    "port": (9001, 0),
    "allowed_hosts": (("a.example", "b.example"), ("c.example",)),
    "auth": (True, True),
    "allowed_origins": (("http://a.example", "http://b.example:1"), ("https://c.example",)),
    "api_token": ("pl_a", "pl_b"),
    "api_url": ("http://a", "http://b"),
    "agent": (False, True),
    "agent_labels": (("gpu", "big"), ("gpu",)),
    "agent_silence": (5.0, 0.5),
    "isolate": ("process", "no"),
    "allow_pickled_flows": (True, True),
    "git_protocols": (("https", "file"), ("ssh",)),
    "git_hosts": (("git.example.com", "*.corp.example"), ("localhost",)),
    "late_after_seconds": (0.5, 60.0),
    "hook_allow_private": (True, True),
    "smtp_url": ("smtp://a", "smtps://b"),
    "mail_from": ("a@b.example", "c@d.example"),
    "log_level": ("DEBUG", "ERROR"),
    "grace_period": (0.5, 0.0),
    "max_coroutines": (1, 2),
    "max_threads": (1, 2),
    "max_result_bytes": (0, 1),
    "inline_result_bytes": (0, 1),
    "result_store_url": ("s3://a/b", "memory://c"),
    "result_key_file": ("/a.key", "b.key"),
    "secrets_key_file": ("/a.key", "b.key"),
    "max_map_children": (1, 2),
    "worker_processes": (2, 4),
    "blocked_loop_seconds": (0.0, 2.5),
    "cancel_patience": (0.0, 2.5),
    "run_on_schedule": (False, False),
    "eager_edge_validation": (True, True),
    "telemetry": (False, False),
    "checkpointing": (False, False),
    "task_max_retries": (1, 3),
    "task_retry_delay": (0.5, 60.0),
    "task_timeout": (0.5, 60.0),
    "log_format": ("%(message)s", "%(name)s %(message)s"),
    "log_datefmt": ("%H:%M", "%c"),
    "log_attributes": (("a", "b"), ("c",)),
    "extra_loggers": (("a", "b.c"), ("c",)),
    "context": ({"a": 1}, {"b": {"c": [2]}}),
}
#: Settings that a variable can hold.
IN_VARIABLES = tuple(name for name in FIELDS if name != "context")


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """The environment that names a settings file with this text."""

    def configure(text: str) -> dict[str, str]:
        path = tmp_path / "config.toml"
        path.write_text(text, encoding="utf-8")
        return {"PREFECTLITE_CONFIG": str(path)}

    return configure


@pytest.fixture
def nothing(tmp_path: Path) -> dict[str, str]:
    """An environment without settings and without a file."""
    return {"PREFECTLITE_CONFIG": str(tmp_path / "none.toml")}


def toml(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return f"{name} = {{{', '.join(toml(key, item) for key, item in value.items())}}}"
    return f"{name} = {msgspec.json.encode(value).decode()}"


def text(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


def test_the_samples_are_complete() -> None:
    assert set(SAMPLES) == set(FIELDS)


def test_defaults(nothing: dict[str, str]) -> None:
    assert load_settings(nothing) == Settings()


@pytest.mark.parametrize("name", FIELDS)
def test_each_place_wins_over_the_one_before(name: str, configure: Configure) -> None:
    one, other = SAMPLES[name]
    environ = configure(toml(name, one))
    assert getattr(load_settings(environ), name) == one
    if name in IN_VARIABLES:
        environ |= {f"PREFECTLITE_{name.upper()}": text(other)}
    else:
        environ = configure(toml(name, other))
    assert getattr(load_settings(environ), name) == other
    assert getattr(load_settings(environ, **{name: None}), name) == other
    assert getattr(load_settings(environ, **{name: one}), name) == one


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["file", "variable", "call"]), unique=True), st.permutations(IN_VARIABLES), st.integers(1, 5)
)
def test_places_add_up(tmp_path_factory: Any, places: list[str], names: list[str], each: int) -> None:
    path = tmp_path_factory.mktemp("settings") / "config.toml"
    mine = {place: names[number * 2 : number * 2 + each] for number, place in enumerate(places)}
    path.write_text("\n".join(toml(name, SAMPLES[name][0]) for name in mine.get("file", [])), encoding="utf-8")
    environ = {"PREFECTLITE_CONFIG": str(path)}
    environ |= {f"PREFECTLITE_{name.upper()}": text(SAMPLES[name][1]) for name in mine.get("variable", [])}
    overrides = {name: SAMPLES[name][0] for name in mine.get("call", [])}
    expected = {name: SAMPLES[name][0] for name in mine.get("file", [])}
    expected |= {name: SAMPLES[name][1] for name in mine.get("variable", [])} | overrides
    assert load_settings(environ, **overrides) == Settings(**expected)


def test_the_environment_is_the_process_own_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECTLITE_PORT", "9123")
    assert load_settings().port == 9123
    assert load_settings({"PREFECTLITE_CONFIG": os.devnull}).port == 8080


@pytest.mark.parametrize(
    ("written", "hosts"),
    [("a", ("a",)), ("a, b ,c", ("a", "b", "c")), (" , ", ()), ("", ())],
)
def test_a_variable_holds_several_names(nothing: dict[str, str], written: str, hosts: tuple[str, ...]) -> None:
    assert load_settings(nothing | {"PREFECTLITE_ALLOWED_HOSTS": written}).allowed_hosts == hosts


def test_variables_of_others_are_left_alone(nothing: dict[str, str]) -> None:
    others = {"PORT": "x", "XPREFECTLITE_PORT": "x", "PREFECTLITE_HOME": "x"}
    assert load_settings(nothing | others) == Settings()


def test_a_misspelt_variable_is_not_passed_over(nothing: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"PREFECTLITE_DATABSE_URL: unknown setting 'databse_url'; .*'database_url'"):
        load_settings(nothing | {"PREFECTLITE_DATABSE_URL": "sqlite://:memory:"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "eighty"),
        ("port", ""),
        ("port", "80.5"),
        ("port", "-1"),
        ("port", "65536"),
        ("durability", "ful"),
        ("log_level", "LOUD"),
        ("grace_period", "soon"),
        ("grace_period", "-1"),
        ("grace_period", "nan"),
        ("max_threads", "0"),
        ("max_threads", "-3"),
        ("max_coroutines", "0"),
        ("max_map_children", "0"),
        ("max_result_bytes", "-1"),
        ("worker_processes", "-1"),
        ("blocked_loop_seconds", "-0.5"),
        ("task_max_retries", "-1"),
        ("task_max_retries", "few"),
        ("task_retry_delay", "1m 30s"),
        ("task_timeout", "0"),
        ("checkpointing", "perhaps"),
    ],
)
def test_a_variable_that_cannot_be_used(nothing: dict[str, str], name: str, value: str) -> None:
    variable = f"PREFECTLITE_{name.upper()}"
    with pytest.raises(SettingsError) as caught:
        load_settings(nothing | {variable: value})
    assert str(caught.value).startswith(f"{variable}: {name} = {value!r}: Expected ") or name in ("durability", "log_level")
    assert str(caught.value).startswith(f"{variable}: {name} = {value!r}: ")


@pytest.mark.parametrize(
    "line", ["port = true", "port = 8080.5", "database_url = 5", 'max_threads = "many"', "host = []", "grace_period = {}"]
)
def test_a_line_that_cannot_be_used(configure: Configure, line: str) -> None:
    environ = configure(line)
    with pytest.raises(SettingsError) as caught:
        load_settings(environ)
    assert str(caught.value).startswith(f"{environ['PREFECTLITE_CONFIG']}:1: {line.partition(' ')[0]} = ")


def test_every_problem_is_named_with_its_place(configure: Configure) -> None:
    environ = configure("prot = 80\n[server]\nport = 1\n") | {"PREFECTLITE_MAX_THREADS": "x"}
    with pytest.raises(SettingsError) as caught:
        load_settings(environ, hots="localhost", port="x")
    lines = str(caught.value).splitlines()
    path = environ["PREFECTLITE_CONFIG"]
    assert f"{path}:1: unknown setting 'prot'; did you mean 'port'?" in lines
    assert f"{path}:2: unknown setting 'server'" in lines
    assert "the call: unknown setting 'hots'; did you mean 'host'?" in lines
    assert any(line.startswith("PREFECTLITE_MAX_THREADS: max_threads = 'x': ") for line in lines)
    assert any(line.startswith("the call: port = 'x': ") for line in lines)
    assert len(lines) == 5


@pytest.mark.parametrize("content", [b"port = ", b"\xff\xfe", b"port = 1\nport = 2"])
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match="cannot be read") as caught:
        load_settings({"PREFECTLITE_CONFIG": str(path)})
    assert str(path) in str(caught.value)


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    assert load_settings({"PREFECTLITE_CONFIG": str(tmp_path)}) == Settings()


def test_the_file_is_in_the_users_configuration_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_module.platformdirs, "user_config_path", lambda name: tmp_path / name)
    (tmp_path / "prefectlite").mkdir()
    (tmp_path / "prefectlite" / "config.toml").write_text("port = 9200", encoding="utf-8")
    assert load_settings({}).port == 9200
    assert load_settings({"PREFECTLITE_CONFIG": ""}).port == 9200


def test_where_the_data_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECTLITE_HOME", str(tmp_path))
    assert default_directory() == tmp_path
    assert Settings().resolved_database_url() == f"sqlite:///{tmp_path / 'prefectlite.sqlite'}"
    assert Settings(database_url="sqlite://:memory:").resolved_database_url() == "sqlite://:memory:"
    for value in (None, ""):
        monkeypatch.delenv("PREFECTLITE_HOME") if value is None else monkeypatch.setenv("PREFECTLITE_HOME", value)
        assert default_directory() == Path(platformdirs.user_data_dir("prefectlite"))


def test_settings_do_not_change() -> None:
    with pytest.raises(AttributeError):
        Settings().port = 1  # type: ignore[misc]


def test_an_option_is_called_by_its_name(nothing: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(nothing, options={"port": "--port", "host": "--host"}, port=99999, max_threads=0)
    assert str(caught.value).splitlines() == [
        "--port 99999: Expected `int` <= 65535",
        "the call: max_threads = 0: Expected `int` >= 1",
    ]


@pytest.mark.parametrize("written", ["", "none", "None", "null"])
def test_a_variable_says_that_there_is_none(configure: Configure, written: str) -> None:
    environ = configure("task_timeout = 5") | {"PREFECTLITE_TASK_TIMEOUT": written}
    assert load_settings(environ).task_timeout is None


@pytest.mark.parametrize("written", ["%(message", "no fields", "%(message)q", "%(asctime"])
def test_a_log_format_that_is_none(nothing: dict[str, str], written: str) -> None:
    with pytest.raises(SettingsError, match=r"^PREFECTLITE_LOG_FORMAT: log_format = "):
        load_settings(nothing | {"PREFECTLITE_LOG_FORMAT": written})


def test_the_context_is_set_in_the_file(configure: Configure) -> None:
    assert load_settings(configure("[context]\na = 1\n[context.b]\nc = true")).context == {"a": 1, "b": {"c": True}}
    with pytest.raises(SettingsError, match="PREFECTLITE_CONTEXT: context = 'x': write it in the settings file"):
        load_settings({"PREFECTLITE_CONTEXT": "x"})
    with pytest.raises(SettingsError, match=":1: context = 5: Expected `object`, got `int`"):
        load_settings(configure("context = 5"))


@pytest.mark.parametrize(
    ("written", "line"),
    [
        ("\n# port = 3\nport = 0.5", 3),
        ("  'port'= 0.5", 1),
        ('host = """\nport\n"""\nport=0.5', 4),
        ("[port]\na = 1", 1),
        ("port.a = 1", 1),
        ("\n\n[ port ]\n", 3),
    ],
)
def test_the_line_is_named(configure: Configure, written: str, line: int) -> None:
    environ = configure(written)
    with pytest.raises(SettingsError) as caught:
        load_settings(environ)
    assert str(caught.value).startswith(f"{environ['PREFECTLITE_CONFIG']}:{line}: port = ")


def test_where_settings_come_from(configure: Configure) -> None:
    environ = configure("port = 1\nhost = 'a'") | {"PREFECTLITE_HOST": "b"}
    found, sources = settings_and_sources(environ)
    assert found == Settings(port=1, host="b")
    assert sources == {"port": f"{environ['PREFECTLITE_CONFIG']}:1", "host": "PREFECTLITE_HOST"}
    assert str(settings_file(environ)) == environ["PREFECTLITE_CONFIG"]


def test_changes() -> None:
    before = Settings(port=1, host="a")
    assert with_changes(before, {"port": 2}) == Settings(port=2, host="a")
    with pytest.raises(SettingsError, match="port = -1"):
        with_changes(before, {"port": -1})


def test_the_error_is_a_value_error_with_an_exit_code() -> None:
    assert issubclass(SettingsError, ValueError)
    assert SettingsError.exit_code == 78


def test_a_process_reads_its_environment(nothing: dict[str, str]) -> None:
    code = "from prefectlite.settings import load_settings; print(load_settings().max_threads)"
    environ = {**os.environ, **nothing, "PREFECTLITE_MAX_THREADS": "7"}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "7\n"
