from __future__ import annotations

import io
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prefectlite import get_logger
from prefectlite.contexts import context
from prefectlite.engine.run_logs import MOST_OF_A_LINE, MOST_OF_A_MESSAGE, logging_installed
from prefectlite.settings import Settings
from tests.engine.log_lines import Lines


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def installed() -> Iterator[None]:
    with logging_installed(Settings()):
        yield


class Keeping(logging.Handler):
    """A handler of the application."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def keeping() -> Iterator[Keeping]:
    handler = Keeping()
    get_logger().addHandler(handler)
    yield handler
    get_logger().removeHandler(handler)


@pytest.mark.usefixtures("installed")
def test_what_is_logged_in_a_run_is_in_its_log(lines: Lines) -> None:
    get_logger("extract").warning("before")
    with lines.running():
        context.logger.info("read %d rows", 3)
        get_logger("mine").debug("too much")
        logging.getLogger("other").error("of others")
    assert [(row.flow_run_id, row.task_run_id, row.level, row.name, row.message) for row in lines.rows] == [
        ("run", "extract", "INFO", "prefectlite.extract", "read 3 rows")
    ]


def test_nothing_is_left_behind(lines: Lines) -> None:
    before = [(logger.level, list(logger.handlers)) for logger in (get_logger(), logging.getLogger("other"))]
    for settings in (Settings(), Settings(log_level="DEBUG", extra_loggers=("other",), log_attributes=("a",))):
        with logging_installed(settings), lines.running():
            get_logger().warning("inside")
    assert [(logger.level, list(logger.handlers)) for logger in (get_logger(), logging.getLogger("other"))] == before
    with lines.running():
        get_logger().warning("outside")
    assert lines.messages == ["inside", "inside"]


def test_two_sessions_do_not_log_twice(lines: Lines) -> None:
    with logging_installed(Settings()):
        with logging_installed(Settings(extra_loggers=("other", "other.inner", "prefectlite.mine"))), lines.running():
            for name in ("prefectlite.mine", "other", "other.inner"):
                logging.getLogger(name).warning(name)
        with lines.running():
            get_logger().warning("still here")
            logging.getLogger("other").warning("not any more")
    assert lines.messages == ["prefectlite.mine", "other", "other.inner", "still here"]


def test_records_say_in_which_run_they_were_made(lines: Lines, keeping: Keeping) -> None:
    with logging_installed(Settings(log_attributes=("region", "absent", "name", "task_run_count"))):
        get_logger("a").warning("outside")
        with lines.running(region="north", task_run_count=""):
            get_logger("b").warning("inside", extra={"task_slug": "my own"})
    outside, inside = ({name: vars(record).get(name, "-") for name in NAMES} for record in keeping.records)
    nothing = dict.fromkeys(("flow_name", "flow_run_id", "task_name", "task_slug", "task_run_id"), "-")
    assert outside == nothing | {"region": None, "absent": None, "task_run_count": None, "name": "prefectlite.a"}
    assert inside == {
        "flow_name": "daily",
        "flow_run_id": "run",
        "task_name": "extract",
        "task_slug": "my own",
        "task_run_id": "extract",
        "region": "north",
        "absent": None,
        "task_run_count": "",
        "name": "prefectlite.b",
    }


NAMES = ("flow_name", "flow_run_id", "task_name", "task_slug", "task_run_id", "region", "absent", "task_run_count", "name")


def test_loggers_of_others_have_part_in_it(lines: Lines) -> None:
    other = logging.getLogger("other")
    with logging_installed(Settings(extra_loggers=("other",))), lines.running():
        other.info("of others")
        logging.getLogger("other.inner").info("below it")
        other.debug("too much")
    assert [(row.name, row.message) for row in lines.rows] == [("other", "of others"), ("other.inner", "below it")]
    assert other.level == logging.NOTSET


def test_levels_can_be_changed_at_any_time(lines: Lines) -> None:
    logger = get_logger("extract")
    with logging_installed(Settings(log_level="WARNING")), lines.running():
        context.logger.info("one")
        get_logger().setLevel("DEBUG")
        context.logger.debug("two")
        logger.setLevel("ERROR")
        context.logger.warning("three")
        context.logger.error("four")
    assert lines.messages == ["two", "four"]
    assert get_logger().level == logging.DEBUG  # somebody wanted it so
    with logging_installed(Settings()), lines.running("load"):
        context.logger.debug("five")
    assert lines.messages[2:] == ["five"]
    for changed in (logger, get_logger()):
        changed.setLevel(logging.NOTSET)


@pytest.mark.usefixtures("installed")
def test_what_the_engine_says_of_states_is_not_stored(lines: Lines, keeping: Keeping) -> None:
    with lines.running():
        get_logger("TaskRunner").info("Task 'x': Starting task run...")
        get_logger("FlowRunner").info("Beginning Flow run for 'x'")
        get_logger("TaskRunner").error("Exception encountered")
    assert lines.messages == ["Exception encountered"]
    assert len(keeping.records) == 3


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("message", "arguments", "expected"),
    [
        ("%d rows", ("x",), "«unformattable» '%d rows' with str"),
        ("%s %s", (1,), "«unformattable» '%s %s' with int"),
        ("none", (1, "a"), "«unformattable» 'none' with int, str"),
        ("%s", (Unprintable(),), "«unformattable» '%s' with Unprintable"),
        (Unprintable(), (), "«unformattable» Unprintable with nothing"),
        ("%(a)d", ({"a": "x"},), "«unformattable» '%(a)d' with dict"),
        ("nul \x00", (), "nul ␀"),
        ("lone \udcff", (), "lone \\udcff"),
        ("%s", ("é",), "é"),
    ],
)
def test_no_line_is_lost(
    lines: Lines, message: Any, arguments: tuple[Any, ...], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = get_logger("alone")
    monkeypatch.setattr(get_logger(), "propagate", False)  # pytest's own handler would raise
    with lines.running():
        logger.warning(message, *arguments)
    assert lines.messages == [expected]


@pytest.mark.usefixtures("installed")
def test_the_traceback_is_part_of_the_message(lines: Lines) -> None:
    with lines.running():
        try:
            raise ValueError("no")
        except ValueError:
            context.logger.exception("failed")
    assert lines.messages[0].startswith("failed\nTraceback (most recent call last):")
    assert lines.messages[0].endswith("ValueError: no")


@pytest.mark.usefixtures("installed")
def test_a_huge_message_is_cut(lines: Lines) -> None:
    with lines.running():
        context.logger.info("x" * (MOST_OF_A_MESSAGE + 3))
    assert {len(message) for message in lines.messages[:-1]} == {MOST_OF_A_LINE}
    assert len(lines.messages) == MOST_OF_A_MESSAGE // MOST_OF_A_LINE + 1
    assert lines.messages[-1] == "«3 bytes more of this message are not in the log»"


SCRIPT = """
import logging, sys
from prefectlite import Flow, context, task

