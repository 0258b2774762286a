"""`prefectlite diagnostics`, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prefectlite.cli import main

FLOW = """
from prefectlite import Flow, Parameter
with Flow("one") as flow:
    Parameter("x", default="s3cret")()
"""


def diagnostics(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as left:
        main(["diagnostics", *arguments])
    shown = capsys.readouterr()
    assert left.value.code == 0, shown.err
    return shown.out


def test_as_json_with_a_flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "flow.py").write_text(FLOW)
    monkeypatch.setenv("PREFECTLITE_SECRET_KEY", "s3cret")
    text = diagnostics(capsys, str(tmp_path / "flow.py"), "-o", "json")
    content = json.loads(text)
    assert "s3cret" not in text
    assert content["flow_information"]["task_count"] == 1
    assert set(content["packages"]) >= {"asyncpg", "graphene"}
    database = content["database"]
    assert database.pop("version").startswith("3.")
    assert database == {
        "kind": "SQLite",
        "place": str(tmp_path / "test.sqlite"),
        "reachable": False,
        "problem": "the file does not exist yet: it is made by the first run",
    }
    assert not (tmp_path / "test.sqlite").exists(), "it only looks"


def test_as_a_table_with_a_server_that_is_not_there(capsys: pytest.CaptureFixture[str], free_port: int) -> None:
    lines = [line.rstrip() for line in diagnostics(capsys, "--api", f"http://127.0.0.1:{free_port}").splitlines()]
    assert {"system information", "packages", "database", "server"} <= set(lines)
    assert lines[lines.index("server") + 1] == "  reachable    no"
