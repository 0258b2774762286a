"""`prefectlite run --name …` and `cancel`: runs of registered flows, asked for here and of a server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prefectlite.cli import main
from tests.scenarios.processes import PATIENCE, Server, prefectlite, rows, serving, wait_until

FLOWS = """
import pathlib
from prefectlite import Flow, Parameter, context, task

@task(log_stdout=True)
def talk(number):
    print(f"number {number}")
    context.logger.warning("said by %s", context.get("who"))
    if number == 13:
        raise ValueError("unlucky")

@task
async def wait(file):
    import asyncio
    while not pathlib.Path(file).exists():
        await asyncio.sleep(0.02)

@task
def child(x):
    return 1 / x

with Flow("talks") as talks:
    talk(Parameter("number", default=3))

with Flow("waits") as waits:
    wait(Parameter("file"))

with Flow("children") as children:
    child.map(Parameter("numbers", default=[1, 2, 0]))
"""
Run = Callable[..., str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the server that the tests share."""
    place = tmp_path_factory.mktemp("served")
    (place / "flows.py").write_text(FLOWS)
    return place


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Server]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with serving(
        "flows.py", port=port, cwd=place, PREFECTLITE_DATABASE_URL=f"sqlite:///{place / 'served.sqlite'}"
    ) as server:
        yield server


@pytest.fixture(params=["database", "server"])
def run(
    request: pytest.FixtureRequest,
    server: Server,
    place: Path,
    tmp_path: Path,
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
        return shown.err if code > 1 else shown.out

    if request.param == "server":
        monkeypatch.setenv("PREFECTLITE_API_URL", server.url)
    else:
        monkeypatch.setenv("PREFECTLITE_DATABASE_URL", f"sqlite:///{place / 'served.sqlite'}")
    return run


def _without_times(output: str) -> list[str]:
    return [line[10:] if line[2:3] == ":" else line for line in output.splitlines()]


def test_watched_to_its_end(run: Run) -> None:
    shown = _without_times(
        run("run", "-n", "talks", "--watch", "-p", "number=7", "--context", "who=me", "--run-name", "seven")
    )
    assert shown[0] == "Flow run seven"
    assert shown[2:4] == ['  parameters  {"number":7}', '  context     {"who":"me"}']
    assert shown.index("flow run  Scheduled") < shown.index("flow run  Running") < shown.index("talk  Success")
    assert {"talk  INFO  number 7", "talk  WARNING  said by me"} <= set(shown) | {
        line.replace("log  ", "talk  ", 1) for line in shown
    }
    assert shown[-1] == "flow run  Success  All reference tasks succeeded."


def test_a_failure_is_the_exit_code(run: Run) -> None:
    shown = _without_times(run("run", "--name", "talks", "--project", "default", "-w", "-p", "number=13", code=1))
    assert "talk  Failed  Error during execution of task: ValueError('unlucky')" in shown
    assert shown[-1] == "flow run  Failed  Some reference tasks failed."


def test_children_are_counted(run: Run) -> None:
    shown = _without_times(run("run", "--name", "children", "-w", "--no-logs", code=1))
    assert [line for line in shown if line.startswith("child[")] == [
        "child[2]  Failed  Error during execution of task: ZeroDivisionError('division by zero')"
    ]
    assert "child  3 children: 1 Failed, 2 Success" in shown


def test_what_is_asked_for_is_what_is_made(run: Run, server: Server, tmp_path: Path) -> None:
    (tmp_path / "parameters.json").write_text('{"file": "gone"}')
    flow = server.graphql('{ flow(where: {name: {_eq: "waits"}}) { id flow_group_id } }')["flow"][0]
    made = run("run", "--id", flow["id"], "--param-file", str(tmp_path / "parameters.json"), "-q", "--label", "x").strip()
    query = "query ($id: uuid!) { flow_run_by_pk(id: $id) { parameters labels } }"
    assert server.graphql(query, id=made)["flow_run_by_pk"] == {"parameters": {"file": "gone"}, "labels": ["x"]}
    again = ["run", "--id", flow["flow_group_id"], "-p", "file=here", "-q", "--idempotency-key", "k"]
    assert run(*again) == run(*again)
    assert run("cancel", made) in {f"{name}: Cancel{ing}\n" for name in _names(server, made) for ing in ("ling", "led")}
    wait_until(lambda: server.state(made) == "Cancelled")
    run("cancel", made, code=1)


def _names(server: Server, run_id: str) -> list[str]:
    query = "query ($id: uuid!) { flow_run_by_pk(id: $id) { name } }"
    return [server.graphql(query, id=run_id)["flow_run_by_pk"]["name"]]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["-n", "nope"], 66, "There is no flow 'nope': register it first"),
        (["-n", "talks", "--project", "other"], 66, "There is no flow 'talks' in project 'other'"),
        (["-i", "7"], 65, "--id 7: this is no id"),
        (["-i", "00000000-0000-4000-8000-000000000000"], 66, "There is no flow with the id"),
        ([], 2, "Missing argument 'FLOW'"),
        (["flows.py", "-i", "7"], 2, "Name one flow"),
        (["flows.py", "--label", "x"], 2, "--label says which agent"),
        (["-n", "talks", "--resume"], 2, "--resume goes on with"),
        (["-n", "talks", "--schedule"], 2, "`--schedule` can only be specified for local flow runs"),
        (["-n", "talks", "-p", "x"], 65, "-p x: write it as NAME=VALUE"),
        (["-n", "talks", "--param-file", "gone.json"], 65, "--param-file gone.json: "),
    ],
)
def test_what_cannot_be_asked_for(run: Run, arguments: list[str], code: int, message: str) -> None:
    assert message in run("run", *arguments, code=code)


