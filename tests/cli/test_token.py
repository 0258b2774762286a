"""`prefectlite token`, on the local database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from prefectlite.cli import group
from prefectlite.errors import BadRequest, NotFound


def run(*arguments: str) -> str:
    result = CliRunner().invoke(group, ["token", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_tokens_are_made_listed_and_revoked(tmp_path: Path) -> None:
    text = run("create", "ci", "--role", "operator", "--expires", "30d").strip()
    assert text.startswith("pl_")
    run("create", "box", "--role", "agent")
    listed = json.loads(run("list", "-o", "json"))
    assert [(row["name"], row["role"], row["expires_at"] is None) for row in listed] == [
        ("ci", "operator", False),
        ("box", "agent", True),
    ]
    assert text not in run("list")
    assert run("revoke", "ci") == "ci revoked\n"
    assert run("revoke", listed[1]["id"]) == "box revoked\n"
    assert json.loads(run("list", "-o", "json")) == []
    assert len(json.loads(run("list", "--all", "-o", "json"))) == 2
    assert text.encode() not in (tmp_path / "test.sqlite").read_bytes()


def test_the_secrets_that_an_agent_may_read() -> None:
    run("create", "all", "--role", "agent")
    run("create", "some", "--role", "agent", "--secret", "db-*", "-s", "slack")
    run("create", "none", "--role", "agent", "--no-secrets")
    listed = json.loads(run("list", "-o", "json"))
    assert {row["name"]: row["secrets"] for row in listed} == {"all": None, "some": ["db-*", "slack"], "none": []}
    both = CliRunner().invoke(group, ["token", "create", "x", "--role", "agent", "--no-secrets", "--secret", "a"])
    assert both.exit_code == 2


@pytest.mark.parametrize("expires", ["", "0d", "30", "d", "-1d", "30y", "999999w", "1.5h", "\u0969d"])
def test_times_that_are_none(expires: str) -> None:
    with pytest.raises(BadRequest, match="--expires"):
        run("create", "ci", "--role", "viewer", "--expires", expires)


def test_what_is_not_there() -> None:
    with pytest.raises(NotFound, match="no token 'ci'"):
        run("revoke", "ci")
    assert CliRunner().invoke(group, ["token", "create", "ci", "--role", "root"]).exit_code == 2


def test_the_settings_do_not_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECTLITE_API_TOKEN", "pl_canary")
    for arguments in (["config"], ["config", "--json"]):
        output = CliRunner().invoke(group, arguments, catch_exceptions=False).output
        assert "canary" not in output
        assert "PREFECTLITE_API_TOKEN" in output
