"""Four processes, one of them a server, write to one SQLite file at once: nobody notices the others."""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import pytest

from tests.scenarios.processes import PATIENCE, can_trace, rows, serving, wait_until

#: A flow, and, as a script, so many runs of it, three at a time, that begin when the gate opens.
FLOW = """
import asyncio, json, sys, time
from pathlib import Path
from prefectlite import Flow, Parameter, context, task

@task
async def step(number, before=None):
    await asyncio.sleep(0)
    return number

@task
def child(number):
    context.logger.info("child %s", number)
    return number * 2

@task
async def grandchild(number):
    await asyncio.sleep(0.002)
    return number + 1

@task
def total(last, parts):
    return last + sum(parts)

with Flow("hammer") as flow:
    last = None
    for number in range(10):
        last = step(number, last)
    result = total(last, grandchild.map(child.map(list(range(25)))))

async def main(rounds):
    print("ready", flush=True)
    while not Path(__file__).with_name("gate").exists():
        await asyncio.sleep(0.01)
    for _ in range(rounds):
        for run in await asyncio.gather(*(flow.run() for _ in range(3))):
            print(json.dumps([run.id, run.state.name, run[result]]), flush=True)

if __name__ == "__main__":
    flow.name = "script"  # not the one that the server runs
    asyncio.run(main(int(sys.argv[1])))
"""
ANSWER = 9 + sum(2 * number + 1 for number in range(25))
#: Task runs of one run of it (the children, the two tasks that became children, and the others), and lines of its log.
TASK_RUNS, LINES = 10 + 2 * 25 + 2 + 1, 25
SCRIPTS = 3


@contextlib.contextmanager
def hammering(
    directory: Path, port: int, rounds: int, served: int, prefix: Sequence[str] = ()
) -> Iterator[tuple[list[str], Callable[[], bool]]]:
    """A server that has `served` runs to do and three scripts, all at work, and whether they still are. After the block: the
    ids of all runs, which have ended well without a word about it.
    """
    file = directory / "hammer.py"
    file.write_text(FLOW)
    command = [*prefix, sys.executable, str(file), str(rounds)]
    run_ids: list[str] = []
    with contextlib.ExitStack() as stack:
        scripts = [
            stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
            for _ in range(SCRIPTS)
        ]
        for script in scripts:
            stack.callback(script.kill)
        server = stack.enter_context(serving(str(file), port=port, cwd=directory, prefix=prefix))
        run_ids.append(server.start("hammer"))
        for script in scripts:
            assert script.stdout is not None
            assert script.stdout.readline() == "ready\n"
        (directory / "gate").touch()
        asking = stack.enter_context(ThreadPoolExecutor(1))
        asked = asking.submit(lambda: [server.start("hammer") for _ in range(served - 1)])
        yield run_ids, lambda: any(script.poll() is None for script in scripts)
        run_ids += asked.result()
        wait_until(lambda: all(server.state(run_id) == "Success" for run_id in run_ids))
        for script in scripts:
            output, errors = script.communicate(timeout=PATIENCE)
            ended = [json.loads(line) for line in output.splitlines()]
            assert [end[1:] for end in ended] == [["Success", ANSWER]] * (3 * rounds), errors
            assert not _complaints(errors)
            run_ids += [end[0] for end in ended]
        code, output = server.stop()
        assert code == 0, output
        assert not _complaints(output)


def _complaints(output: str) -> list[str]:
    return [line for line in output.splitlines() if re.search("WARNING|ERROR|Traceback|locked|busy", line)]


