"""`prefectlite agent local`: its options, and the file for supervisord."""

from __future__ import annotations

import configparser
import shlex
import sys
from pathlib import Path

import pytest

from prefectlite.cli import main
from tests.scenarios.processes import agent, prefectlite, serving, wait_until


def test_a_file_for_supervisord(capsys: pytest.CaptureFixture[str]) -> None:
    said = ["-n", "mine", "-l", "a", "-l", "b c", "-e", "X=100%", "--api", "http://localhost:1", "--no-hostname-label"]
    with pytest.raises(SystemExit) as left:
        main(["agent", "local", "install", *said])
    assert left.value.code == 0
    file = configparser.RawConfigParser()
    file.read_string(capsys.readouterr().out)
    words = shlex.split(file["program:prefectlite-agent"]["command"].replace("%%", "%"))
    assert words[:6] == [sys.executable, "-m", "prefectlite", "agent", "local", "start"]
    labels = ["--label", "a", "--label", "b c"]
    rest = ["--api", "http://localhost:1", "--env", "X=100%", "--no-hostname-label"]
    assert words[6:] == ["--name", "mine", *labels, *rest]


def test_it_shows_its_key(tmp_path: Path, free_port: int) -> None:
    with serving("--auth", port=free_port, cwd=tmp_path) as server:
        made = prefectlite("token", "create", "worker", "--role", "agent", cwd=tmp_path)
        server.show((tmp_path / "home" / "token").read_text().strip())
        with agent("-k", made.stdout.strip(), "--name", "keyed", "-f", url=server.url, cwd=tmp_path):
            query = '{ api_token(where: {name: {_eq: "worker"}}) { last_used } agent { name } }'
            wait_until(lambda: server.graphql(query)["agent"] == [{"name": "keyed"}])
            assert server.graphql(query)["api_token"][0]["last_used"] is not None
