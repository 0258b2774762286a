"""`prefectlite pause` and `resume`: of runs and tasks, at a server and in the database beside the process that runs them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from prefectlite.cli import main
from tests.scenarios.processes import PATIENCE, Server, rows, serving, wait_until

FLOWS = """
import pathlib, time
import msgspec
from prefectlite import Flow, Parameter, pause_task, task

class Approval(msgspec.Struct):
    approved: bool
    note: str = ""

@task
def wait(file):
    while not pathlib.Path(file).exists():
        time.sleep(0.02)

@task
def after(x):
    pass

@task
def ask(x):
    return pause_task("Publish it?", input=Approval).approved

with Flow("waits") as waits:
    after(wait(Parameter("file")))

with Flow("asks") as asks:
    ask.map(Parameter("of", default=[1]))
"""
Run = Callable[..., str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("served")
    (place / "flows.py").write_text(FLOWS)
    return place


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Server]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    url = f"sqlite:///{place / 'served.sqlite'}"
    with serving("flows.py", port=port, cwd=place, PREFECTLITE_DATABASE_URL=url) as server:
        yield server


@pytest.fixture(params=["database", "server"])
def run(
    request: pytest.FixtureRequest,
    server: Server,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """`run(*arguments, code=0)`: what a command prints, asking the server or the database that it serves."""

    def run(*arguments: str, code: int = 0) -> str:
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        shown = capsys.readouterr()
        assert left.value.code == code, shown.err
        assert "Traceback" not in shown.err
        return shown.out + shown.err

    if request.param == "server":
        monkeypatch.setenv("PREFECTLITE_API_URL", server.url)
    else:
        monkeypatch.setenv("PREFECTLITE_DATABASE_URL", f"sqlite:///{place / 'served.sqlite'}")
    return run


def _paused(server: Server, run_id: str) -> list[str]:
    query = """query ($id: uuid!) { task_run(where: {flow_run_id: {_eq: $id}, state: {_eq: "Paused"}},
      order_by: {map_index: asc}) { id } }"""
    return [row["id"] for row in server.graphql(query, id=run_id)["task_run"]]


def test_a_flow_run(run: Run, server: Server, tmp_path: Path) -> None:
    run_id = server.start("waits", file=str(tmp_path / "go"))
    wait_until(lambda: server.state(run_id) == "Running")
    assert run("pause", run_id, "--reason", "look", "--expires", "1h", "--then", "cancel").endswith(": Paused\n")
    query = "query ($id: uuid!) { flow_run_by_pk(id: $id) { state serialized_state } }"
    paused = server.graphql(query, id=run_id)["flow_run_by_pk"]
    assert paused["state"] == "Paused"
    assert paused["serialized_state"]["message"].endswith(": look")
    assert paused["serialized_state"]["context"]["pause"]["then"] == "cancel"
    (tmp_path / "go").touch()
    assert "goes on" in run("resume", run_id, "--reason", "fine")
    wait_until(lambda: server.state(run_id) == "Success")
    assert "has ended as Success" in run("resume", run_id, code=65)
    assert "has ended as Success" in run("pause", run_id, code=65)


def test_a_task_is_given_what_it_asks_for(run: Run, server: Server) -> None:
    run_id = server.start("asks")
    wait_until(lambda: len(_paused(server, run_id)) == 1)
    wanted = '{"approved": boolean, "note": string (may be left out)}'
    assert f"Task 'ask[0]' asks for something: give it with --input '{wanted}'" in run("resume", run_id, code=65)
    wrong = run("resume", run_id, "--input", '{"approved": "yes"}', code=65)
    assert "--input.approved: boolean is expected, not 'yes'. It is to be" in wrong
    assert "--input is not JSON" in run("resume", run_id, "--input", "{", code=65)
    assert server.state(run_id) == "Running"
    told = run("resume", run_id, "--input", '{"approved": true}')
    assert "ask[0]: Publish it?" in told
    assert "ask[0] goes on" in told
    wait_until(lambda: server.state(run_id) == "Success")


def test_one_of_several_tasks(run: Run, server: Server) -> None:
    run_id = server.start("asks", of=[1, 2])
    wait_until(lambda: len(_paused(server, run_id)) == 2)
    yes = ("--input", '{"approved": true}')
    assert "say which with --task (ask[0], ask[1])" in run("resume", run_id, *yes, code=65)
    assert "has no paused task 'wait': there are ask[0], ask[1]" in run("resume", run_id, "--task", "wait", *yes, code=66)
    first = _paused(server, run_id)[0]
    assert f"task run {first} is paused already" in run("pause", first, code=65)
    assert "ask[0] goes on" in run("resume", first, *yes)
    assert f"Task run {first} is not paused" in run("resume", first, *yes, code=65)
    assert "ask[1] goes on" in run("resume", run_id, "--task", "ask-1[1]", *yes)
    wait_until(lambda: server.state(run_id) == "Success")


def test_a_task_that_has_not_begun(run: Run, server: Server, tmp_path: Path) -> None:
    run_id = server.start("waits", file=str(tmp_path / "go"))
    wait_until(lambda: server.state(run_id) == "Running")
    assert run("pause", run_id, "--task", "after", "--reason", "look").endswith(", after: Paused\n")
    (after,) = _paused(server, run_id)
    assert "is paused already" in run("pause", after, code=65)
    assert "has no task 'nope'" in run("pause", run_id, "--task", "nope", code=66)
    assert "has begun, it is Running: only its own code pauses it" in run("pause", run_id, "--task", "wait-1", code=65)
    assert "are for whole runs" in run("pause", run_id, "--task", "after", "--expires", "1h", code=65)
    (tmp_path / "go").touch()
    query = "query ($id: uuid!) { task_run(where: {flow_run_id: {_eq: $id}}, order_by: {state: asc}) { state } }"
    ended = [{"state": "Paused"}, {"state": "Success"}, {"state": "Success"}]  # with the parameter
    wait_until(lambda: server.graphql(query, id=run_id)["task_run"] == ended)
    assert server.state(run_id) == "Running"
    assert "after goes on" in run("resume", run_id, "--task", "after")
    wait_until(lambda: server.state(run_id) == "Success")
    assert "has ended as Success" in run("pause", after, code=65)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["pause", "nope"], 66, "There is no flow run 'nope'"),
        (["pause", "00000000-0000-4000-8000-000000000000"], 66, "There is no flow run '00000000"),
        (["pause"], 2, "Missing argument"),
        (["pause", "nope", "--expires", "soon"], 65, "--expires soon: a number and one of s, m, h, d, w is needed"),
        (["pause", "nope", "--expires", "999999w"], 65, "--expires 999999w: this is too long"),
        (["pause", "nope", "--then", "explode"], 2, "'explode' is not one of"),
        (["resume", "nope"], 66, "There is no flow run 'nope'"),
    ],
)
def test_what_cannot_be_asked_for(run: Run, arguments: list[str], code: int, message: str) -> None:
    assert message in run(*arguments, code=code)


def test_a_restart_by_the_servers_agent(server: Server, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setenv("PREFECTLITE_API_URL", server.url)
    run_id = server.start("asks", of=[])
    wait_until(lambda: server.state(run_id) == "Success")
    assert "All tasks of flow run" in run("restart", run_id, code=65)
    assert run("restart", run_id, "--from", "of").endswith(": Scheduled\n")
    wait_until(lambda: server.state(run_id) == "Success")
    assert "has no task 'off'. Did you mean 'of'?" in run("restart", run_id, "--from", "off", code=65)


def test_what_waits_for_input_waits_on_when_the_server_is_started_again(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "flows.py").write_text(FLOWS)
    with serving("flows.py", port=free_port, cwd=tmp_path, PREFECTLITE_GRACE_PERIOD="0.1") as server:
        run_id = server.start("asks")
        wait_until(lambda: _paused(server, run_id))
        code, output = server.stop()
        assert (code, "error" in output.lower()) == (0, False), output
    [(state,)] = rows(tmp_path / "test.sqlite", "SELECT state FROM flow_run")
    assert state == "Running"


def test_of_a_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "flows.py").write_text(FLOWS)
    command = [sys.executable, "-m", "prefectlite", "run", "flows.py:asks", "--run-name", "by hand", "--plain"]
    with subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, text=True
    ) as script:
        assert script.stdout is not None
        while "ask  Mapped" not in next(script.stdout):
            pass
        wait_until(lambda: rows(tmp_path / "test.sqlite", "SELECT id FROM task_run WHERE state = 'Paused'"))
        with pytest.raises(SystemExit) as left:
            main(["resume", "by hand", "--input", '{"approved": true}'])
        assert (left.value.code, capsys.readouterr().out) == (0, "ask[0] goes on in its own process\n")
        output, _ = script.communicate(timeout=PATIENCE)
    assert "Success  All reference tasks succeeded." in output
