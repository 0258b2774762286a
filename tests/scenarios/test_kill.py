"""`kill -9` at any moment: what the engine went on from is in the record, and a restarted server goes on from there."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.postgres_server import name_in
from tests.scenarios.processes import rows, serving, wait_until

#: Each task writes a line when it begins, outside the database: what the record must know by then is checked against it.
FLOW = """
import asyncio, os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from prefectlite import Flow, Parameter, context, signals, task, unmapped

JOURNAL = Path(__file__).with_name("journal.txt")

def journal(line):
    descriptor = os.open(JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, (line + "\\n").encode())
    os.close(descriptor)

@task
async def step(number, before=None):
    journal(f"step {number}")
    await asyncio.sleep(0.003)
    return number

@task
def child(number, offset):
    journal(f"child {number}")
    return number + offset

@task(max_retries=3, retry_delay=timedelta(seconds=0.1))
def flaky(number):
    journal(f"flaky {number}")
    if context.task_run_count < 3:
        raise ValueError("not yet")

@task
async def nap(number):
    journal(f"nap {number}")
    if not context.get("resume"):
        raise signals.PAUSE("a nap", start_time=datetime.now(UTC) + timedelta(seconds=0.15))

@task
def total(parts):
    return sum(parts)

with Flow("long") as flow:
    flaky.map([0, 1])
    nap.map([0, 1])
    last = None
    for number in range(60):
        last = step(number, last)
    total(child.map(list(range(50)), unmapped(last)))
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_killed_at_random_and_taken_up_again(
    tmp_path: Path,
    free_port: int,
    kill_seed: int,
    kind: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "long.py"
    file.write_text(FLOW)
    ask = partial(rows, tmp_path / "test.sqlite")
    if kind == "postgres":
        url = request.getfixturevalue("postgres_url")
        monkeypatch.setenv("PREFECTLITE_DATABASE_URL", url)
        ask = partial(request.getfixturevalue("postgres_server").ask, database=name_in(url))
    dice = random.Random(kill_seed)
    with serving(str(file), port=free_port, cwd=tmp_path) as server:
        run_id = server.start("long")
        time.sleep(dice.uniform(0.05, 0.45))
        server.process.send_signal(signal.SIGKILL)
        server.process.communicate()
    begun = _journal(tmp_path)
    if kind == "sqlite":
        assert ask("PRAGMA integrity_check") == [("ok",)]
    finished = _finished(ask)
    for line in begun:
        kind, number = line.split()
        before = [f"step {int(number) - 1}"] if kind == "step" and number != "0" else []
        if kind == "child":
            before = [f"step {n}" for n in range(60)]
        assert finished.issuperset(before), "a task begins when what it waits for is committed, result and all"
    with serving(str(file), port=free_port, cwd=tmp_path) as server:
        wait_until(lambda: server.state(run_id) == "Success")
    again = _journal(tmp_path)[len(begun) :]
    assert not [line for line in again if line in finished], "what was finished is not run again"
    expected = {"step": 60, "child": 50, "flaky": 2, "nap": 2}
    assert {*begun, *again} == {f"{kind} {number}" for kind, count in expected.items() for number in range(count)}


def _journal(directory: Path) -> list[str]:
    file = directory / "journal.txt"
    return file.read_text().splitlines() if file.exists() else []


def _finished(ask: Callable[[str], list[Any]]) -> set[str]:
    found = ask("SELECT t.slug, r.map_index FROM task_run r JOIN task t ON t.id = r.task_id WHERE r.state = 'Success'")
    lines = set()
    for slug, index in found:
        name, number = slug.rsplit("-", 1)
        if name == "step":
            lines.add(f"step {int(number) - 1}")
        elif name in ("child", "flaky", "nap") and index >= 0:
            lines.add(f"{name} {index}")
    return lines
