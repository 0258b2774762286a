"""`prefectlite build` and `register --json`."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from prefectlite.cli import main
from tests.scenarios.processes import rows, serving, wait_until

FLOW = """
from prefectlite import Flow, task

@task
def nothing():
    pass

with Flow("{name}") as flow:
    nothing()
"""
Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run(*arguments, code=0)`: what a command prints, in a directory with two flows."""
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(FLOW.format(name=name))

    def run(*arguments: str, code: int = 0) -> str:
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        shown = capsys.readouterr()
        assert left.value.code == code, shown.err
        assert "Traceback" not in shown.err
        return shown.out + shown.err

    return run


def recorded(place: Path) -> list[tuple[object, ...]]:
    columns = "f.name, f.version, json_extract(f.run_config, '$.labels')"
    return rows(place / "test.sqlite", f"SELECT {columns} FROM flow f WHERE f.archived = 0 ORDER BY f.name")


def test_what_is_built_is_registered(run: Run, tmp_path: Path) -> None:
    assert run("build", "-p", "one.py", "-l", "a") == (
        "Collecting flows...\nProcessing 'one.py':\n  Building 'one'... Done\nWriting output to 'flows.json'\n"
        "========================== 1 built ==========================\n"
    )
    assert "1 built" in run("build", "-p", "two.py", "--update")
    told = run("register", "--project", "p", "--json", "flows.json", "-l", "b")
    assert told.splitlines()[:3] == ["Collecting flows...", "Processing 'flows.json':", "  Registering 'one'... Done"]
    assert recorded(tmp_path) == [("one", 1, '["a","b"]'), ("two", 1, '["b"]')]
    assert "0 registered, 2 skipped" in run("register", "--project", "p", "-j", "flows.json", "-l", "b")
    assert "1 skipped" in run("register", "--project", "p", "-p", "two.py", "-l", "b"), "the same as from its file"
    assert "1 registered" in run("register", "--project", "p", "-j", "flows.json", "-n", "one", "--force")
    assert "1 built" in run("build", "-p", "two.py"), "without --update it is written anew"
    assert [flow["name"] for flow in json.loads((tmp_path / "flows.json").read_bytes())["flows"]] == ["two"]


def test_with_a_server(run: Run, tmp_path: Path, free_port: int) -> None:
    run("build", "-p", "one.py")
    with serving(port=free_port, cwd=tmp_path) as server:
        asked = ("register", "--project", "p", "-j", "flows.json", "--api", server.url)
        assert "Version: 1\n" in run(*asked)
        assert "1 skipped" in run(*asked)
        assert "Version: 2\n" in run(*asked, "--force")
        run_id = server.start("one")
        wait_until(lambda: server.state(run_id) == "Success")


def test_a_build_that_fails_leaves_the_file_as_it_is(run: Run, tmp_path: Path) -> None:
    run("build", "-p", "one.py")
    before = (tmp_path / "flows.json").read_bytes()
    assert "Failed to find the following flows:\n- nope" in run("build", "-p", "one.py", "-n", "nope", code=1)
    (tmp_path / "bad.py").write_text("1 / 0")
    assert "ZeroDivisionError" in run("build", "-p", "bad.py", code=1)
    assert (tmp_path / "flows.json").read_bytes() == before
    assert "1 built, 1 errored" in run("build", "-p", "bad.py", "-p", "two.py", code=1)
    assert "Path 'gone.py' doesn't exist" in run("build", "-p", "gone.py", code=66)
    assert "Say what to build" in run("build", code=2)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The directory of the test, on the web."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_from_a_url(run: Run, web: str) -> None:
    run("build", "-p", "one.py")
    assert "1 registered" in run("register", "--project", "p", "-j", f"{web}/flows.json")
    assert "cannot be read: Client error '404" in run("register", "--project", "p", "-j", f"{web}/gone.json", code=1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "Path 'x.json' doesn't exist"),
        ("", "Input data was truncated"),
        ("[]", "Expected `object`"),
        ('{"version": 2, "flows": []}', "it is of version 2"),
        ('{"version": 1, "flows": [{"__version__": "1.4.1"}]}', "Prefect 1.x built it, and `prefect register` registers it"),
        ('{"version": 1, "flows": [{"name": 3}]}', "it is not what `prefectlite build` writes"),
        ('{"version": 1, "flows": [{"name": "x", "digest": "y"}]}', "flow 'x' has no storage"),
        ('{"version": 1, "flows": [{"name": "x", "digest": "y", "storage": {}, "tasks": 3}]}', "does not describe a flow"),
    ],
)
def test_files_that_cannot_be_registered(run: Run, tmp_path: Path, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / "x.json").write_text(content)
    told = run("register", "--project", "p", "-j", "x.json", code=1)
    assert words in told
    assert "0 registered, 1 errored" in told


def test_built_flows_are_not_watched(run: Run) -> None:
    assert "leave --json out" in run("register", "--project", "p", "-j", "x.json", "--watch", code=2)
