from __future__ import annotations

import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from uuid import RFC_4122, UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefectlite import ids
from prefectlite.ids import is_id, new_id


def milliseconds(text: str) -> int:
    return UUID(text).int >> 80


def test_is_a_uuid_of_version_7() -> None:
    for text in (new_id() for _ in range(500)):
        assert len(text) == 36
        assert str(UUID(text)) == text
        assert UUID(text).version == 7
        assert UUID(text).variant == RFC_4122


def test_grows_even_within_a_millisecond() -> None:
    made = [new_id() for _ in range(20_000)]
    assert made == sorted(set(made))
    assert len({milliseconds(text) for text in made}) < len(made)


def test_begins_with_the_time() -> None:
    before = time.time_ns() // 1_000_000
    stamp = milliseconds(new_id())
    assert before <= stamp <= time.time_ns() // 1_000_000 + 1


def test_grows_when_the_wall_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first = new_id()
    monkeypatch.setattr(ids.time, "time_ns", lambda: 1_000_000_000)
    later = [new_id() for _ in range(100)]
    assert [first, *later] == sorted({first, *later})


@settings(deadline=None)
@given(micros=st.integers(0, 2**47 * 1000 - 1), noise=st.integers(0, 2**64 - 1))
def test_is_valid_at_any_time_with_any_noise(micros: int, noise: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ids.time, "time_ns", lambda: micros * 1000)
        patch.setattr(ids._dice, "getrandbits", lambda bits: noise % 2**bits)
        patch.setattr(ids, "_latest", (-1, "", iter([])))
        first, second = new_id(), new_id()
    assert first < second
    assert milliseconds(first) == micros // 1000
    for text in (first, second):
        assert UUID(text).version == 7
        assert UUID(text).variant == RFC_4122


def test_a_counter_that_began_at_its_highest_has_room_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    year_2100 = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp() * 1000)
    monkeypatch.setattr(ids.time, "time_ns", lambda: year_2100 * 1_000_000)
    monkeypatch.setattr(ids._dice, "getrandbits", lambda bits: 2**bits - 1)
    made = [new_id() for _ in range(3)]
    assert made == sorted(set(made))
    for text in made:
        assert milliseconds(text) == year_2100
        assert UUID(text).version == 7
        assert UUID(text).variant == RFC_4122


def test_threads_never_get_the_same() -> None:
    made: list[list[str]] = [[] for _ in range(4)]
    go = threading.Barrier(4)

    def work(into: list[str]) -> None:
        go.wait()
        into.extend(new_id() for _ in range(5_000))

    threads = [threading.Thread(target=work, args=(into,)) for into in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(each == sorted(each) for each in made)
    assert len({text for each in made for text in each}) == 20_000


FORKING = """
import os
from prefectlite import ids

ids.time.time_ns = lambda: 1_000_000_000  # the clock stands, so ids are told apart by the counter alone
ids.new_id()
ids._lock.acquire()  # another thread is making an id while this one forks
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    os.write(writer, ids.new_id().encode())
    os._exit(0)
ids._lock.release()
theirs = os.read(reader, 36).decode()
os.waitpid(child, 0)
assert ids.new_id() != theirs
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_child_counts_by_itself() -> None:
    done = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr


def test_is_id_knows_ours_and_others() -> None:
    assert is_id(new_id())
    assert is_id(str(uuid4()))
    assert is_id(new_id().upper())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "0" * 32,  # a UUID, but not in its canonical form
        "{00000000-0000-7000-8000-000000000000}",
        "urn:uuid:00000000-0000-7000-8000-000000000000",
        " 00000000-0000-7000-8000-000000000000",
        "00000000-0000-7000-8000-00000000000",
        "00000000-0000-7000-8000-0000000000001",
        "0000000-00000-7000-8000-000000000000",
        "00000000-0000-7000-8000-00000000000g",
        "０0000000-0000-7000-8000-000000000000",  # noqa: RUF001 - a digit, but not one of ASCII's
        None,
        5,
        b"00000000-0000-7000-8000-000000000000",
    ],
)
def test_is_id_says_no(text: str) -> None:
    assert not is_id(text)
