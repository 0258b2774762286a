"""Two servers and four agents on one PostgreSQL, a schedule every second, and a kill of each kind in the midst."""

from __future__ import annotations

import contextlib
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.postgres_server import PostgresServer, name_in
from tests.scenarios.processes import agent, prefectlite, serving, wait_until

FLOWS = """
import asyncio
from datetime import UTC, datetime, timedelta
from prefectlite import Flow, task
from prefectlite.schedules import Schedule
from prefectlite.schedules.clocks import DatesClock

@task
async def first():
    await asyncio.sleep(0.3)

@task
def second(upstream):
    pass

start = datetime.fromtimestamp({start}, UTC)
every_second = Schedule(clocks=[DatesClock([start + timedelta(seconds=n) for n in range({seconds})])])
with Flow("one", schedule=every_second) as one:
    second(first())
with Flow("two", schedule=every_second) as two:
    second(first())
with Flow("three", schedule=every_second) as three:
    second(first())
"""
FLOW_COUNT = 3
SETTINGS = {"PREFECTLITE_AGENT_SILENCE": "1.5", "PREFECTLITE_GRACE_PERIOD": "0.2", "PREFECTLITE_AGENT": "false"}


@pytest.fixture
def seconds(request: pytest.FixtureRequest) -> int:
    return 180 if request.config.getoption("--long") else 12


def test_each_event_is_one_run(
    tmp_path: Path, ports: list[int], postgres_server: PostgresServer, postgres_url: str, seconds: int
) -> None:
    around = {**SETTINGS, "PREFECTLITE_DATABASE_URL": postgres_url}
    started = time.monotonic()

    def ask(sql: str) -> list[Any]:
        return postgres_server.ask(sql, name_in(postgres_url))

    with contextlib.ExitStack() as stack:
        kept = stack.enter_context(serving(port=ports[0], cwd=tmp_path, **around))
        doomed = stack.enter_context(serving(port=ports[1], cwd=tmp_path, **around))
        agents = [
            stack.enter_context(agent(url=server.url, cwd=tmp_path, **SETTINGS)) for server in (kept, kept, doomed, doomed)
        ]
        begin = int(time.time()) + 8
        (tmp_path / "flows.py").write_text(FLOWS.format(start=begin, seconds=seconds))
        done = prefectlite(*("register", "--api", kept.url, "--project", "p", "--path", "flows.py"), cwd=tmp_path, **around)
        assert done.returncode == 0, done.stdout + done.stderr
        registered = time.time()  # which takes its time where others are at work
        wait_until(lambda: time.time() > begin + seconds / 3, seconds + 10)
        agents[0].send_signal(signal.SIGKILL)
        wait_until(lambda: time.time() > begin + seconds / 2, seconds)
        doomed.process.send_signal(signal.SIGKILL)
        wait_until(lambda: time.time() > begin + seconds, seconds)
        last = f"SELECT count(*) FROM flow_run WHERE scheduled_start_time = {(begin + seconds - 1) * 1_000_000}"
        unfinished = "SELECT id, state, owner, state_message FROM flow_run WHERE state <> 'Success'"
        with contextlib.suppress(AssertionError):
            wait_until(lambda: ask(last)[0][0] == FLOW_COUNT and ask(unfinished) == [])
        assert ask(unfinished) == []
    runs = ask("SELECT flow_id, scheduled_start_time, id FROM flow_run ORDER BY 1, 2")
    times: dict[str, list[int]] = {}
    for flow_id, moment, _ in runs:
        times.setdefault(flow_id, []).append(moment)
    assert len(times) == FLOW_COUNT
    expected = [(begin + second) * 1_000_000 for second in range(seconds) if begin + second > registered + 1]
    assert len(expected) > seconds / 2, "registering took so long that there is hardly anything to see"
    for moments in times.values():
        assert moments[-len(expected) :] == expected  # no second without a run
        assert len(set(moments)) == len(moments)  # and none with two
    successes = ask("SELECT flow_run_id, count(*) FROM flow_run_state WHERE state = 'Success' GROUP BY 1")
    assert sorted(successes) == sorted((run_id, 1) for _, _, run_id in runs)
    twice = "SELECT task_run_id FROM task_run_state WHERE state = 'Success' GROUP BY 1 HAVING count(*) > 1"
    assert ask(twice) == []
    print(f"{len(runs)} runs in {time.monotonic() - started:.0f} s")
