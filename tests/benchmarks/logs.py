"""Lines of logs that eight tasks write at once, recorded by the end of their run; the same rows by hand beside it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from pathlib import Path
from typing import Any

import asyncpg

from prefectlite import Flow, Runtime, context, task
from prefectlite.repository.database import Database
from prefectlite.repository.logs import fill_index
from prefectlite.repository.urls import open_database
from tests.benchmarks.figures import Figure, timed, times
from tests.postgres_server import PostgresServer

TASKS, LINES = 8, 5_000
TOTAL = TASKS * LINES
_BARS = {"SQLite": "≥ 30,000", "PostgreSQL": "≥ 15,000"}
_COLUMNS = "seq, id, flow_run_id, task_run_id, timestamp, level, name, message"
_BY_HAND = f"""
PRAGMA journal_mode=WAL;
PRAGMA synchronous=NORMAL;
CREATE TABLE log (seq INTEGER PRIMARY KEY, {_COLUMNS[5:]});
CREATE INDEX log_by_flow_run ON log (flow_run_id, seq);
CREATE INDEX log_by_task_run ON log (task_run_id, seq);
"""


@task
def plain_writer(number: int) -> None:
    for line in range(LINES):
        context.logger.info("Loaded %d rows of part %d from %s in %.3f s", line, number, "s3://bucket/parts", line / 7)


@task
async def async_writer(number: int) -> None:
    for line in range(LINES):
        context.logger.info("Loaded %d rows of part %d from %s in %.3f s", line, number, "s3://bucket/parts", line / 7)
        if not line % 20:
            await asyncio.sleep(0)


def logs(directory: Path) -> list[Figure]:
    logging.getLogger("prefectlite").addHandler(logging.NullHandler())  # the terminal's part is not measured
    figures = asyncio.run(_measured("SQLite", f"sqlite:///{directory}/logs.sqlite", directory))
    with PostgresServer() as server:
        figures += asyncio.run(_measured("PostgreSQL", server.url_of(server.new_database()), directory))
    return figures


async def _measured(kind: str, url: str, directory: Path) -> list[Figure]:
    figures = []
    for name, writer in (("plain", plain_writer), ("async", async_writer)):
        with Flow("writers") as flow:
            writer.map(list(range(TASKS)))
        best = float("inf")
        async with Runtime(database_url=url, agent=False):
            for _ in range(3):
                with timed() as watch:
                    run = await flow.run()
                run.raise_for_state()
                best = min(best, watch.seconds)
        database = await open_database(url)
        try:
            select = f"SELECT {_COLUMNS} FROM log WHERE flow_run_id = $1 ORDER BY seq"
            rows = await database.read(select, (run.id,))
            assert len(rows) == TOTAL
            by_hand = _executemany(rows, directory) if kind == "SQLite" else await _copied(rows, url)
            comparison = times(TOTAL / best, TOTAL / by_hand, "executemany" if kind == "SQLite" else "COPY")
            title = f"log lines, {TASKS} {name} tasks at once, {kind}"
            figures.append(Figure(title, TOTAL / best, "lines/s", _BARS[kind], comparison))
            with timed() as watch:
                await fill_index(database)
            lines = await _lines(database)
        finally:
            await database.aclose()
    figures.append(Figure(f"index of words, filled behind, {kind}, per line", watch.seconds / lines * 2e6, "µs"))
    return figures


async def _lines(database: Database) -> int:
    [[count]] = await database.read("SELECT count(*) FROM log")
    return int(count)


def _executemany(rows: list[Any], directory: Path) -> float:
    """Seconds for the same rows in one transaction, the better of two."""
    best = float("inf")
    for number in range(2):
        file = directory / f"lines_by_hand_{number}.sqlite"
        file.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
            connection.executescript(_BY_HAND)
            with timed() as watch:
                connection.execute("BEGIN")
                connection.executemany("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
                connection.execute("COMMIT")
        best = min(best, watch.seconds)
    return best


async def _copied(rows: list[Any], url: str) -> float:
    """Seconds for a COPY of the same rows, the better of two."""
    best = float("inf")
    connection = await asyncpg.connect(url)
    try:
        for _ in range(2):
            await connection.execute("CREATE TABLE by_hand (LIKE log)")
            await connection.execute("CREATE INDEX ON by_hand (seq); CREATE INDEX ON by_hand (flow_run_id, seq)")
            await connection.execute("CREATE INDEX ON by_hand (task_run_id, seq)")
            with timed() as watch:
                await connection.copy_records_to_table("by_hand", records=rows, columns=_COLUMNS.split(", "))
            await connection.execute("DROP TABLE by_hand")
            best = min(best, watch.seconds)
    finally:
        await connection.close()
    return best