def check_record(database: Path, run_ids: list[str]) -> None:
    """Everything is there: every run and task, every state, every line of the logs."""
    assert rows(database, "PRAGMA integrity_check") == [("ok",)]
    assert sorted(rows(database, "SELECT id, state FROM flow_run")) == sorted((run_id, "Success") for run_id in run_ids)
    tasks = "SELECT count(*), count(*) FILTER (WHERE state IN ('Success', 'Mapped')) FROM task_run GROUP BY flow_run_id"
    assert rows(database, tasks) == [(TASK_RUNS, TASK_RUNS)] * len(run_ids)
    lines = "SELECT count(*), count(DISTINCT message) FROM log GROUP BY flow_run_id"
    assert rows(database, lines) == [(LINES, LINES)] * len(run_ids)
    for kind in ("flow_run", "task_run"):
        current = dict(
            map(itemgetter(0, slice(1, None)), rows(database, f"SELECT id, version, state, state_id FROM {kind}"))
        )
        history = rows(database, f"SELECT {kind}_id, version, state, id FROM {kind}_state ORDER BY {kind}_id, seq")
        assert {run_id for run_id, *_ in history} == set(current)
        for run_id, moves in groupby(history, key=itemgetter(0)):
            states = list(moves)
            assert [version for _, version, *_ in states] == list(range(1, len(states) + 1)), "no gaps, in order of commits"
            assert states[-1][1:] == current[run_id], "it replays to the current row"
            names = [name for _, _, name, _ in states]
            assert names[-2:] == ["Running", "Success"] or names == ["Mapped"], names
    numbers = "SELECT seq FROM flow_run_state UNION ALL SELECT seq FROM task_run_state UNION ALL SELECT seq FROM log"
    given = rows(database, numbers)
    assert len(set(given)) == len(given), "a number is given once"


def _contents(database: Path) -> list[tuple[int, int]]:
    """What the file and its journal hold, in short."""
    held = []
    for path in (database, database.with_name(database.name + "-wal")):
        content = path.read_bytes() if path.exists() else b""
        held.append((len(content), zlib.crc32(content)))
    return held


def test_who_has_the_lock_has_the_file_for_itself(tmp_path: Path, free_port: int) -> None:
    database = tmp_path / "test.sqlite"
    changes = 0
    with (
        hammering(tmp_path, free_port, rounds=3, served=8) as (run_ids, at_work),
        Path(f"{database}.lock").open("rb") as lock,
    ):
        found = _contents(database)
        while at_work():
            fcntl.flock(lock, fcntl.LOCK_EX)
            before, found = found, _contents(database)
            time.sleep(0.01)  # the others' time to do what they may not
            assert _contents(database) == found, "somebody wrote without having the lock"
            fcntl.flock(lock, fcntl.LOCK_UN)
            changes += found != before
            time.sleep(0.005)
    assert changes > 3
    check_record(database, run_ids)


CHANGES = "write,pwrite64,pwritev,fsync,fdatasync,ftruncate,rename,unlink"
_CALL = re.compile(r"(?P<call>\w+)\((?:\d+<|\")(?P<path>[^>\"]*)(?P<rest>.*)")


@pytest.mark.skipif(not can_trace(), reason="strace is not here to tell who writes what")
def test_whoever_writes_or_checkpoints_has_the_lock(tmp_path: Path, free_port: int) -> None:
    """Of all that any thread does to the file and its journal, from the first byte to their removal at the very end."""
    database, traces = tmp_path / "test.sqlite", tmp_path / "traces"
    traces.mkdir()
    watch = ["strace", "-D", "-ff", "--seccomp-bpf", "-qq", "-y", "-s", "0", "-e", f"trace=flock,{CHANGES}"]
    with hammering(tmp_path, free_port, rounds=1, served=3, prefix=[*watch, "-o", f"{traces}/thread"]) as (run_ids, _):
        pass
    check_record(database, run_ids)
    made = [changes for trace in traces.iterdir() if (changes := changes_under_lock(trace, database))]
    assert len(made) == 1 + SCRIPTS, "each process has one thread that writes"


def changes_under_lock(trace: Path, database: Path) -> int:
    """How often a thread changed the database's files, which it did with the lock in its hand only."""
    has_lock, changes = False, 0
    files = {str(database), f"{database}-wal", f"{database}-journal"}
    for line in trace.read_text().splitlines():
        call = _CALL.match(line)
        if call is None:
            continue
        if call["call"] == "flock" and call["path"] == f"{database}.lock":
            has_lock = "LOCK_EX" in call["rest"] and call["rest"].endswith("= 0")
        elif call["path"] in files:
            assert has_lock, line
            changes += 1
    return changes
