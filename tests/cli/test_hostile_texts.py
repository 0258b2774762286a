"""Texts that would steer a terminal, wherever commands show what others have named or written."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from prefectlite import Flow, Runtime, task
from prefectlite.api.caller import Caller
from prefectlite.api.execution import Execution
from prefectlite.api.requests import Request
from prefectlite.cli.display import LiveDisplay, PlainDisplay
from prefectlite.cli.run_view import RunView
from prefectlite.records import FlowRunRow, LogRow, StateRecord
from prefectlite.states import Failed
from tests.scenarios.processes import PATIENCE, prefectlite

#: Colours, a title, a link, the clipboard, the screen, overwriting, 8-bit controls, and writing from right to left.
HOSTILE = (
    "\x1b[31m \x1b]0;title\x07 \x1b]8;;http://evil\x1b\\ \x1b]52;c;eA==\x07 \x1bc \r \x08\x7f \x9b2J \x85 \u2028"
    " \u202e\u2066 end"
)
FORGED = "all is well\n00:00:00  flow run  Success"
FLOW = f"""
import os
from prefectlite import Flow, Parameter, context, task

HOSTILE = {HOSTILE!r}

@task(name="work")
def work(value):
    context.logger.warning(HOSTILE + "\\nsecond line")
    raise ValueError(HOSTILE)

with Flow("hostile") as flow:
    work(Parameter("value", default=HOSTILE))
"""


def steering(output: str) -> set[str]:
    """The characters of `output` by which it does more than show words."""
    return {letter for letter in output if not letter.isprintable() and letter != "\n"}


class Place:
    """A directory beside a database in which everything is called so."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environ = {"PREFECTLITE_DATABASE_URL": f"sqlite:///{directory / 'hostile.sqlite'}"}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command line, run to its end."""
        return prefectlite(*arguments, cwd=self.directory, **self.environ)

    async def prepare(self) -> None:
        """Give hostile names to what may have any."""
        async with Runtime(database_url=self.environ["PREFECTLITE_DATABASE_URL"], agent=False) as runtime:
            execution = Execution(runtime.session)
            [(run_id,)] = await runtime.session.database.read("SELECT id FROM flow_run")
            for name, given in (
                ("create_project", {"name": "p", "description": HOSTILE}),
                ("set_key_value", {"key": "k", "value": {HOSTILE: HOSTILE}}),
                ("set_flow_run_name", {"flow_run_id": run_id, "name": HOSTILE}),
            ):
                text = f"mutation ($i: {name}_input!) {{ {name}(input: $i) {{ __typename }} }}"
                answer = await execution.run(Request(text, {"i": given}, None), execution.budget(), Caller())
                assert b"errors" not in answer.body


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("hostile"))
    (place.directory / "flow.py").write_text(FLOW)
    ended = place.run("run", "flow.py")
    assert ended.returncode == 1
    assert "second line" in ended.stdout
    assert steering(ended.stdout + ended.stderr) == set()
    asyncio.run(place.prepare())
    return place


@pytest.mark.parametrize("output", ["table", "json", "yaml"])
@pytest.mark.parametrize("what", ["flow-runs", "projects", "flows", "tasks", "logs", "kv"])
def test_lists(place: Place, what: str, output: str) -> None:
    commands = {"tasks": ["get", "tasks"], "logs": ["get", "logs", "--name", HOSTILE], "kv": ["kv", "list"]}
    command = commands.get(what, ["get", what])
    done = place.run(*command, *(["-o", output] if what != "tasks" else []))
    assert done.returncode == 0, done.stderr
    assert "end" in done.stdout or what in ("flows", "tasks")
    assert steering(done.stdout + done.stderr) == set()


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["describe", "flow-runs", HOSTILE], 0),
        (["describe", "flow-runs", HOSTILE, "-o", "yaml"], 0),
        (["describe", "flows", "hostile"], 0),
        (["logs", HOSTILE], 0),
        (["logs", "--search", "end"], 0),
        (["cancel", HOSTILE], 1),
        (["describe", "flows", HOSTILE + "?"], None),
        (["kv", "get", HOSTILE], None),
        (["pause", HOSTILE], None),
        (["resume", HOSTILE], None),
        (["token", "revoke", HOSTILE], None),
        (["delete", "project", HOSTILE], None),
        (["run", "--name", HOSTILE], None),
        (["restart", HOSTILE], 1),
    ],
)
def test_commands(place: Place, command: list[str], code: int | None) -> None:
    done = place.run(*command)
    assert done.returncode == code if code is not None else done.returncode != 0, (done.stdout, done.stderr)
    assert "end" in done.stdout + done.stderr
    assert steering(done.stdout + done.stderr) == set()


@pytest.mark.skipif(sys.platform == "win32", reason="it has no pseudo-terminals")
def test_a_value_steers_no_terminal_and_is_whole_in_a_pipe(place: Place) -> None:
    assert place.run("kv", "set", "text", HOSTILE).returncode == 0
    assert "\x1b[31m" in place.run("kv", "get", "text").stdout
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "prefectlite", "kv", "get", "text"]
    subprocess.run(command, env={**os.environ, **place.environ}, stdout=end, timeout=PATIENCE, check=True)
    os.close(end)
    shown = os.read(terminal, 65_536).decode()
    os.close(terminal)
    assert "\\x1b[31m" in shown
    assert steering(shown.replace("\r\n", "\n")) == set()


@pytest.mark.parametrize("is_live", [False, True])
def test_what_is_shown_of_a_run(is_live: bool) -> None:
    with Flow("f") as flow:
        work = task(lambda: None, name="work")()
    run = FlowRunRow("id", "f", "r", {}, {}, 0, 1, "Running", None, None, None, 1)
    view = RunView(flow, {flow.slugs[work]: "t"}, run)
    view.tasks["t"].enter(-1, StateRecord("s", "Failed", 0, HOSTILE))
    written = io.StringIO()
    console = Console(file=written, width=400, highlight=False, color_system=None)
    display = LiveDisplay(console) if is_live else PlainDisplay(console)
    with display.showing(view):
        for message in (HOSTILE, FORGED):
            display.line(view, LogRow("l", "id", None, 0, "ERROR", HOSTILE, message))
    display.end(view, Failed(FORGED))
    output = written.getvalue()
    assert steering(output) == set()
    assert "\\x1b[31m" in output
    assert "all is well" in output
    assert not [line for line in output.splitlines() if line.startswith("00:00:00  flow run")]
