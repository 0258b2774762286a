"""Agents in processes of their own: who takes which run, and what happens when one of them, or the server, goes away."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.processes import Server, agent, prefectlite, rows, serving, wait_until

FLOWS = """
import asyncio, os
from pathlib import Path
from prefectlite import Flow, Parameter, task

HERE = Path(__file__).parent

def mark(what):
    with (HERE / "marks").open("a") as file:
        file.write(f"{what} {os.getpid()}\\n")

@task
async def begin(name):
    mark(f"begin-{name}")
    return name

@task
async def hold(name):
    mark(f"hold-{name}")
    while not (HERE / f"go-{name}").exists():
        await asyncio.sleep(0.02)
    return name.upper()

@task
def end(held):
    mark(f"end-{held}")
    return held

with Flow("held") as held:
    end(hold(begin(Parameter("name"))))

with Flow("quick") as quick:
    end(Parameter("name"))

@task
def spend(secret):
    mark("spent" if secret == "a-long-word" else "wrong")

with Flow("secretive") as secretive:
    from prefectlite.tasks.secrets import PrefectSecret
    spend(PrefectSecret("TOKEN"))

with Flow("paused") as paused:
    from prefectlite.triggers import manual_only
    end.copy(trigger=manual_only)(begin(Parameter("name")))