def test_a_parameter_that_the_flow_does_not_have(run: Run) -> None:
    assert "has no parameter nummer" in run("run", "-n", "talks", "-p", "nummer=1", code=65)


def _waits(server: Server, directory: Path, *options: str) -> subprocess.Popen[str]:
    """A process that runs the flow `waits` at the server."""
    return subprocess.Popen(
        [sys.executable, "-m", "prefectlite", "run", "-n", "waits", *options, "--api", server.url],
        cwd=directory,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _watching(server: Server, directory: Path, file: Path) -> subprocess.Popen[str]:
    """A process that watches a run, which waits for `file`, and has shown that it does."""
    process = _waits(server, directory, "-w", "-p", f"file={file}", "--run-name", "long")
    assert process.stdout is not None
    while "wait  Running" not in next(process.stdout):
        pass
    return process


def test_ctrl_c_leaves_the_run_alone(server: Server, tmp_path: Path) -> None:
    process = _watching(server, tmp_path, tmp_path / "go")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors.strip()) == (130, "The run goes on: `prefectlite cancel long` stops it")
    query = '{ flow_run(where: {name: {_eq: "long"}}) { state } }'
    assert server.graphql(query)["flow_run"] == [{"state": "Running"}]
    (tmp_path / "go").touch()
    wait_until(lambda: server.graphql(query)["flow_run"] == [{"state": "Success"}])


def test_watching_goes_on_after_a_restart_of_the_server(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "flows.py").write_text(FLOWS)
    with serving("flows.py", port=free_port, cwd=tmp_path) as server:
        watching = _watching(server, tmp_path, tmp_path / "go")
        server.process.kill()
        server.process.wait()
    (tmp_path / "go").touch()
    with serving("flows.py", port=free_port, cwd=tmp_path):
        output, errors = watching.communicate(timeout=PATIENCE)
    assert watching.returncode == 0, errors
    assert _without_times(output)[-1] == "flow run  Success  All reference tasks succeeded."


