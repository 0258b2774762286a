from __future__ import annotations

import asyncio
import contextvars
import io
import logging
import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefectlite import get_logger
from prefectlite.engine.printed import MOST_OF_A_LINE, MOST_OF_A_TASK, stdout_logged
from prefectlite.engine.run_logs import logging_installed
from prefectlite.settings import Settings
from tests.engine.log_lines import Lines


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    with logging_installed(Settings()):
        yield


@pytest.fixture
def lines() -> Lines:
    return Lines()


def test_each_line_is_logged_once_and_printed_all_the_same(lines: Lines, capsys: pytest.CaptureFixture[str]) -> None:
    print("before")
    with lines.running(), stdout_logged():
        print("a", 5, None, sep=", ")
        print("  two\nlines  ")
        print()
        print("   ")
        print("in ", end="")
        print("pieces", end="")
        print("!", flush=True)
        print("to stderr", file=sys.stderr)
        print("the last", end="")
    print("after")
    assert lines.messages == ["a, 5, None", "  two", "lines  ", "in pieces!", "the last"]
    assert {(row.level, row.name, row.task_run_id) for row in lines.rows} == {("INFO", "prefectlite.TaskRunner", "extract")}
    shown = capsys.readouterr()
    assert shown.out == "before\na, 5, None\n  two\nlines  \n\n   \nin pieces!\nthe lastafter\n"
    assert shown.err == "to stderr\n"


def test_standard_output_is_as_it_was() -> None:
    before = sys.stdout
    with stdout_logged():
        assert sys.stdout.isatty() == before.isatty()
        assert sys.stdout.encoding == before.encoding
        with stdout_logged():
            pass
        assert sys.stdout is not before
    assert sys.stdout is before


def test_only_text_can_be_written(lines: Lines) -> None:
    with lines.running(), stdout_logged(), pytest.raises(TypeError, match=r"^write\(\) argument must be str, not int$"):
        sys.stdout.write(5)  # type: ignore[arg-type]
    assert lines.messages == []


def test_several_lines_at_once(lines: Lines) -> None:
    with lines.running(), stdout_logged():
        sys.stdout.writelines(["one\n", "two\n", "th"])
        assert sys.stdout.write("ree\n") == 4
    assert lines.messages == ["one", "two", "three"]


def test_bytes(lines: Lines, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with lines.running(), stdout_logged():
        sys.stdout.buffer.write("é".encode()[:1])
        sys.stdout.buffer.write("é".encode()[1:] + b" \xff\n")
        sys.stdout.buffer.write(memoryview(b"\xf0\x9f"))
        sys.stdout.buffer.flush()
    assert lines.messages == ["é \\xff", "\\xf0\\x9f"]
    assert capfdbinary.readouterr().out == b"\xc3\xa9 \xff\n\xf0\x9f"


def test_characters_that_the_terminal_refuses(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", terminal)
    with lines.running(), stdout_logged():
        print("é \udcff")
    assert lines.messages == ["é \\udcff"]
    assert terminal.buffer.getvalue() == b"\\xe9 \\udcff\n"  # type: ignore[attr-defined]


def test_without_a_standard_output(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with lines.running(), stdout_logged():
        print("kept")
    assert lines.messages == ["kept"]
    assert sys.stdout is None


def test_concurrent_tasks_do_not_mix(lines: Lines) -> None:
    async def task(name: str) -> None:
        with lines.running(name), stdout_logged():
            for number in range(20):
                print(name, end=" ")
                await asyncio.sleep(0)
                print(number)

    def thread(name: str) -> None:
        with lines.running(name), stdout_logged():
            for number in range(200):
                print(name, number, sep=" ")

    async def all_of_them() -> None:
        threads = [asyncio.to_thread(thread, f"thread-{n}") for n in range(3)]
        await asyncio.gather(*[task(f"task-{n}") for n in range(5)], *threads)

    asyncio.run(all_of_them())
    for n in range(5):
        assert lines.of(f"task-{n}") == [f"task-{n} {number}" for number in range(20)]
    for n in range(3):
        assert lines.of(f"thread-{n}") == [f"thread-{n} {number}" for number in range(200)]


def test_threads_that_carry_the_context_belong_to_the_task(lines: Lines) -> None:
    with lines.running(), stdout_logged():
        carried = contextvars.copy_context()
        for target in (lambda: print("not mine"), lambda: carried.run(print, "mine")):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    assert lines.messages == ["mine"]
    carried.run(print, "a thread that goes on", end="")  # after the task has ended
    assert lines.messages == ["mine"]  # standard output is no longer ours


def test_a_task_that_ended_while_others_go_on_still_prints_its_own(lines: Lines) -> None:
    with stdout_logged():
        with lines.running("late"), stdout_logged():
            carried = contextvars.copy_context()
        carried.run(print, "still here", end="")
    assert lines.of("late") == ["still here"]


def test_a_huge_text_without_an_end(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with lines.running(), stdout_logged():
        piece = "x" * 10_000
        for _ in range(7):
            print(piece, end="")
        assert len(lines.rows) == 1  # it does not wait for the end
        print("y" * (MOST_OF_A_LINE * 2 + 5))
    rest = 70_000 - MOST_OF_A_LINE + 5
    assert [len(message) for message in lines.messages] == [MOST_OF_A_LINE] * 3 + [rest]


def test_more_than_the_log_takes(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with lines.running(), stdout_logged():
        print("x" * MOST_OF_A_TASK)
        print("é" * 100)
        for _ in range(1000):
            print("1234567890")
    assert sum(len(message) for message in lines.messages[:-1]) == MOST_OF_A_TASK
    assert lines.messages[-1] == "«10,200 bytes more were printed and are not in the log»"


def test_the_level_counts(lines: Lines) -> None:
    get_logger("TaskRunner").setLevel(logging.WARNING)
    with lines.running(), stdout_logged():
        print("quiet")
        get_logger("TaskRunner").setLevel(logging.NOTSET)
        print("loud")
    assert lines.messages == ["loud"]


def test_a_handler_that_prints_what_it_is_given(lines: Lines, capsys: pytest.CaptureFixture[str]) -> None:
    class Printing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            print("I heard:", record.getMessage())

    handler = Printing()
    get_logger().addHandler(handler)
    with lines.running(), stdout_logged():
        print("once")
    get_logger().removeHandler(handler)
    assert lines.messages == ["once"]
    assert "I heard: once\n" in capsys.readouterr().out


@settings(deadline=None)
@given(st.lists(st.text(st.sampled_from("ab \n\r\x00é\udcff"), max_size=12), max_size=12))
def test_pieces_make_the_lines_of_the_whole(pieces: list[str]) -> None:
    lines = Lines()
    outside, sys.stdout = sys.stdout, io.StringIO()
    try:
        with lines.running(), stdout_logged():
            for piece in pieces:
                print(piece, end="")
        assert sys.stdout.getvalue() == "".join(pieces)
    finally:
        sys.stdout = outside
    whole = "".join(pieces).replace("\x00", "␀").encode("utf-8", "backslashreplace").decode()
    assert lines.messages == [line for line in whole.split("\n") if line.strip()]