"""
SILENCE = {"PREFECTLITE_AGENT_SILENCE": "1.5", "PREFECTLITE_GRACE_PERIOD": "0.2"}


class Place:
    """A server with flows for agents with the label gpu."""

    def __init__(self, directory: Path, server: Server) -> None:
        self.directory, self.server = directory, server

    @contextlib.contextmanager
    def agent(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        with agent("-l", "gpu", *arguments, url=self.server.url, cwd=self.directory, **SILENCE) as process:
            yield process

    def marks(self) -> list[list[str]]:
        """[what, process] of all that was done."""
        file = self.directory / "marks"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def has(self, what: str) -> bool:
        return any(mark == what for mark, _ in self.marks())

    def go(self, name: str) -> None:
        (self.directory / f"go-{name}").touch()

    def ends(self, run_id: str, state: str = "Success") -> None:
        wait_until(lambda: self.server.state(run_id) == state)


def register(directory: Path, url: str, *arguments: str) -> None:
    done = prefectlite("register", "-p", "flows.py", "--project", "p", "--api", url, *arguments, cwd=directory)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def place(tmp_path: Path, free_port: int) -> Iterator[Place]:
    (tmp_path / "flows.py").write_text(FLOWS)
    with serving(port=free_port, cwd=tmp_path, **SILENCE) as server:
        register(tmp_path, server.url, "--label", "gpu")
        yield Place(tmp_path, server)


def test_runs_go_to_agents_that_have_their_labels(place: Place) -> None:
    run_id = place.server.start("quick", name="labelled")
    register(place.directory, place.server.url, "--force")  # without labels
    other = place.server.start("quick", name="plain")
    place.ends(other)
    assert place.server.state(run_id) == "Scheduled", "the server has an agent without labels"
    with place.agent() as process:
        place.ends(run_id)
    where = dict(place.marks())
    assert where["end-plain"] == str(place.server.process.pid)
    assert where["end-labelled"] == str(process.pid)
    query = "query ($id: uuid!) { flow_run_by_pk(id: $id) { agent { name } } }"
    assert place.server.graphql(query, id=run_id)["flow_run_by_pk"]["agent"] == {"name": "agent"}
    assert place.server.graphql(query, id=other)["flow_run_by_pk"]["agent"] is None


def test_a_server_may_leave_all_runs_to_agents_or_have_labels(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "flows.py").write_text(FLOWS)
    with serving("--no-agent", port=free_port, cwd=tmp_path, **SILENCE) as server:
        register(tmp_path, server.url)
        run_id = server.start("quick", name="a")
        with agent(url=server.url, cwd=tmp_path, **SILENCE) as process:
            wait_until(lambda: server.state(run_id) == "Success")
        server.stop()
    with serving("--label", "gpu", port=free_port, cwd=tmp_path, **SILENCE) as server:
        register(tmp_path, server.url, "--label", "gpu")
        run_id = server.start("quick", name="b")
        wait_until(lambda: server.state(run_id) == "Success")
        pids = dict(Place(tmp_path, server).marks())
    assert pids == {"end-a": str(process.pid), "end-b": str(server.process.pid)}


def test_of_two_agents_one_takes_a_run(place: Place) -> None:
    with place.agent("-n", "one") as one, place.agent("-n", "two") as two:
        runs = [place.server.start("quick", name=f"n{number}") for number in range(30)]
        for run_id in runs:
            place.ends(run_id)
    marks = Counter(what for what, _ in place.marks())
    assert marks == {f"end-n{number}": 1 for number in range(30)}
    assert {pid for _, pid in place.marks()} <= {str(one.pid), str(two.pid)}
    names = place.server.graphql("{ agent(order_by: {name: asc}) { name type labels } }")["agent"]
    assert [(found["name"], found["type"], found["labels"]) for found in names] == [
        ("one", "prefectlite", ["gpu"]),
        ("two", "prefectlite", ["gpu"]),
    ]


def test_what_a_killed_agent_had_finished_is_not_done_again(place: Place) -> None:
    with place.agent() as first:
        run_id = place.server.start("held", name="a")
        wait_until(lambda: place.has("hold-a"))
        first.send_signal(signal.SIGKILL)
        first.wait()
        with place.agent() as second:
            wait_until(lambda: ["hold-a", str(second.pid)] in place.marks())
            place.go("a")
            place.ends(run_id)
    assert place.marks() == [
        ["begin-a", str(first.pid)],
        ["hold-a", str(first.pid)],
        ["hold-a", str(second.pid)],
        ["end-A", str(second.pid)],
    ]


def test_an_agent_that_leaves_has_its_runs_taken_up(place: Place) -> None:
    with place.agent("-n", "first") as first:
        run_id = place.server.start("held", name="b")
        wait_until(lambda: place.has("hold-b"))
        with place.agent("-n", "second") as second:
            first.send_signal(signal.SIGINT)
            output, _ = first.communicate(timeout=20)
            assert first.returncode == 0, output
            assert "1 flow run(s) are left to be taken up again" in output
            assert re.search(rf"Flow run \S+ \({run_id}\) of held begins", output)
            wait_until(lambda: ["hold-b", str(second.pid)] in place.marks())
            place.go("b")
            place.ends(run_id)


def test_a_run_of_an_agent_is_cancelled(place: Place) -> None:
    with place.agent():
        run_id = place.server.start("held", name="c")
        wait_until(lambda: place.has("hold-c"))
        place.server.graphql("mutation ($id: UUID!) { cancel_flow_run(input: {flow_run_id: $id}) { state } }", id=run_id)
        place.ends(run_id, "Cancelled")
    states = place.server.graphql(
        "query ($id: uuid) { task_run(where: {flow_run_id: {_eq: $id}}, order_by: {created: asc}) { state } }", id=run_id
    )
    assert {found["state"] for found in states["task_run"]} == {"Success", "Cancelled"}


def test_a_paused_run_of_an_agent_goes_on(place: Place) -> None:
    with place.agent():
        run_id = place.server.start("paused", name="d")
        query = 'query ($id: uuid) { task_run(where: {flow_run_id: {_eq: $id}, state: {_eq: "Paused"}}) { id } }'
        wait_until(lambda: place.server.graphql(query, id=run_id)["task_run"])
        ((task_run,),) = (found.values() for found in place.server.graphql(query, id=run_id)["task_run"])
        resumed = [{"task_run_id": task_run, "state": {"type": "Resume", "message": "go"}}]
        mutation = "mutation ($input: set_task_run_states_input!) { set_task_run_states(input: $input) { states { id } } }"
        place.server.graphql(mutation, input={"states": resumed})
        place.ends(run_id)


def test_an_agent_goes_on_while_its_server_is_started_again(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "flows.py").write_text(FLOWS)
    with contextlib.ExitStack() as stack:
        with serving(port=free_port, cwd=tmp_path, **SILENCE) as server:
            register(tmp_path, server.url, "--label", "gpu")
            working = stack.enter_context(agent("-l", "gpu", url=server.url, cwd=tmp_path, **SILENCE))
            run_id = server.start("held", name="e")
            place = Place(tmp_path, server)
            wait_until(lambda: place.has("hold-e"))
            server.stop(signal.SIGKILL)
        place.go("e")
        with serving(port=free_port, cwd=tmp_path, **SILENCE) as server:
            Place(tmp_path, server).ends(run_id)
            another = server.start("quick", name="f")
            Place(tmp_path, server).ends(another)
    assert {pid for _, pid in place.marks()} == {str(working.pid)}
    assert [what for what, _ in place.marks()] == ["begin-e", "hold-e", "end-E", "end-f"]
    assert rows(tmp_path / "test.sqlite", "SELECT lease_epoch FROM flow_run WHERE id = ?", run_id) == [(1,)]


SET_SECRET = "mutation ($input: set_secret_input!) { set_secret(input: $input) { success } }"


def test_secrets_are_not_given_to_whoever_asks(place: Place) -> None:
    place.server.graphql(SET_SECRET, input={"name": "TOKEN", "value": "a-long-word"})
    with place.agent():
        run_id = place.server.start("secretive")
        place.ends(run_id, "Failed")
    query = "query ($id: uuid) { task_run(where: {flow_run_id: {_eq: $id}}) { state_message } }"
    messages = [found["state_message"] for found in place.server.graphql(query, id=run_id)["task_run"]]
    assert any("Secrets are given to agents only by a server that asks for tokens" in text for text in messages), messages


def test_an_agent_with_a_token_reads_secrets(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "flows.py").write_text(FLOWS)
    with serving("--auth", port=free_port, cwd=tmp_path, **SILENCE) as server:
        admin = (tmp_path / "home" / "token").read_text().strip()
        server.show(admin)
        register(tmp_path, server.url, "--label", "gpu")
        server.graphql(SET_SECRET, input={"name": "TOKEN", "value": "a-long-word"})
        made = prefectlite("token", "create", "worker", "--role", "agent", "--api", server.url, cwd=tmp_path)
        token = next(word for word in made.stdout.split() if word.startswith("pl_"))
        with agent("-l", "gpu", url=server.url, cwd=tmp_path, PREFECTLITE_API_TOKEN=token, **SILENCE):
            place, run_id = Place(tmp_path, server), server.start("secretive")
            place.ends(run_id)
            held = server.start("held", name="x")
            wait_until(lambda: place.has("hold-x"))
            place.go("x")
            place.ends(held)
    assert place.has("spent")


def test_what_the_command_says_of_mistakes(tmp_path: Path, free_port: int) -> None:
    nowhere = prefectlite("agent", "local", "start", cwd=tmp_path)
    assert nowhere.returncode == 78
    assert "Say which server to work for: --api" in nowhere.stderr
    wrong = prefectlite("agent", "local", "start", "--api", f"http://127.0.0.1:{free_port}", "-e", "novalue", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "write it as NAME=VALUE" in wrong.stderr
