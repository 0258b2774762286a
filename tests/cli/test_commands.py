"""The command line: what it prints, and with what it leaves."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenarios.processes import PATIENCE, prefectlite, rows

FLOWS = """
from prefectlite import Flow, Parameter, context, task, unmapped

@task(log_stdout=True)
def greet(name):
    print(f"Hello, {name}!")
    context.logger.warning("greeted")

@task
def inverse(x):
    return 1 / x

with Flow("greeting") as greeting:
    greet(Parameter("name"))

with Flow("inverses") as inverses:
    inverse.map(Parameter("numbers", default=[1, 2]))
"""


@pytest.fixture
def flows(tmp_path: Path) -> Path:
    (tmp_path / "flows.py").write_text(FLOWS)
    return tmp_path


def test_help_lists_the_commands(tmp_path: Path) -> None:
    result = prefectlite("--help", cwd=tmp_path)
    assert result.returncode == 0
    assert "run" in result.stdout
    assert "serve" in result.stdout


def test_help_imports_no_command(tmp_path: Path) -> None:
    code = "import sys; sys.argv = ['prefectlite', '--help']; import atexit;" + (
        "heavy = ('rich', 'starlette', 'graphene', 'uvicorn');"
        "atexit.register(lambda: print('LOADED', *(m for m in heavy if m in sys.modules)));"
        "from prefectlite.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout.strip().splitlines()[-1] == "LOADED"


def test_version(tmp_path: Path) -> None:
    assert prefectlite("--version", cwd=tmp_path).stdout.startswith("prefectlite, version 0.")


def test_run_in_a_pipe_is_a_plain_stream(flows: Path) -> None:
    result = prefectlite("run", "flows.py:greeting", "-p", "name=world", "--run-name", "mine", cwd=flows)
    assert result.returncode == 0, result.stderr
    assert "Hello, world!" in result.stdout
    assert "greet  Success" in result.stdout
    assert "WARNING  greeted" in result.stdout
    assert "\x1b" not in result.stdout
    assert result.stdout.strip().splitlines()[-1].endswith("flow run  Success  All reference tasks succeeded.")
    assert rows(flows / "test.sqlite", "SELECT name, state FROM flow_run") == [("mine", "Success")]


def test_run_by_the_variables_name(flows: Path) -> None:
    assert prefectlite("run", "flows.py:inverses", cwd=flows).returncode == 0


def test_run_from_a_module(flows: Path) -> None:
    assert prefectlite("run", "flows:inverses", cwd=flows).returncode == 0


def test_a_failed_run_leaves_with_1(flows: Path) -> None:
    result = prefectlite("run", "flows.py:inverses", "-p", "numbers=[1, 0, 2]", cwd=flows)
    assert result.returncode == 1
    assert "inverse[1]  Failed  Error during execution of task: ZeroDivisionError" in result.stdout
    assert "inverse  3 children: 1 Failed, 2 Success" in result.stdout
    assert "site-packages" not in result.stdout
    assert "calling.py" not in result.stdout, "the traceback is the user's part of it"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["flows.py"], 66, "several flows (greeting, inverses): say which"),
        (["flows.py:nobody"], 66, "no flow 'nobody' in it; it has: greeting, inverses"),
        (["nowhere.py"], 66, "there is no such file"),
        (["no.such.module"], 66, "there is no such module"),
        (["flows.py:greeting"], 65, "required parameters: name"),
        (["flows.py:greeting", "-p", "name=a", "-p", "colour=red"], 65, "unexpected parameters: colour"),
        (["flows.py:greeting", "-p", "name"], 65, "NAME=VALUE"),
        (["flows.py:inverses", "-p", "numbers=[1"], 65, "begins like JSON"),
        (["flows.py:inverses", "--database", "mysql://x"], 78, "sqlite:///file.sqlite"),
        (["flows.py:inverses", "--database", "sqlite:////proc/nowhere/x.sqlite"], 69, "cannot be opened"),
        ([], 2, "Missing argument"),
    ],
)
def test_bad_input_is_one_message_and_a_code(flows: Path, arguments: list[str], code: int, message: str) -> None:
    result = prefectlite("run", *arguments, cwd=flows)
    assert result.returncode == code, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_bad_setting_names_where_it_stands(flows: Path) -> None:
    result = prefectlite("run", "flows.py:inverses", cwd=flows, PREFECTLITE_MAX_THREADS="many")
    assert result.returncode == 78
    assert "PREFECTLITE_MAX_THREADS" in result.stderr


def test_a_reader_that_goes_away_is_no_error(flows: Path) -> None:
    command = f"{sys.executable} -m prefectlite run flows.py:inverses -p 'numbers=[1,2,3]' | head -n 1"
    done = subprocess.run(["sh", "-c", command], cwd=flows, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert not done.stderr
    assert rows(flows / "test.sqlite", "SELECT state FROM flow_run") == [("Success",)]


def test_run_in_a_terminal_is_live(flows: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "prefectlite", "run", "flows.py:inverses", "-p", "numbers=[1, 2, 4]"]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    with subprocess.Popen(command, cwd=flows, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        output = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:
                break
            if not piece:
                break
            output += piece
    os.close(ours)
    text = output.decode()
    assert process.returncode == 0, text
    assert "\x1b[" in text, "it moves the cursor and colours"
    assert "3 of 3" in text
    assert "All reference tasks succeeded." in text