@task(log_stdout=True)
def speak():
    print("printed")
    context.logger.info("told %s", context.task_slug)
    context.logger.debug("whispered")
    logging.getLogger("other").info("of others")
    print("to stderr", file=sys.stderr)

with Flow("lines") as flow:
    speak()
flow.run()
"""


def output(tmp_path: Path, **environ: str) -> tuple[str, list[str]]:
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    variables = {f"PREFECTLITE_{name}": value for name, value in environ.items()}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=True, env={**ENVIRON, **variables}
    )
    return done.stdout, done.stderr.splitlines()


ENVIRON = {
    "PREFECTLITE_DATABASE_URL": "sqlite://:memory:",
    "PREFECTLITE_CONFIG": "none.toml",
    "PYTHONPATH": ":".join(sys.path),
}


def test_the_console_shows_what_is_logged_in_the_format_of_the_settings(tmp_path: Path) -> None:
    stdout, stderr = output(tmp_path, LOG_FORMAT="%(levelname)s %(name)s %(message)s", EXTRA_LOGGERS="other")
    assert stdout == "printed\n"
    assert stderr == ["INFO prefectlite.speak told speak-1", "INFO other of others", "to stderr"]


def test_the_console_has_prefects_format_unless_told_otherwise(tmp_path: Path) -> None:
    _, stderr = output(tmp_path, LOG_DATEFMT="%Y")
    assert stderr[0].endswith("] INFO - prefectlite.speak | told speak-1")
    assert stderr[0].startswith("[2")


def test_the_console_shows_everything_to_those_who_look_for_bugs(tmp_path: Path) -> None:
    _, stderr = output(tmp_path, LOG_FORMAT="%(message)s", LOG_LEVEL="DEBUG")
    assert "Beginning Flow run for 'lines'" in stderr
    assert "whispered" in stderr
    assert "printed" not in stderr
    assert output(tmp_path, LOG_LEVEL="WARNING")[1] == ["to stderr"]


def test_even_the_root_logger_can_have_part_in_it(tmp_path: Path) -> None:
    _, stderr = output(tmp_path, LOG_FORMAT="%(message)s", EXTRA_LOGGERS="root,other")
    assert stderr == ["told speak-1", "of others", "to stderr"]


def test_no_line_steers_the_terminal_or_looks_like_another(tmp_path: Path) -> None:
    hostile = SCRIPT.replace('"told %s"', r'"\x1b[31mred\rover\n[2030-01-01 00:00:00+0000] INFO - root | %s"')
    (tmp_path / "hostile").mkdir()
    (tmp_path / "hostile" / "script.py").write_text(hostile, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path / "hostile", capture_output=True, text=True, check=True, env=ENVIRON
    )
    first, second, *_ = done.stderr.splitlines()
    assert first.endswith("INFO - prefectlite.speak | \\x1b[31mred")
    assert (second, done.stderr.splitlines()[2]) == ("  over", "  [2030-01-01 00:00:00+0000] INFO - root | speak-1")


def test_an_application_with_handlers_of_its_own_gets_no_console(lines: Lines, capsys: pytest.CaptureFixture[str]) -> None:
    own = logging.StreamHandler(io.StringIO())
    get_logger().addHandler(own)
    try:
        with logging_installed(Settings()), lines.running():
            context.logger.warning("once")
    finally:
        get_logger().removeHandler(own)
    assert own.stream.getvalue() == "once\n"
    assert capsys.readouterr().err == ""
