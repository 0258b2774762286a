"""`prefectlite logs`, as a user types it: in the database, and at a server."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from prefectlite.cli import logs as logs_command
from prefectlite.cli import main
from tests.scenarios.processes import prefectlite, rows, serving

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
Logs = Callable[..., list[str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory beside a database with two runs."""
    place = tmp_path_factory.mktemp("talks")
    (place / "flow.py").write_text(FLOW)
    for name in ("first", "second"):
        made = prefectlite("run", "flow.py", "--run-name", name, cwd=place, PREFECTLITE_DATABASE_URL=_url(place))
        assert made.returncode == 0, made.stderr
    return place


@pytest.fixture(scope="module")
def server_url(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with serving(port=port, cwd=place, PREFECTLITE_DATABASE_URL=_url(place)) as server:
        yield server.url


@pytest.fixture(params=["database", "server", "--api"])
def logs(
    request: pytest.FixtureRequest,
    place: Path,
    server_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Logs:
    """`logs(*arguments, code=0)`: the lines of standard output; of standard error where an error is expected."""
    named = ["--api", server_url] if request.param == "--api" else []
    if request.param == "database":
        monkeypatch.setenv("PREFECTLITE_DATABASE_URL", _url(place))
    elif request.param == "server":
        monkeypatch.setenv("PREFECTLITE_API_URL", server_url)

    def logs(*arguments: str, code: int = 0) -> list[str]:
        with pytest.raises(SystemExit) as left:
            main(["logs", *arguments, *named])
        shown = capsys.readouterr()
        assert left.value.code == code, shown.err
        assert bool(shown.err) == (code > 1)
        assert "Traceback" not in shown.err
        return (shown.err if code > 1 else shown.out).splitlines()

    return logs


def _url(place: Path) -> str:
    return f"sqlite:///{place / 'talks.sqlite'}"


def test_lines_of_a_run_and_searching_in_all(logs: Logs) -> None:
    lines = logs("first")
    assert len(lines) == 3
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  (talk\[[01]\]|fail)  (INFO|WARNING)  ", line) for line in lines)
    assert {line.split("  ", 3)[3] for line in lines} == {
        "about to fail",
        r"said 1 to the König\nand \x1b[31mleft",
        r"said 2 to the König\nand \x1b[31mleft",
    }
    assert [line.split("  ")[1:] for line in logs("--search", 'FAIL "about to"')] == [
        ["first", "fail", "WARNING", "about to fail"],
        ["second", "fail", "WARNING", "about to fail"],
    ]
    assert len(logs("second", "--search", "könig left")) == 2
    assert len(logs("--search", "könig le*", "--limit", "3")) == 3
    assert logs("first", "--search", "nothing", code=1) == []
    assert logs("--search", '"', code=1) == []


def test_it_reads_page_by_page(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = logs("first")
    monkeypatch.setattr(logs_command, "_PAGE", 1)
    assert logs("first") == whole
    assert [logs("first", "--limit", str(most)) for most in (1, 2, 3, 9)] == [whole[-1:], whole[-2:], whole, whole]


def test_for_other_programs(logs: Logs, place: Path) -> None:
    lines = json.loads("\n".join(logs("--search", "fail", "-o", "json")))
    assert [(line["flow_run"], line["task"], line["map_index"], line["level"]) for line in lines] == [
        ("first", "fail", -1, "WARNING"),
        ("second", "fail", -1, "WARNING"),
    ]
    assert logs("--search", "nothing", "-o", "json", code=1) == ["[]"]
    assert "  level: WARNING" in logs("--search", "fail", "-o", "yaml")
    [(task_run,)] = rows(
        place / "talks.sqlite",
        """SELECT r.id FROM task_run r JOIN flow_run f ON f.id = r.flow_run_id
        WHERE f.name = 'first' AND r.map_index = 1""",
    )
    assert [line["map_index"] for line in json.loads("\n".join(logs(task_run, "-o", "json")))] == [1]


def test_what_cannot_be_shown(logs: Logs) -> None:
    (refusal,) = logs("third", code=66)
    assert re.fullmatch(r"Error: There is no flow run 'third' (in /.*|at http://.*): give its id or its name", refusal)
    assert logs(code=2)[-1] == "Error: Name a run, or say --search WORDS"
    (refusal,) = logs("--search", "x " * 101, code=65)
    assert refusal.endswith("where.message._search: a search has at most 100 words")
    assert logs("--search", " ", code=2)[-1] == "Error: --search needs a word to look for"
