"""How late runs begin that schedules ask for: one at a time, ten at once, and a thousand in the same second."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from prefectlite import Flow, Runtime, task
from prefectlite.clock import to_micros
from prefectlite.schedules import Schedule
from prefectlite.schedules.clocks import DatesClock, IntervalClock
from tests.benchmarks.figures import Figure
from tests.benchmarks.subscribers import _serving
from tests.postgres_server import PostgresServer

MANY, TRIALS = 1_000, 15
#: Seconds until a few flows are due the first time, and many.
SOON, PLANNED = 2.0, 60.0
_MADE = "SELECT r.flow_id, r.scheduled_start_time, r.state, r.start_time, r.end_time FROM flow_run r WHERE "


@task
async def one() -> None: ...


def schedules(directory: Path) -> list[Figure]:
    try:
        figures = []
        for number in (1, 10, MANY):
            figures += asyncio.run(_of(number, "SQLite", f"sqlite:///{directory}/schedules{number}.sqlite"))
        with PostgresServer() as server:
            for number in (1, 10, MANY):
                figures += asyncio.run(_of(number, "PostgreSQL", server.url_of(server.new_database())))
        return figures
    finally:
        gc.unfreeze()


async def _of(number: int, kind: str, url: str) -> list[Figure]:
    return await (_at_once(kind, url) if number == MANY else _few(number, kind, url))


async def _few(number: int, kind: str, url: str) -> list[Figure]:
    """How late so many runs begin that are due at the same moment, again and again."""
    async with Runtime(database_url=url) as runtime, _serving(runtime):
        start = _moment(SOON)
        dates = [start + timedelta(seconds=n / 2) for n in range(TRIALS)]
        await _register(runtime, number, Schedule([DatesClock(dates)]))
        rows = await _ended(runtime, dates, number * TRIALS)
    late = sorted((begun - due) / 1000 for _, due, _, begun, _ in rows)
    what = "a due run begins late by" if number == 1 else f"{number} runs due at once begin late by"
    worst = f"{late[-1]:.1f} ms at most"
    return [Figure(f"{what}, {kind}, median", statistics.median(late), "ms", "≤ 50 ms", worst)]


async def _at_once(kind: str, url: str) -> list[Figure]:
    async with Runtime(database_url=url) as runtime, _serving(runtime):
        await _register(runtime, MANY, Schedule([DatesClock([_moment(365 * 86_400)])]))  # for now
        gc.collect()
        gc.freeze()  # modules, flows and the schema, as `serve` does
        due = _moment(PLANNED)
        schedule = Schedule([IntervalClock(timedelta(days=1), start_date=due)]).serialize()
        for (group,) in await runtime.session.database.read("SELECT id FROM flow_group"):
            await runtime.session.client.flows.set_group_schedule(group, schedule)
        now = datetime.now(UTC)
        assert now < due, "making the schedules took too long"
        await asyncio.sleep((due - now).total_seconds() - 0.5)
        async with _watching() as lags:
            rows = await _ended(runtime, [due], MANY)
            await asyncio.sleep(1)  # for the runs after these to be made
    late = sorted((begun - moment) / 1_000_000 for _, moment, _, begun, _ in rows)
    flows = {row[0] for row in rows}
    name = f"{MANY:,} schedules due in the same second, {kind}"
    seconds = (max(row[4] for row in rows) - to_micros(due)) / 1_000_000
    return [
        Figure(f"{name}: all Success after", seconds, "s"),
        Figure(f"{name}: gaps and duplicates", MANY - len(flows) + len(rows) - len(flows), "runs", "0"),
        Figure(f"{name}: the loop's greatest lag", max(lags) * 1000, "ms", "≤ 100 ms", _told(lags)),
        Figure(f"{name}: late, median", statistics.median(late), "s", "", f"p95 {late[int(MANY * 0.95)]:.2f} s"),
    ]


def _moment(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def _told(lags: list[float]) -> str:
    ordered = sorted(lags)
    return f"p99 {ordered[int(len(lags) * 0.99)] * 1000:.0f} ms, median {statistics.median(lags) * 1000:.1f} ms"


async def _register(runtime: Runtime, number: int, schedule: Schedule) -> None:
    for n in range(number):
        with Flow(f"flow {n}", schedule=schedule) as flow:
            one()
        await runtime.register(flow)


async def _ended(runtime: Runtime, dates: Iterable[datetime], count: int) -> list[tuple[Any, ...]]:
    """The runs of these moments, once all have ended."""
    moments = ", ".join(str(to_micros(moment)) for moment in dates)
    async with asyncio.timeout(120):
        while True:
            rows = await runtime.session.database.read(f"{_MADE} scheduled_start_time IN ({moments})")
            if len(rows) >= count and all(row[2] == "Success" for row in rows):
                return rows
            await asyncio.sleep(0.5)


@asynccontextmanager
async def _watching() -> AsyncIterator[list[float]]:
    """By how many seconds the event loop comes back late to who sleeps for five milliseconds."""
    lags: list[float] = []

    async def watch() -> None:
        while True:
            asked = time.perf_counter()
            await asyncio.sleep(0.005)
            lags.append(time.perf_counter() - asked - 0.005)

    watching = asyncio.create_task(watch())
    try:
        yield lags
    finally:
        watching.cancel()
