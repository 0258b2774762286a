"""What people ask of a database in which a million task runs are stored."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from prefectlite import Flow, Runtime, task
from prefectlite.api.caller import Caller
from prefectlite.api.queries import read_json
from prefectlite.clock import from_micros
from prefectlite.repository.database import Database, Transaction
from prefectlite.repository.selection import Column, Field, Order, Related, Root, Selection, TaskRunCounts
from prefectlite.repository.urls import open_database
from tests.benchmarks.figures import Figure
from tests.postgres_server import PostgresServer

RUNS, TASKS, FLOWS = 10_000, 100, 20
ASKED = 60
_STATES = ["Success"] * 95 + ["Failed"] * 3 + ["Running", "Scheduled"]
_ROW = (
    "id name version state state_message scheduled_start_time start_time end_time created".split(),
    "id task_id map_index name version state state_message state_details start_time end_time".split(),
)

_FLOW_RUNS = """
INSERT INTO flow_run (id, flow_id, name, parameters, context, labels, scheduled_start_time, start_time, end_time, version,
    state, state_id, state_timestamp, created, updated)
WITH RECURSIVE n (i) AS (SELECT CAST(0 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < {last})
SELECT {run}, $1, 'run', '{{}}', '{{}}', '[]', i * 1000000, i * 1000000, i * 1000000 + 5, 3, $2, {run}, i * 1000000,
    i * 1000000, i * 1000000 FROM n WHERE i % {each} = $3
"""
_TASK_RUNS = """
INSERT INTO task_run (id, flow_run_id, task_id, map_index, start_time, end_time, version, state, state_id, state_timestamp,
    created, updated)
WITH RECURSIVE n (i) AS (SELECT CAST({first} AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < {last})
SELECT {task_run}, {run}, $1, i % {tasks}, i, i, 2, 'Success', {task_run}, i, i, i FROM n
"""


@task
async def one() -> None: ...


def stored(directory: Path) -> list[Figure]:
    figures = asyncio.run(_measured("SQLite", f"sqlite:///{directory}/stored.sqlite"))
    with PostgresServer() as server:
        figures += asyncio.run(_measured("PostgreSQL", server.url_of(server.new_database())))
    return figures


async def _measured(kind: str, url: str) -> list[Figure]:
    async with Runtime(database_url=url, agent=False):
        for number in range(FLOWS):
            with Flow(f"flow {number}") as flow:
                one()
            await flow.run()
    database = await open_database(url)
    try:
        flows = [row[0] for row in await database.read("SELECT id FROM flow")]
        await _fill(database, flows, is_sqlite=kind == "SQLite")
        return [await _asked(database, f"{name}, {kind}", root) for name, root in _questions(flows)]
    finally:
        await database.aclose()


async def _fill(database: Database, flows: list[str], *, is_sqlite: bool) -> None:
    def uid(kind: int, number: str) -> str:
        digits = f"printf('%012x', {number})" if is_sqlite else f"lpad(to_hex(({number})::bigint), 12, '0')"
        return f"'00000000-000{kind}-7000-8000-' || {digits}"

    async def insert(tx: Transaction) -> None:
        sql = _FLOW_RUNS.format(last=RUNS - 1, run=uid(1, "i"), each=100 * FLOWS)
        for number in range(100 * FLOWS):
            await tx.execute(sql, (flows[number % FLOWS], _STATES[number // FLOWS], number))

    await database.write(insert)
    ((task_id,),) = await database.read("SELECT id FROM task LIMIT 1")
    step = 50_000
    for first in range(0, RUNS * TASKS, step):
        sql = _TASK_RUNS.format(
            first=first, last=first + step - 1, task_run=uid(2, "i"), run=uid(1, f"i / {TASKS}"), tasks=TASKS
        )
        await database.write(partial(_execute, sql=sql, params=(task_id,)))
    if not is_sqlite:  # its planner would not know of the rows yet
        await database.write(partial(_execute, sql="ANALYZE"))


async def _execute(tx: Transaction, sql: str, params: tuple[Any, ...] = ()) -> None:
    await tx.execute(sql, params)


def _questions(flows: list[str]) -> Iterator[tuple[str, Callable[[], dict[str, Root]]]]:
    newest = [Order(("created",), "desc"), Order(("id",), "desc")]
    run_row: dict[str, Field] = {name: Column(name) for name in _ROW[0]}
    run_row["flow"] = Related("flow", Selection("flow", {name: Column(name) for name in ("id", "name", "version")}))

    def runs(**where: Any) -> dict[str, Root]:
        return {"flow_run": Selection("flow_run", run_row, where, newest, 100)}

    yield "100 newest runs", lambda: runs()
    yield "100 newest runs in a state", lambda: runs(state={"_in": [random.choice(_STATES[94:])]})
    yield "100 newest runs of a flow", lambda: runs(flow_id={"_eq": random.choice(flows)})
    yield "100 newest runs before a time", lambda: runs(created={"_lt": from_micros(random.randrange(RUNS) * 1_000_000)})
    yield "one run's page", lambda: _page(f"00000000-0001-7000-8000-{random.randrange(RUNS):012x}")


def _page(run_id: str) -> dict[str, Root]:
    where = {"flow_run_id": {"_eq": run_id}}
    return {
        "flow_run": Selection("flow_run", {name: Column(name) for name in _ROW[0]}, {"id": {"_eq": run_id}}),
        "task_run": Selection(
            "task_run", {name: Column(name) for name in _ROW[1]}, where, [Order(("map_index",), "asc")], 100
        ),
        "task_run_counts": TaskRunCounts(run_id, {name: Column(name) for name in ("task_id", "state", "count")}),
    }


async def _asked(database: Database, name: str, root: Callable[[], dict[str, Root]]) -> Figure:
    took = []
    for _ in range(ASKED):
        begun = time.perf_counter()
        await read_json(database, root(), Caller())
        took.append(time.perf_counter() - begun)
    p95 = sorted(took)[int(len(took) * 0.95)] * 1e3
    return Figure(f"{name}, {RUNS * TASKS:,} task runs stored, p95", p95, "ms", "≤ 20 ms")
