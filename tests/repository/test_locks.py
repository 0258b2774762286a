from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefectlite.repository.locks import FileLock

PATIENCE = 10


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.lock"


@pytest.fixture
def lock(path: Path) -> Iterator[FileLock]:
    lock = FileLock(path)
    yield lock
    lock.close()


@pytest.fixture
def other(path: Path) -> Iterator[FileLock]:
    """Another lock on the same file, as another process would have it."""
    other = FileLock(path)
    yield other
    other.close()


def child(code: str, path: Path) -> subprocess.Popen[str]:
    """A process that runs `code` with a FileLock class and the path at hand, up to its first line of output."""
    text = f"import os, sys, time\nfrom pathlib import Path\nfrom prefectlite.repository.locks import FileLock\n{code}"
    process = subprocess.Popen(
        [sys.executable, "-c", text, str(path)], stdin=-1, stdout=-1, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


HOLD = "lock = FileLock(Path(sys.argv[1]))\nassert lock.try_acquire()\nprint('ready', flush=True)\nsys.stdin.read()\n"


def test_one_holds_it(lock: FileLock, other: FileLock) -> None:
    assert lock.try_acquire()
    assert not other.try_acquire()
    lock.close()
    assert other.try_acquire()


def test_a_block_holds_it(lock: FileLock, other: FileLock) -> None:
    with lock as held:
        assert held is lock
        assert not other.try_acquire()
    assert other.try_acquire()


def test_a_block_that_raises_lets_go(lock: FileLock, other: FileLock) -> None:
    with pytest.raises(ZeroDivisionError), lock:
        raise ZeroDivisionError
    assert other.try_acquire()


def test_a_block_waits_for_its_turn(lock: FileLock, other: FileLock) -> None:
    order: list[str] = []
    entering = threading.Event()

    def second() -> None:
        entering.set()
        with other:
            order.append("second")

    thread = threading.Thread(target=second)
    with lock:
        thread.start()
        assert entering.wait(PATIENCE)
        thread.join(0.02)  # long enough for it to go wrong
        order.append("first")
    thread.join(PATIENCE)
    assert order == ["first", "second"]


def test_the_file_stays_and_is_the_users_own(lock: FileLock, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lock.close()
    assert path.exists()
    assert path.read_bytes() == b""


def test_what_is_in_the_file_is_left_alone(path: Path) -> None:
    path.write_text("hello")
    lock = FileLock(path)
    with lock:
        assert path.read_text() == "hello"
    lock.close()


def test_closing_twice(lock: FileLock) -> None:
    lock.close()
    lock.close()
    with pytest.raises(ValueError, match="file descriptor"), lock:
        pass


def test_a_place_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileLock(tmp_path / "nowhere" / "file.lock")
    with pytest.raises(IsADirectoryError):
        FileLock(tmp_path)


def test_processes_exclude_each_other(lock: FileLock, path: Path) -> None:
    with child(HOLD, path) as process:
        assert not lock.try_acquire()
        process.communicate("")
    assert process.returncode == 0
    assert lock.try_acquire()


def test_a_process_that_is_killed_lets_go(lock: FileLock, path: Path) -> None:
    with child(HOLD, path) as process:
        assert not lock.try_acquire()
        process.kill()
        process.wait(PATIENCE)
    assert lock.try_acquire()


SPAWNING = (
    "import subprocess\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], stdin=-3, stdout=-3)\n"
)
FORKING = """
reader, writer = os.pipe()
if not os.fork():
    os.close(0), os.close(1), os.write(writer, b"x"), time.sleep(60)
    os._exit(0)
os.read(reader, 1)  # the child is on its way
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize("starting", [SPAWNING, FORKING], ids=["spawned", "forked"])
def test_what_a_dead_process_started_does_not_hold_it(lock: FileLock, path: Path, starting: str) -> None:
    with child(HOLD.replace("print(", f"{starting}print("), path) as process:
        assert not lock.try_acquire()
        process.kill()
        process.wait(PATIENCE)
        free = lock.try_acquire()
        os.killpg(process.pid, signal.SIGKILL)  # what it started is still there
    assert free


def test_the_parent_keeps_it_when_it_forks(lock: FileLock, path: Path) -> None:
    quick = HOLD.replace("print(", "if not os.fork():\n    os._exit(0)\nos.wait()\nprint(")
    with child(quick, path) as process:
        assert not lock.try_acquire()
        process.communicate("")
