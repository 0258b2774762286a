"""`prefectlite config`: what is shown of the settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click.testing
import pytest

from prefectlite.cli import group, main
from prefectlite.cli.config import masked
from prefectlite.settings import Settings

FILE = """
# the port of our server
port = 9000
database_url = "postgresql://ann:s3cret@db.example/flows"
[context]
region = "north"
since = 2024-01-01
limit = inf
[context.secrets]
SLACK = "s3cret"
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.toml"
    monkeypatch.delenv("PREFECTLITE_DATABASE_URL", raising=False)
    monkeypatch.setenv("PREFECTLITE_CONFIG", str(path))
    return path


def shown(*arguments: str) -> str:
    result = click.testing.CliRunner().invoke(group, ["config", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_every_setting_has_a_line_with_value_and_source(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text(FILE, encoding="utf-8")
    monkeypatch.setenv("PREFECTLITE_MAX_THREADS", "7")
    output = shown()
    lines = {line.split()[0]: line.split() for line in output.splitlines()[3:]}
    assert list(lines) == list(Settings.__struct_fields__)
    assert output.startswith(f"file            {path}\n")
    assert lines["port"] == ["port", "9000", f"{path}:3"]
    assert lines["max_threads"] == ["max_threads", "7", "PREFECTLITE_MAX_THREADS"]
    assert lines["host"] == ["host", "127.0.0.1", "default"]
    assert lines["task_timeout"] == ["task_timeout", "none", "default"]
    assert lines["api_url"] == ["api_url", '""', "default"]
    assert lines["checkpointing"] == ["checkpointing", "true", "default"]
    assert lines["database_url"] == ["database_url", "postgresql://ann:***@db.example/flows", f"{path}:4"]
    assert "s3cret" not in output


def test_as_json(path: Path) -> None:
    path.write_text(FILE, encoding="utf-8")
    content = json.loads(shown("--json"))
    assert (content["file"], set(content["settings"])) == (str(path), set(Settings.__struct_fields__))
    assert content["settings"]["port"] == {"value": 9000, "source": f"{path}:3"}
    assert content["settings"]["max_threads"] == {"value": 64, "source": "default"}
    context = {"region": "north", "since": "2024-01-01", "limit": None, "secrets": "***"}
    assert content["settings"]["context"]["value"] == context
    assert "s3cret" not in json.dumps(content)


def test_without_a_file(path: Path) -> None:
    assert shown().startswith(f"file            {path}  (there is none)\n")


def test_settings_that_cannot_be_used(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text("prot = 1\nmax_threads = 0", encoding="utf-8")
    with pytest.raises(SystemExit) as left:
        main(["config"])
    assert left.value.code == 78
    shown = capsys.readouterr().err
    assert f"{path}:1: unknown setting 'prot'; did you mean 'port'?" in shown
    assert f"{path}:2: max_threads = 0: " in shown


def test_an_option_that_cannot_be_used(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["serve", "--port", "99999"])
    assert left.value.code == 78
    assert capsys.readouterr().err == "Error: --port 99999: Expected `int` <= 65535\n"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("sqlite:////data/x.sqlite", "sqlite:////data/x.sqlite"),
        ("postgresql://ann@db/x", "postgresql://ann@db/x"),
        ("postgresql://ann:a:b@c@db/x", "postgresql://ann:***@db/x"),
        ("postgresql://:pw@db/x", "postgresql://:***@db/x"),
        ("postgresql://db/x?user=a&password=pw&sslmode=on", "postgresql://db/x?user=a&password=***&sslmode=on"),
        ("https://h/?api_key=pw#top", "https://h/?api_key=***#top"),
        ("http://host:8080/a@b", "http://host:8080/a@b"),
        (("http://a:b@c", 5), ["http://a:***@c", 5]),
        ({"a": {"db_password": "pw"}, "tokens": [1]}, {"a": {"db_password": "***"}, "tokens": "***"}),
        (None, None),
    ],
)
def test_passwords_are_masked(value: Any, expected: Any) -> None:
    assert masked(value) == expected
