"""The record itself: the door and its writer beside the same rows by hand, PostgreSQL, and going on with a long run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from prefectlite.ids import new_id
from prefectlite.records import record_state
from prefectlite.repository.sqlite_schema import make_schema
from prefectlite.results import codec
from prefectlite.rules.proposals import Accept, FlowRunProposal, TaskRunProposal
from prefectlite.session import Session, open_session
from prefectlite.settings import Settings
from prefectlite.states import Running, State, Success
from tests.benchmarks import by_hand
from tests.benchmarks.figures import Figure, timed, times
from tests.benchmarks.in_process import CHAIN, FAN, _chain, _fan, async_no_op, seconds_of
from tests.postgres_server import PostgresServer

_OF_A_RUN = {
    "task_run": "flow_run_id = $1",
    "task_run_state": "task_run_id IN (SELECT id FROM task_run WHERE flow_run_id = $1)",
    "result": "task_run_id IN (SELECT id FROM task_run WHERE flow_run_id = $1)",
}
_LONG = f"""
import os, time
from pathlib import Path
from prefectlite import Flow, task

@task
async def child(number):
    return number

@task
async def last(children):
    Path(__file__).with_name("begun").write_text(str(time.time()))
    if Path(__file__).with_name("killed").exists():
        os.kill(os.getpid(), 9)

with Flow("long") as flow:
    last(child.map(list(range({FAN}))))
"""


def door_and_writer(directory: Path) -> list[Figure]:
    """What a fan-out proposes, put to the door at once; and the rows it makes of that, in one `executemany` per table."""
    url = f"sqlite:///{directory}/door.sqlite"
    seconds, rows = asyncio.run(_through_the_door(url))
    by_hand = min(_executemany(rows, directory / f"rows_{n}.sqlite") for n in range(3))
    cost, bare = seconds / FAN * 1e6, by_hand / FAN * 1e6
    return [Figure("door and writer, per task of a fan-out", cost, "µs", "≤ 4 ×", times(cost, bare, "executemany"))]


async def _through_the_door(url: str) -> tuple[float, dict[str, list[tuple[Any, ...]]]]:
    flow = _fan(async_no_op, 2)
    best = float("inf")
    async with open_session(Settings(database_url=url)) as session:
        for _ in range(3):
            run, row = await session.create(flow, {})
            started = FlowRunProposal(run.id, _record(session, Running()), claim=session.owner.id)
            verdict = await session.orchestrator.propose(started)
            assert isinstance(verdict, Accept)
            assert verdict.lease is not None
            proposals = _proposals(session, run.id, row.task_ids["async_no_op-1"], verdict.lease)
            with timed() as watch:
                for running, ended in proposals:
                    session.orchestrator.note(running)
                    answer = session.orchestrator.propose(ended)
                await answer
            best = min(best, watch.seconds)
        rows = {}
        for table, condition in _OF_A_RUN.items():
            rows[table] = await session.database.read(f"SELECT * FROM {table} WHERE {condition}", (run.id,))
    assert [len(rows[table]) for table in rows] == [FAN, 2 * FAN, FAN]
    return best, rows


def _proposals(session: Session, run_id: str, task_id: str, lease: int) -> list[tuple[TaskRunProposal, TaskRunProposal]]:
    found = []
    for index in range(FAN):
        place = (new_id(), run_id, task_id, index)
        ended = _record(session, Success("Task run succeeded.", index))
        running = TaskRunProposal(*place, _record(session, Running("Starting task run.")), 0, lease)
        found.append((running, TaskRunProposal(*place, ended, 1, lease, None, codec.encode(index, 1_000_000))))
    return found


def _record(session: Session, state: State) -> Any:
    return record_state(state, new_id(), session.clock.micros())


def _executemany(rows: dict[str, list[tuple[Any, ...]]], file: Path) -> float:
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        make_schema(connection)
        connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=OFF;")
        with timed() as watch:
            connection.execute("BEGIN")
            for table, content in rows.items():
                places = ", ".join("?" * len(content[0]))
                connection.executemany(f"INSERT INTO {table} VALUES ({places})", content)
            connection.execute("COMMIT")
    return watch.seconds


def on_postgres(directory: Path) -> list[Figure]:
    """Chain and fan-out, recorded in PostgreSQL on this machine."""

    with PostgresServer() as server:
        url = server.url_of(server.new_database())
        chain = asyncio.run(seconds_of(_chain(async_no_op), url, 3)) / CHAIN * 1e6
        with timed() as watch:
            asyncio.run(by_hand.recorded_on_postgres(async_no_op.run, CHAIN, server.url_of(server.new_database())))
        fan = asyncio.run(seconds_of(_fan(async_no_op), url, 3)) / FAN * 1e6
    compared = times(chain, watch.per(CHAIN), "by hand")
    return [
        Figure(f"chain of {CHAIN:,}, async, per task, PostgreSQL", chain, "µs", "≤ 1,500 µs", compared),
        Figure(f"fan-out of {FAN:,}, async, per task, PostgreSQL", fan, "µs", "≤ 250 µs"),
    ]


def resume(directory: Path) -> list[Figure]:
    """From the start of a process to the first task that a run with many finished children has left to do."""
    file, killed, begun = directory / "long.py", directory / "killed", directory / "begun"
    file.write_text(_LONG)
    environment = {**os.environ, "PREFECTLITE_DATABASE_URL": f"sqlite:///{directory}/resume.sqlite"}
    command = [sys.executable, "-m", "prefectlite", "run", str(file), "--plain"]
    best = float("inf")
    for _ in range(3):
        killed.touch()
        first = subprocess.run(command, env=environment, check=False, stdout=subprocess.DEVNULL)
        assert first.returncode == -signal.SIGKILL
        killed.unlink()
        now = time.time()
        subprocess.run([*command, "--resume"], env=environment, check=True, stdout=subprocess.DEVNULL)
        best = min(best, float(begun.read_text()) - now)
    return [Figure(f"resume of a run with {FAN:,} finished children", best, "s", "≤ 2 s")]


ALL = [door_and_writer, on_postgres, resume]
