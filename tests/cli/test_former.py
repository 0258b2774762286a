"""Commands that scripts for Prefect 1.x call."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from prefectlite.cli import main
from prefectlite.version import __version__
from tests.scenarios.processes import PATIENCE, is_healthy, wait_until


def answered(capsys: pytest.CaptureFixture[str], command: str, code: int) -> str:
    with pytest.raises(SystemExit) as left:
        main(command.split())
    shown = capsys.readouterr()
    assert left.value.code == code, shown.err
    return shown.err + shown.out


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("auth login -k KEY", 2, "There is no cloud to log in to"),
        ("auth create-key -n me", 2, "`prefectlite token create NAME --role operator`"),
        ("auth list-tenants", 2, "There is one tenant"),
        ("auth", 2, "the setting api_token"),
        ("agent kubernetes start -l x", 2, "There is no kubernetes agent: run `prefectlite agent local start`"),
        ("agent local start --no-pull", 2, "executed in this process"),
        ("agent local install -k secret", 2, "set api_token"),
        ("execute flow-run", 2, "Runs are executed by agents"),
        ("heartbeat flow-run -i ID", 2, "Heartbeats are sent by whoever executes a run"),
        ("repl", 2, "Start Python"),
        ("version", 0, __version__),
        ("server create-tenant --name default --slug default", 0, "There is one tenant"),
        ("server stop", 2, "A server stops by Ctrl-C"),
        ("server config", 0, "database_url"),
        ("server start --postgres-url postgres://x", 2, "name the database with --database"),
        ("server start -d", 2, "it stays in the foreground"),
        ("server start --server-port=4200", 2, "UI and API share one port: --port"),
        ("server start --help", 0, "The same as `prefectlite serve`"),
    ],
)
def test_each_says_what_to_do(capsys: pytest.CaptureFixture[str], command: str, code: int, words: str) -> None:
    assert words in answered(capsys, command, code)


def test_they_are_not_listed(capsys: pytest.CaptureFixture[str]) -> None:
    shown = answered(capsys, "--help", 0)
    assert not {"auth", "heartbeat", "server", "repl"} & {line.split()[0] for line in shown.splitlines() if line.split()}


def test_server_start_serves(tmp_path: Path, free_port: int) -> None:
    command = [sys.executable, "-m", "prefectlite", "server", "start", "--port", str(free_port)]
    with subprocess.Popen(command, cwd=tmp_path, env=dict(os.environ), stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: is_healthy(f"http://127.0.0.1:{free_port}"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
