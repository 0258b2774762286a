"""`prefectlite logs`, as a user types it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.scenarios.processes import prefectlite

FLOW = """
from prefectlite import Flow, context, task

@task(name="talk")
def talk(number):
    context.logger.info("said %d to the König\\nand \\x1b[31mleft", number)

@task(name="fail")
def fail():
    context.logger.warning("about to fail")

with Flow("talks") as flow:
    talk.map([1, 2])
    fail()
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory beside a database with two runs."""
    (tmp_path / "flow.py").write_text(FLOW)
    for name in ("first", "second"):
        assert prefectlite("run", "flow.py", "--run-name", name, cwd=tmp_path).returncode == 0
    return tmp_path


def logs(place: Path, *arguments: str, code: int = 0) -> list[str]:
    """The lines of standard output; of standard error where an error is expected."""
    done = prefectlite("logs", *arguments, cwd=place)
    assert done.returncode == code, done.stderr
    assert bool(done.stderr) == (code > 1)
    return (done.stderr if code > 1 else done.stdout).splitlines()


def test_lines_of_a_run_and_searching_in_all(place: Path) -> None:
    lines = logs(place, "first")
    assert len(lines) == 3
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  (talk\[[01]\]|fail)  (INFO|WARNING)  ", line) for line in lines)
    assert {line.split("  ", 3)[3] for line in lines} == {
        "about to fail",
        r"said 1 to the König\nand \x1b[31mleft",
        r"said 2 to the König\nand \x1b[31mleft",
    }
    assert [line.split("  ")[1:] for line in logs(place, "--search", 'FAIL "about to"')] == [
        ["first", "fail", "WARNING", "about to fail"],
        ["second", "fail", "WARNING", "about to fail"],
    ]
    assert len(logs(place, "second", "--search", "könig left")) == 2
    assert len(logs(place, "--search", "könig le*", "--limit", "3")) == 3
    assert logs(place, "first", "--search", "nothing", code=1) == []
    assert logs(place, "--search", '"', code=1) == []


def test_what_cannot_be_shown(place: Path) -> None:
    (refusal,) = logs(place, "third", code=66)
    assert refusal.startswith("Error: There is no flow run 'third' in ")
    assert logs(place, code=2)[-1] == "Error: Name a run, or say --search WORDS"
    assert logs(place, "--search", "x " * 101, code=65) == ["Error: search.message._search: a search has at most 100 words"]
    assert logs(place, "--search", " ", code=2)[-1] == "Error: --search needs a word to look for"
