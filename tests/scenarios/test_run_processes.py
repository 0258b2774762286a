"""Runs in processes of their own: where they are, what they may do to them, and how their end is told."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.processes import Server, agent, serving, wait_until

FLOWS = """
import asyncio, ctypes, os, sys
from pathlib import Path
from prefectlite import Flow, Parameter, task
from prefectlite.run_configs import LocalRun, UniversalRun

HERE = Path(__file__).parent
LABELS = os.environ.get("LABELS", "").split()

def mark(what):
    with (HERE / "marks").open("a") as file:
        file.write(f"{what} {os.getpid()}\\n")

@task
def where(name):
    mark(name)
    (HERE / f"where-{name}").write_text(f"{os.getcwd()} {os.environ.get('PLACE')}")

@task
async def hold(name):
    mark(name)
    while not (HERE / "go").exists():
        await asyncio.sleep(0.02)
    return name

@task
def fall(name):
    mark(name)
    if (HERE / "fall").exists():
        print("about to fall", file=sys.stderr, flush=True)
        ctypes.string_at(0)
    return name

with Flow("placed", run_config=LocalRun(env={"PLACE": "there"}, working_dir=HERE / "work")) as placed:
    where("placed")

with Flow("held", run_config=UniversalRun(isolate="process")) as held:
    hold(Parameter("name", default="hold"))

with Flow("falls", run_config=UniversalRun(isolate="process")) as falls:
    first = where("first")
    fall("fall", upstream_tasks=[first])

@task
def spend(secret):
    from prefectlite import Secret
    mark("spent" if secret == Secret("TOKEN").get() == "a-long-word" else "wrong")

with Flow("secretive", run_config=UniversalRun(isolate="process")) as secretive:
    from prefectlite.tasks.secrets import PrefectSecret
    spend(PrefectSecret("TOKEN"))

@task
def keep(key):
    from prefectlite import Secret
    from prefectlite.backend import delete_key, get_key_value, list_keys, set_key_value
    set_key_value(key, {"count": 2**70, "é": [1.5, None]})
    assert get_key_value(key) == {"count": 2**70, "é": [1.5, None]}
    set_key_value("other", 1)
    assert delete_key("other") is True
    assert list_keys() == [key]
    for ask in (get_key_value, delete_key):
        try:
            ask("nothing")
        except ValueError as error:
            mark(str(error).replace(" ", "_"))
    assert LABELS or not Secret("NOTHING").exists()  # agents get secrets only with a token
    mark("kept")

with Flow("keeping", run_config=UniversalRun(isolate="process", labels=LABELS)) as keeping:
    keep("watermark")

with Flow("lost", run_config=LocalRun(working_dir=HERE / "nowhere")) as lost:
    where("lost")
