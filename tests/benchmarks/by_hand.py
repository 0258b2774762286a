"""The same work without prefectlite: bare asyncio, and programs that write the same rows with nothing around them."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg

_TABLES = """
CREATE TABLE task_run (id TEXT PRIMARY KEY, flow_run_id TEXT, task_id TEXT, map_index INTEGER, state TEXT, version INTEGER,
    start_time INTEGER, end_time INTEGER, message TEXT, UNIQUE (flow_run_id, task_id, map_index));
CREATE TABLE task_run_state (seq INTEGER PRIMARY KEY, task_run_id TEXT, version INTEGER, state TEXT, timestamp INTEGER,
    message TEXT, UNIQUE (task_run_id, version));
CREATE TABLE result (task_run_id TEXT PRIMARY KEY, data TEXT);
"""
_TASK_RUN = "INSERT INTO task_run VALUES ({}, 'run', 'task', {}, 'Success', 2, 1, 2, 'Task run succeeded.')"
GROUP = 100


async def bare_fan_out(function: Callable[[int], Any], count: int) -> int:
    """`count` coroutines at once."""
    return len(await asyncio.gather(*(function(index) for index in range(count))))


async def bare_chain(function: Callable[[int], Any], count: int) -> int:
    """`count` coroutines one after another, each a task of its own."""
    value = 0
    for _ in range(count):
        value = await asyncio.create_task(function(value))
    return value


async def bare_layers(function: Callable[[Any], Any], layers: int, width: int) -> int:
    """Layers of coroutines, each of which takes what three of the layer before it returned."""
    layer = list(range(width))
    for _ in range(layers):
        inputs = [[layer[i], layer[i - 1], layer[i - 2]] for i in range(width)]
        layer = [len(found) for found in await asyncio.gather(*(function(found) for found in inputs))]
    return len(layer)


async def in_executor(function: Callable[[int], Any], count: int) -> int:
    """`count` calls by `run_in_executor`."""
    loop = asyncio.get_running_loop()
    return len(await asyncio.gather(*(loop.run_in_executor(None, function, index) for index in range(count))))


async def recorded_on_postgres(function: Callable[[int], Any], count: int, url: str) -> None:
    """`count` coroutines one after another, each one's rows a transaction of their own."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"CREATE SCHEMA by_hand; SET search_path = by_hand; {_TABLES}")
        for index in range(count):
            await function(index)
            run_id = str(uuid.uuid4())
            states = [(index * 2 + version, run_id, version, state) for version, state in ((1, "Running"), (2, "Success"))]
            async with connection.transaction():
                await connection.execute(_TASK_RUN.format("$1", "$2"), run_id, index)
                await connection.executemany("INSERT INTO task_run_state VALUES ($1, $2, $3, $4, 1, 'm')", states)
                await connection.execute("INSERT INTO result VALUES ($1, '\\x05')", run_id)
    finally:
        await connection.close()


async def recorded(function: Callable[[int], Any], count: int, file: Path, group: int) -> None:
    """`count` coroutines whose rows are committed `group` at a time, one hop to a thread for each group."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as connection:
        connection.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; {_TABLES}")
        for begin in range(0, count, group):
            indices = range(begin, min(begin + group, count))
            await asyncio.gather(*(function(index) for index in indices))
            ids = [str(uuid.uuid4()) for _ in indices]
            await asyncio.to_thread(_write, connection, ids, begin)


def _write(connection: sqlite3.Connection, ids: list[str], begin: int) -> None:
    numbered = list(enumerate(ids, begin))
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(_TASK_RUN.format("?", "?"), [(run_id, index) for index, run_id in numbered])
    states = [(run_id, version, state) for _, run_id in numbered for version, state in ((1, "Running"), (2, "Success"))]
    connection.executemany(
        "INSERT INTO task_run_state (task_run_id, version, state, timestamp, message) VALUES (?, ?, ?, 1, 'm')", states
    )
    connection.executemany("INSERT INTO result VALUES (?, x'05')", [(run_id,) for run_id in ids])
    connection.execute("COMMIT")