def test_executed_in_this_process(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "flows.py").write_text(FLOWS)
    assert prefectlite("register", "--project", "p", "-p", "flows.py", cwd=tmp_path).returncode == 0
    done = prefectlite("run", "-n", "talks", "--execute", "-p", "number=5", "--context", "who=us", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "number 5" in done.stdout
    assert "WARNING  said by us" in done.stdout
    found = rows(tmp_path / "test.sqlite", "SELECT f.name, r.state FROM flow_run r JOIN flow f ON f.id = r.flow_id")
    assert found == [("talks", "Success")]
    assert len(rows(tmp_path / "test.sqlite", "SELECT id FROM flow")) == 3, "of the registered flow, not of another one"
    asked = prefectlite("run", "-n", "talks", "--execute", "--api", f"http://127.0.0.1:{free_port}", cwd=tmp_path)
    assert (asked.returncode, "cannot be reached" in asked.stderr) == (69, True)


def _of_run(server: Server, run_id: str) -> dict[str, Any]:
    query = "query ($id: uuid!) { flow_run_by_pk(id: $id) { state agent_id labels parameters logs { message } } }"
    run: dict[str, Any] = server.graphql(query, id=run_id)["flow_run_by_pk"]
    return run


def _executing(server: Server, directory: Path, file: Path) -> tuple[subprocess.Popen[str], str]:
    """A process that executes a run of the server, which waits for `file`; and the run's id."""
    process = _waits(server, directory, "--execute", "-p", f"file={file}", "--label", "l")
    assert process.stdout is not None
    next(process.stdout)
    run_id = next(process.stdout).split()[1]
    while "wait  Running" not in next(process.stdout):
        pass
    return process, run_id


def test_made_at_a_server_and_executed_in_this_process(server: Server, place: Path, tmp_path: Path) -> None:
    process, run_id = _executing(server, tmp_path, tmp_path / "go")
    assert (server.state(run_id), _of_run(server, run_id)["labels"]) == ("Running", ["l"])
    (tmp_path / "go").touch()
    output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, "")
    assert _without_times(output)[-1] == "flow run  Success  All reference tasks succeeded."
    assert server.state(run_id) == "Success"
    keyed = ["run", "-n", "talks", "--execute", "-q", "--idempotency-key", "once", "--api", server.url]
    quiet = prefectlite(*keyed, "-p", "number=13", cwd=tmp_path)
    assert (quiet.returncode, len(quiet.stdout.splitlines()[0])) == (1, 36)
    logged = [line["message"] for line in _of_run(server, quiet.stdout.splitlines()[0])["logs"]]
    assert "number 13" in logged
    again = prefectlite(*keyed, cwd=tmp_path)
    assert (again.returncode, "There is a run with this idempotency key already" in again.stderr) == (65, True)


@pytest.mark.parametrize("how", ["at the server", "Ctrl-C"])
def test_what_is_executed_here_is_cancelled(server: Server, tmp_path: Path, how: str) -> None:
    process, run_id = _executing(server, tmp_path, tmp_path / "never")
    if how == "Ctrl-C":
        process.send_signal(signal.SIGINT)
    else:
        server.graphql("mutation ($id: UUID!) { cancel_flow_run(input: {flow_run_id: $id}) { state } }", id=run_id)
    output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, errors
    assert _without_times(output)[-1].startswith("flow run  Cancelled")
    assert server.state(run_id) == "Cancelled"


def test_an_executor_that_nobody_heard_of_gets_no_run(server: Server) -> None:
    [flow] = server.graphql('{ flow(where: {name: {_eq: "talks"}}) { id } }')["flow"]
    wrong = server.answer(
        'mutation ($id: UUID!) { create_flow_run(input: {flow_id: $id, executor_id: "nobody"}) { id } }', id=flow["id"]
    )
    assert wrong["errors"][0]["message"] == "executor_id: nothing was heard of an executor 'nobody'"


@pytest.mark.parametrize(
    "named", ["flows.py -n talks", "--path flows.py -n talks", "-p flows.py -n talks", "-m flows.talks"]
)
def test_files_and_modules_by_prefects_options(named: str, tmp_path: Path) -> None:
    (tmp_path / "flows.py").write_text(FLOWS)
    done = prefectlite(
        "run", *named.split(), "--param", "number=4", "--context", "who=you", "--log-level", "error", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "said by you" not in done.stdout, "below the level"
    quiet = prefectlite("run", *named.split(), "-q", cwd=tmp_path)
    ids = [row[0] for row in rows(tmp_path / "test.sqlite", "SELECT id FROM flow_run")]
    assert (quiet.stdout.splitlines()[0] in ids, quiet.stderr) == (True, ""), "and what tasks print themselves"
    silent = prefectlite("run", *named.split(), "--no-logs", cwd=tmp_path)
    assert ("said by" in silent.stdout, "talk  Success" in silent.stdout) == (False, True)


def test_a_server_that_is_not_there(tmp_path: Path, free_port: int) -> None:
    done = prefectlite("run", "-n", "talks", "--api", f"http://127.0.0.1:{free_port}", cwd=tmp_path)
    assert done.returncode == 69
    assert "cannot be reached" in done.stderr
