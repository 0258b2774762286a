"""`prefectlite kv`, `secrets`, `get`, `describe`, `create` and `delete`, as a user types them: here, and on a server."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prefectlite.cli import main
from tests.scenarios.processes import prefectlite, rows, serving

FLOW = """
from prefectlite import Flow, Parameter, Secret, context, task

@task(name="talk")
def talk(number):
    context.logger.warning("said %d", number)

with Flow("talks") as flow:
    talk(Parameter("number", default=3))

if __name__ == "__main__":
    flow.register(project_name="speech")
"""
Run = Callable[..., str]


@pytest.fixture(params=["database", "server"])
def run(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    free_port: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Run]:
    """`run(*arguments, code=0, stdin="")`: what a command prints; its one message where it is to fail.

    The commands run in this process: making the schema anew would take each of them a second.
    """

    def run(*arguments: str, code: int = 0, stdin: str | None = None) -> str:
        if stdin is not None:
            monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        shown = capsys.readouterr()
        assert left.value.code == code, shown.err
        assert "Traceback" not in shown.err
        return shown.err if code else shown.out

    (tmp_path / "flow.py").write_text(FLOW)
    assert prefectlite("run", "flow.py", "--run-name", "first", cwd=tmp_path).returncode == 0
    registered = subprocess.run([sys.executable, "flow.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert registered.returncode == 0, registered.stderr
    if request.param == "database":
        yield run
        return
    with serving(port=free_port, cwd=tmp_path) as server:
        monkeypatch.setenv("PREFECTLITE_API_URL", server.url)
        monkeypatch.setenv("PREFECTLITE_DATABASE_URL", f"sqlite:///{tmp_path / 'another.sqlite'}")
        yield run
        server.stop()
    assert not (tmp_path / "another.sqlite").exists()


def listed(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("   ") if cell.strip()] for line in text.splitlines()]


def test_kv(run: Run) -> None:
    assert run("kv", "set", "a/b", "5") == "a/b set\n"
    run("kv", "set", "numbers", "[1, 2]", "--json")
    assert [line[:2] for line in listed(run("kv", "list"))] == [["KEY", "VALUE"], ["a/b", "5"], ["numbers", "[1,2]"]]
    assert [(row["key"], row["value"]) for row in json.loads(run("kv", "list", "-o", "json"))] == [
        ("a/b", "5"),
        ("numbers", [1, 2]),
    ]
    assert run("kv", "get", "a/b") == "5\n"
    assert run("kv", "get", "numbers") == "[1,2]\n"
    assert run("kv", "delete", "a/b") == "a/b deleted\n"
    assert run("kv", "get", "a/b", code=66) == "Error: No value found for key: a/b\n"
    assert run("kv", "delete", "a/b", code=66) == "Error: No key a/b found to delete\n"
    assert "Value payload exceedes 10 KB limit." in run("kv", "set", "long", "x" * 10_000, code=65)
    assert run("kv", "set", "odd", "[1", "--json", code=65).startswith("Error: VALUE is not JSON: ")


def test_limits(run: Run) -> None:
    assert run("limits", "set", "5", "--tag", "db") == "tag db: 5 at once\n"
    assert run("limits", "set", "100", "--tag", "db", "--per", "60") == "tag db: 100 in 60 s\n"
    assert run("limits", "set", "0", "--label", "gpu") == "label gpu: 0 at once\n"
    assert listed(run("limits", "list")) == [
        ["ON", "NAME", "LIMIT", "PER", "USED"],
        ["tag", "db", "5", "0"],
        ["tag", "db", "100", "60 s", "0"],
        ["label", "gpu", "0", "0"],
    ]
    assert run("limits", "delete", "--tag", "db") == "tag db: no limit\n"
    assert [row["name"] for row in json.loads(run("limits", "list", "-o", "json"))] == ["gpu"]
    assert run("limits", "delete", "--tag", "db", code=66) == "Error: There is no concurrency limit of tag 'db'\n"
    assert run("limits", "set", "1", code=65) == "Error: Say what is limited: --tag or --label\n"


def test_secrets(run: Run, tmp_path: Path) -> None:
    assert run("secrets", "set", "TOKEN", stdin="canary-value\n") == "TOKEN set\n"
    assert listed(run("secrets", "list")) == [["NAME"], ["TOKEN"]]
    assert json.loads(run("secrets", "list", "-o", "json")) == [{"name": "TOKEN"}]
    assert "canary" not in run("secrets", "set", "", stdin="canary-value", code=65)
    assert "value: a secret needs one that is not empty" in run("secrets", "set", "EMPTY", stdin="\n", code=65)
    assert "canary" not in run("secrets", "set", "TOKEN", "canary-value", code=2).replace("(canary-value)", "")
    assert run("secrets", "delete", "TOKEN") == "TOKEN deleted\n"
    assert "There is no secret 'TOKEN'" in run("secrets", "delete", "TOKEN", code=66)
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or b"canary" not in file.read_bytes(), file


def test_get_and_describe(run: Run) -> None:
    [flow] = json.loads(run("get", "flows", "-p", "speech", "-o", "json"))
    assert (flow["name"], flow["project_name"]) == ("talks", "speech")
    assert listed(run("get", "flows", "-n", "talks"))[0] == ["NAME", "VERSION", "PROJECT NAME", "AGE", "ID"]
    assert listed(run("get", "flows", "-n", "nobody"))[1:] == []
    [first] = json.loads(run("get", "flow-runs", "-f", "talks", "--started", "-l", "1", "-o", "json"))
    assert (first["name"], first["flow_name"], first["state"]) == ("first", "talks", "Success")
    names = {row["name"] for row in json.loads(run("get", "tasks", "-fn", "talks", "-p", "speech", "-o", "json"))}
    assert names == {"talk", "number"}
    assert [row["message"] for row in json.loads(run("get", "logs", "-n", "first", "-o", "json"))] == ["said 3"]
    assert listed(run("get", "logs", "--id", first["id"], "--info"))[1][1:4] == ["WARNING", "said 3", "prefectlite.talk"]
    assert run("get", "logs", "-n", "none", code=66) == "Error: There is no flow run 'none'\n"
    assert "Say which run: --name or --id" in run("get", "logs", code=2)
    assert "Could not parse UUID: nonsense" in run("get", "logs", "--id", "nonsense", code=65)

    described = json.loads(run("describe", "flows", "talks", "-p", "speech"))
    assert described["project"] == {"name": "speech"}
    assert described["parameters"][0]["name"] == "number"
    assert json.loads(run("describe", "flows", "--name", "talks", "-p", "speech")) == described
    assert [one["slug"] for one in json.loads(run("describe", "tasks", "talks"))] == ["number", "talk-1"]
    ran = json.loads(run("describe", "flow-runs", "first", "-fn", "talks", "-o", "json"))
    assert (ran["state"], ran["flow"]) == ("Success", {"name": "talks"})
    assert run("describe", "flows", "nobody", code=66) == "Error: There is no flow 'nobody'\n"
    assert run("describe", "flow-runs", "nobody", code=66) == "Error: There is no flow run 'nobody'\n"
    assert "Missing argument 'NAME'" in run("describe", "tasks", code=2)


def test_many_flow_runs(run: Run) -> None:
    assert "Say which runs are meant" in run("delete", "flow-runs", code=2)
    assert "Name runs, or say which are meant" in run("cancel", code=2)
    assert "Name runs, or say which are meant" in run("cancel", "first", "--flow", "talks", code=2)
    assert run("cancel", "--flow", "talks") == "0 flow runs cancelled\n"
    assert run("delete", "flow-runs", "--flow", "talks", "--dry-run") == "1 flow run would be deleted\n"
    assert run("delete", "flow-runs", "-f", "talks", "-s", "Failed", "-s", "Running") == "0 flow runs deleted\n"
    assert "--where is not JSON" in run("delete", "flow-runs", "--where", "{", code=65)
    assert run("delete", "flow-runs", "--where", '{"name": {"_eq": "first"}}', "--yes") == "1 flow run deleted\n"
    assert json.loads(run("get", "flow-runs", "-o", "json")) == []


def test_projects(run: Run) -> None:
    assert run("create", "project", "Hello, World!", "-d", "first") == "Hello, World! created\n"
    assert run("create", "project", "Hello, World!", "--skip-if-exists") == "Hello, World! already exists\n"
    assert "Uniqueness violation." in run("create", "project", "Hello, World!", code=65)
    [project] = json.loads(run("get", "projects", "-n", "Hello, World!", "-o", "json"))
    assert (project["flow_count"], project["description"]) == (0, "first")
    assert run("delete", "project", "Hello, World!") == "Hello, World! deleted\n"
    assert run("delete", "project", "Hello, World!", code=66) == "Error: There is no project 'Hello, World!'\n"


def test_whom_to_ask(tmp_path: Path, free_port: int) -> None:
    nobody = f"http://127.0.0.1:{free_port}"
    done = prefectlite("kv", "list", "--api", nobody, cwd=tmp_path)
    assert (done.returncode, done.stderr.startswith(f"Error: The server {nobody} cannot be reached")) == (69, True)
    done = prefectlite("kv", "list", "--database", "sqlite://:memory:", cwd=tmp_path, PREFECTLITE_API_URL=nobody)
    assert (done.returncode, done.stderr) == (0, "")
    done = prefectlite("kv", "list", "--database", "sqlite://:memory:", "--api", nobody, cwd=tmp_path)
    assert (done.returncode, "not both" in done.stderr) == (2, True)
    done = prefectlite("kv", "list", "--database", "mysql://x", cwd=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (78, False)


def test_a_secret_is_asked_for_at_a_terminal_without_being_shown(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "prefectlite", "secrets", "set", "TOKEN"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        output = b""
        for question in (b"Value: ", b"Repeat for confirmation: "):
            while question not in output:
                output += os.read(ours, 1024)
            os.write(ours, b"canary-value\n")
        while b"TOKEN set" not in output:
            output += os.read(ours, 1024)
    os.close(ours)
    assert process.returncode == 0
    assert b"canary" not in output
    assert rows(tmp_path / "test.sqlite", "SELECT name FROM secret") == [("TOKEN",)]


def test_the_key_is_rotated(tmp_path: Path) -> None:
    environment: dict[str, Any] = {**os.environ}
    keep = [sys.executable, "-m", "prefectlite", "secrets", "set", "TOKEN"]
    subprocess.run(keep, cwd=tmp_path, env=environment, input="canary", text=True, check=True, stdout=subprocess.DEVNULL)
    before = rows(tmp_path / "test.sqlite", "SELECT sealed FROM secret")
    done = prefectlite("secrets", "rotate", cwd=tmp_path)
    assert done.stdout == "1 secret encrypted with a new key\n"
    assert rows(tmp_path / "test.sqlite", "SELECT sealed FROM secret") != before
    (tmp_path / "test.sqlite.secrets.key").unlink()
    lost = prefectlite("secrets", "rotate", cwd=tmp_path)
    assert lost.returncode == 78
    assert lost.stderr.startswith("Error: Secret 'TOKEN' cannot be decrypted with the key in ")