"""


@pytest.fixture
def server(tmp_path: Path, free_port: int) -> Iterator[Server]:
    (tmp_path / "flows.py").write_text(FLOWS)
    (tmp_path / "work").mkdir()
    with serving("flows.py", port=free_port, cwd=tmp_path, PREFECTLITE_CANCEL_PATIENCE="0.5") as server:
        yield server


def marks(directory: Path) -> list[tuple[str, int]]:
    file = directory / "marks"
    found = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    return [(what, int(pid)) for what, pid in found]


def lines(server: Server, run_id: str) -> str:
    query = "query ($id: uuid) { log(where: {flow_run_id: {_eq: $id}}, order_by: {timestamp: asc}) { message } }"
    return "\n".join(line["message"] for line in server.graphql(query, id=run_id)["log"])


def message(server: Server, run_id: str) -> str:
    query = "query ($id: uuid!) { flow_run_by_pk(id: $id) { state_message } }"
    return str(server.graphql(query, id=run_id)["flow_run_by_pk"]["state_message"])


def test_a_run_is_where_its_run_config_says(server: Server, tmp_path: Path) -> None:
    run_id = server.start("placed")
    wait_until(lambda: server.state(run_id) == "Success")
    assert (tmp_path / "where-placed").read_text() == f"{tmp_path / 'work'} there"
    ((_, pid),) = marks(tmp_path)
    assert pid != server.process.pid
    wait_until(lambda: not is_there(pid))


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_process_that_falls_takes_nothing_with_it(server: Server, tmp_path: Path) -> None:
    (tmp_path / "fall").touch()
    run_id = server.start("falls")
    wait_until(lambda: len([what for what, _ in marks(tmp_path) if what == "fall"]) == 2)
    (tmp_path / "fall").unlink()
    wait_until(lambda: server.state(run_id) in ("Success", "Failed"))
    assert server.state(run_id) == "Success"
    assert [what for what, _ in marks(tmp_path)].count("first") == 1, "what was finished is not done again"
    told = lines(server, run_id)
    assert "was killed by signal 11 (SIGSEGV)" in told
    assert "about to fall" in told
    assert server.state(server.start("held")) in ("Scheduled", "Running"), "the server goes on"
    (tmp_path / "go").touch()


def test_a_process_that_falls_again_and_again_is_given_up(server: Server, tmp_path: Path) -> None:
    (tmp_path / "fall").touch()
    run_id = server.start("falls")
    wait_until(lambda: server.state(run_id) == "Failed")
    assert "was killed by signal 11 (SIGSEGV), 4 times in all" in message(server, run_id)
    assert [what for what, _ in marks(tmp_path)].count("fall") == 4


def test_a_run_in_a_process_is_cancelled(server: Server, tmp_path: Path) -> None:
    run_id = server.start("held")
    wait_until(lambda: marks(tmp_path))
    server.graphql("mutation ($id: UUID!) { cancel_flow_run(input: {flow_run_id: $id}) { state } }", id=run_id)
    wait_until(lambda: server.state(run_id) == "Cancelled")
    ((_, pid),) = marks(tmp_path)
    wait_until(lambda: not is_there(pid))


def test_a_killed_server_takes_the_processes_with_it_and_the_next_goes_on(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "flows.py").write_text(FLOWS)
    with serving("flows.py", port=free_port, cwd=tmp_path) as server:
        run_id = server.start("held")
        wait_until(lambda: marks(tmp_path))
        server.stop(signal.SIGKILL)
        ((_, pid),) = marks(tmp_path)
        wait_until(lambda: not is_there(pid))
    with serving("flows.py", port=free_port, cwd=tmp_path) as server:
        wait_until(lambda: len(marks(tmp_path)) == 2)
        (tmp_path / "go").touch()
        wait_until(lambda: server.state(run_id) == "Success")


def test_a_working_directory_that_is_not_there(server: Server) -> None:
    run_id = server.start("lost")
    wait_until(lambda: server.state(run_id) == "Failed")
    assert "nowhere" in message(server, run_id)


def test_secrets_reach_a_run_in_a_process(server: Server, tmp_path: Path) -> None:
    mutation = "mutation ($input: set_secret_input!) { set_secret(input: $input) { success } }"
    server.graphql(mutation, input={"name": "TOKEN", "value": "a-long-word"})
    run_id = server.start("secretive")
    wait_until(lambda: server.state(run_id) == "Success")
    assert [what for what, _ in marks(tmp_path)] == ["spent"]


def test_code_that_cannot_be_loaded_in_a_process(server: Server, tmp_path: Path) -> None:
    (tmp_path / "flows.py").write_text("import nothing_of_this_name")
    run_id = server.start("held")
    wait_until(lambda: server.state(run_id) == "Failed")
    assert "nothing_of_this_name" in message(server, run_id)


def test_every_run_of_an_agent_may_have_one(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "flows.py").write_text(FLOWS.replace('UniversalRun(isolate="process")', 'UniversalRun(labels=["own"])'))
    (tmp_path / "go").touch()
    with (
        serving("flows.py", port=free_port, cwd=tmp_path) as server,
        agent("-l", "own", url=server.url, cwd=tmp_path, PREFECTLITE_ISOLATE="process") as process,
    ):
        run_ids = [server.start("held") for _ in range(3)]
        for run_id in run_ids:
            wait_until(lambda run_id=run_id: server.state(run_id) == "Success")
    pids = {pid for _, pid in marks(tmp_path)}
    assert len(pids) == 3
    assert not pids & {process.pid, server.process.pid}


KEPT = ["No_value_found_for_key:_nothing", "No_key_nothing_found_to_delete", "kept"]
VALUE = "query { key_value { key value } }"


def test_a_run_in_a_process_uses_the_key_value_store_of_its_server(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "flows.py").write_text(FLOWS)
    with serving("flows.py", "--database", "sqlite:///own.sqlite", port=free_port, cwd=tmp_path) as server:
        run_id = server.start("keeping")
        wait_until(lambda: server.state(run_id) in ("Success", "Failed"))
        assert [what for what, _ in marks(tmp_path)] == KEPT
        assert server.graphql(VALUE)["key_value"] == [{"key": "watermark", "value": {"count": 2**70, "é": [1.5, None]}}]
    assert not (tmp_path / "test.sqlite").exists(), "the process opens no database"


@pytest.mark.parametrize("isolate", ["no", "process"])
def test_a_run_of_an_agent_uses_the_key_value_store_of_its_server(tmp_path: Path, free_port: int, isolate: str) -> None:
    here = FLOWS.replace('isolate="process", labels=LABELS', "labels=LABELS")
    (tmp_path / "flows.py").write_text(here)
    with (
        serving("flows.py", "--database", "sqlite:///own.sqlite", port=free_port, cwd=tmp_path, LABELS="own") as server,
        agent("-l", "own", url=server.url, cwd=tmp_path, PREFECTLITE_ISOLATE=isolate, LABELS="own"),
    ):
        run_id = server.start("keeping")
        wait_until(lambda: server.state(run_id) in ("Success", "Failed"))
        assert [what for what, _ in marks(tmp_path)] == KEPT, lines(server, run_id)
        assert server.graphql(VALUE)["key_value"][0]["key"] == "watermark"
    assert not (tmp_path / "test.sqlite").exists()
