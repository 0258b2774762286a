from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import msgspec
import pytest

from prefectlite import Flow, Parameter
from prefectlite.diagnostics import diagnostics
from prefectlite.results import LocalResult
from prefectlite.version import __version__

FILE = """
log_level = "ERROR"
database_url = "postgresql://ann:s3cret@db/x"
[context]
q = 0
[context.secrets]
SLACK = "s3cret"
EMPTY = ""
"""


class Storage(msgspec.Struct):
    path: str = "/data/s3cret"
    labels: tuple[str, ...] = ()


@pytest.fixture(autouse=True)
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.toml"
    path.write_text(FILE, encoding="utf-8")
    for name in ("DATABASE_URL", "HOME"):
        monkeypatch.delenv(f"PREFECTLITE_{name}")
    monkeypatch.setenv("PREFECTLITE_CONFIG", str(path))
    monkeypatch.setenv("PREFECTLITE_PORT", "9000")


def test_what_is_configured_is_named_and_not_shown() -> None:
    text = diagnostics()
    content = json.loads(text)
    assert content["config_overrides"] == {
        "log_level": True,
        "database_url": True,
        "context": {"q": True, "secrets": False},
    }
    assert content["env_vars"] == ["PREFECTLITE_CONFIG", "PREFECTLITE_PORT"]
    assert content["system_information"]["prefectlite_version"] == __version__
    assert content["system_information"]["python_version"] == platform.python_version()
    assert "flow_information" not in content
    assert "s3cret" not in text


def test_the_names_of_secrets() -> None:
    text = diagnostics(include_secret_names=True)
    assert json.loads(text)["config_overrides"]["context"] == {"q": True, "secrets": {"SLACK": True, "EMPTY": True}}
    assert "s3cret" not in text


def test_what_a_flow_is_made_of() -> None:
    flow: Any = Flow("f")
    Parameter("x")(flow=flow)
    nothing = {"executor": False, "result": False, "run_config": False, "schedule": False, "storage": False, "task_count": 1}
    assert json.loads(diagnostics(flow))["flow_information"] == nothing
    flow.storage, flow.result = Storage(), LocalResult(dir="/data/s3cret")
    text = diagnostics(flow)
    information = json.loads(text)["flow_information"]
    assert information["storage"] == {"type": "Storage", "path": True, "labels": False}
    assert information["result"] == {
        "type": "LocalResult",
        "dir": True,
        "location": False,
        "value": False,
        "serializer": True,
    }
    assert "s3cret" not in text
