"""`serve` from start to stop: what it prints, what it runs, how it leaves."""

from __future__ import annotations

import re
import signal
import socket
from pathlib import Path

import pytest

from tests.scenarios.processes import prefectlite, serving, wait_until

GREETING = """
import asyncio
from prefectlite import Flow, Parameter, task

@task
def greet(name):
    return f"Hello, {name}!"

@task
async def wait(seconds):
    await asyncio.sleep(seconds)
    return seconds

with Flow("greeting") as flow:
    greet(Parameter("name", default="world"))

with Flow("waiting") as waiting:
    wait(Parameter("seconds"))
"""


@pytest.fixture
def greeting(tmp_path: Path) -> Path:
    file = tmp_path / "greeting.py"
    file.write_text(GREETING)
    return file


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_runs_what_is_asked_and_leaves_with_0(greeting: Path, free_port: int, number: int) -> None:
    with serving(str(greeting), port=free_port, cwd=greeting.parent) as server:
        run_id = server.start("greeting", name="serve")
        wait_until(lambda: server.state(run_id) == "Success")
        code, output = server.stop(number)
    assert code == 0, output
    assert f"http://127.0.0.1:{free_port}" in output
    assert "Traceback" not in output


def test_flows_are_registered_once_and_again_when_they_change(greeting: Path, free_port: int) -> None:
    query = '{ flow(where: {name: {_eq: "greeting"}}, order_by: {version: asc}) { version archived } }'
    for text, versions in [
        (GREETING, [(1, False)]),
        (GREETING, [(1, False)]),
        (GREETING + "\n# changed", [(1, True), (2, False)]),
    ]:
        greeting.write_text(text)
        with serving(str(greeting), port=free_port, cwd=greeting.parent) as server:
            assert [(f["version"], f["archived"]) for f in server.graphql(query)["flow"]] == versions
            assert server.stop()[0] == 0


def test_a_run_in_flight_gets_its_grace_period(greeting: Path, free_port: int) -> None:
    with serving(str(greeting), port=free_port, cwd=greeting.parent) as server:
        run_id = server.start("waiting", seconds=1.0)
        wait_until(lambda: server.state(run_id) == "Running")
        code, output = server.stop()
    assert code == 0, output
    with serving(str(greeting), port=free_port, cwd=greeting.parent) as server:
        assert server.state(run_id) == "Success"


def test_a_run_that_outlasts_the_grace_period_is_taken_up_again(greeting: Path, free_port: int) -> None:
    with serving(str(greeting), port=free_port, cwd=greeting.parent, PREFECTLITE_GRACE_PERIOD="0.2") as server:
        run_id = server.start("waiting", seconds=3)
        wait_until(lambda: server.state(run_id) == "Running")
        code, output = server.stop()
    assert code == 0, output
    assert "taken up again" in output
    assert "Traceback" not in output
    with serving(str(greeting), port=free_port, cwd=greeting.parent) as server:
        wait_until(lambda: server.state(run_id) == "Success")


def test_cancel_from_the_api(greeting: Path, free_port: int) -> None:
    with serving(str(greeting), port=free_port, cwd=greeting.parent) as server:
        run_id = server.start("waiting", seconds=3600)
        wait_until(lambda: server.state(run_id) == "Running")
        mutation = "mutation ($id: UUID!) { cancel_flow_run(input: {flow_run_id: $id}) { state } }"
        assert server.graphql(mutation, id=run_id)["cancel_flow_run"]["state"] == "Cancelling"
        wait_until(lambda: server.state(run_id) == "Cancelled")


@pytest.mark.parametrize(
    ("name", "content", "code", "message"),
    [
        ("absent.py", None, 66, "there is no such file"),
        ("empty.py", "x = 1", 66, "no flow found"),
        ("broken.py", "import prefectlite\n1 / 0", 65, "line 2: ZeroDivisionError"),
        ("syntax.py", "def (:", 65, "SyntaxError"),
        ("leaves.py", "import sys; sys.exit(3)", 65, "sys.exit"),
        ("not_python.txt", "hello", 66, "not_python.txt"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, name: str, content: str | None, code: int, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    result = prefectlite("serve", f"./{name}", "--port", "0", cwd=tmp_path)
    assert result.returncode == code
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "test.sqlite").exists(), "nothing was begun"


def test_a_port_in_use(greeting: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = prefectlite("serve", str(greeting), "--port", str(port), cwd=greeting.parent)
    assert result.returncode == 69
    assert f"127.0.0.1:{port} is in use" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (greeting.parent / "test.sqlite").exists(), "nothing was begun"


def test_no_address_but_loopback_without_a_login(greeting: Path) -> None:
    result = prefectlite("serve", "--host", "0.0.0.0", cwd=greeting.parent)
    assert result.returncode == 78
    assert "loopback" in result.stderr


def test_a_database_that_is_none(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "text.sqlite").write_text("this is not a database, and longer than a header of one hundred bytes " * 5)
    url = f"sqlite:///{tmp_path / 'text.sqlite'}"
    result = prefectlite("serve", "--port", str(free_port), "--database", url, cwd=tmp_path)
    assert result.returncode == 74
    assert "text.sqlite is damaged (file is not a database)" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_second_server_of_one_database_is_refused(tmp_path: Path, free_port: int) -> None:
    with serving(port=free_port, cwd=tmp_path) as server:
        second = prefectlite("serve", "--port", "0", cwd=tmp_path)
        assert second.returncode == 69
        assert re.fullmatch(
            rf"Error: .*test\.sqlite is served by another `prefectlite serve` already: process {server.process.pid}, at"
            rf" http://127\.0\.0\.1:{free_port}\. Use or stop that one, or name another database with --database\n",
            second.stderr,
        )
        server.process.kill()
        server.process.communicate()
    with serving(port=free_port, cwd=tmp_path):
        pass


def test_a_flow_registered_by_its_script_is_found_and_run(tmp_path: Path, free_port: int) -> None:
    script = tmp_path / "script.py"
    script.write_text(GREETING + "\nif __name__ == '__main__':\n    print(flow.register(project_name='demo').id)\n")
    with serving(port=free_port, cwd=tmp_path) as server:
        for api_url in ("", server.url):  # to the local database, then to the running server
            result = _script(script, api_url)
            found = server.graphql("query ($id: uuid!) { flow_by_pk(id: $id) { version project { name } } }", id=result)
            assert found["flow_by_pk"] == {"version": 1, "project": {"name": "demo"}}
        run_id = server.start("greeting")
        wait_until(lambda: server.state(run_id) == "Success")


def _script(script: Path, api_url: str) -> str:
    import os
    import subprocess
    import sys

    environment = {**os.environ, "PREFECTLITE_API_URL": api_url}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
