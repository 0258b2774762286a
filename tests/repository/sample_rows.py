"""A small database to ask questions of, and its rows as Python dictionaries to check the answers with."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Iterable
from typing import Any

import asyncpg
import msgspec

from prefectlite.repository import documents
from prefectlite.repository.dialect import POSTGRES, SQLITE
from prefectlite.repository.schema import migrations
from prefectlite.repository.sqlite_schema import TYPES
from prefectlite.repository.statement import Compiled

Rows = dict[str, list[dict[str, Any]]]
#: 2030-01-01T00:00:00Z in microseconds.
DAY = 1_893_456_000_000_000


def uid(n: int) -> str:
    return f"00000000-0000-7000-8000-{n:012x}"


def rows() -> Rows:
    """Rows with NULLs, ties, odd letters and empty relations."""
    stamps = {"created": DAY, "updated": DAY}
    projects = [
        {"id": uid(1), "name": "Alpha", "description": None, "retention_days": None, "log_retention_days": 3, **stamps},
        {
            "id": uid(2),
            "name": "beta",
            "description": 'quo"te\\ \n ü 👋',
            "retention_days": 7,
            "log_retention_days": None,
            **stamps,
        },
    ]
    groups = [
        {
            "id": uid(90 + n),
            "name": f"group {n}",
            "description": None,
            "labels": None if n else '["a"]',
            "schedule": None,
            "run_config": None,
            "settings": "{}",
            "default_parameters": '{"x": 1}',
            **stamps,
        }
        for n in range(4)
    ]
    flows = [
        {
            "id": uid(10 + n),
            "project_id": [uid(1), uid(2), None][n % 3],
            "name": ["etl", "ETL_nightly", "100%", "a*b?[c]"][n],
            "version": n + 1,
            "flow_group_id": uid(90 + n),
            "version_group_id": f"group {n}",
            "description": None if n == 1 else "x" * n,
            "archived": n % 2,
            "parameters": '{"a": [1, null, "ü"]}',
            "storage": None,
            "serialized_flow": "{}",
            "environment": None,
            "run_config": '{"type": "UniversalRun"}' if n else None,
            "schedule": None,
            "is_schedule_active": n % 2,
            "core_version": "1",
            "runtime": ["prefectlite", "prefect"][n % 2],
            "digest": "d",
            "created": DAY + n,
            "updated": DAY,
        }
        for n in range(4)
    ]
    tasks = [
        {
            "id": uid(100 + n),
            "flow_id": uid(10 + n % 3),
            "slug": f"t{n}",
            "name": f"t{n}",
            "description": None,
            "type": "Task",
            "mapped": int(n == 2),
            "auto_generated": 0,
            "max_retries": n,
            "retry_delay": [None, 5_000_000, 90_061_500_000, -1_000_000, 360_000_000_000][n],
            "timeout": None,
            "trigger_name": "all_successful",
            "cache_key": None,
            "is_root_task": 1,
            "is_terminal_task": 0,
            "is_reference_task": 0,
            "tags": "[]",
            **stamps,
        }
        for n in range(5)
    ]
    runs = [
        {
            "id": uid(200 + n),
            "flow_id": uid(10 + n % 3),
            "name": f"run-{n % 4}",
            "parameters": "{}",
            "context": "{}",
            "labels": '["x"]' if n % 2 else '["x", "y"]',
            "run_config": None,
            "scheduled_start_time": DAY + n * 1_000_000,
            "auto_scheduled": n % 2,
            "idempotency_key": None,
            "agent_id": uid(600 + n) if n < 2 else None,
            "heartbeat": DAY if n % 2 else None,
            "times_resurrected": n,
            "start_time": None if n % 3 == 0 else DAY + (n % 5) * 500_001,
            "end_time": None,
            "version": n % 3,
            "state": ["Running", "Success", "Failed"][n % 3],
            "state_id": f"state-{n}",
            "state_timestamp": DAY,
            "state_message": None if n % 4 == 0 else f"Message {n % 2}",
            "state_start_time": -1 if n == 0 else None,
            "state_details": None,
            **stamps,
        }
        for n in range(12)
    ]
    task_runs = [
        {
            "id": uid(300 + n),
            "flow_run_id": uid(200 + n % 7),
            "task_id": uid(100 + n % 5),
            "map_index": n // 5 - 1,
            "name": None,
            "cache_key": None,
            "start_time": None,
            "end_time": None,
            "version": n % 4,
            "state": ["Pending", "Running", "Success"][n % 3],
            "state_id": f"state-{n}",
            "state_timestamp": DAY,
            "state_message": None,
            "state_start_time": None,
            "state_details": '{"run_count":2}' if n % 2 else None,
            **stamps,
        }
        for n in range(30)
    ]
    logs = [
        {
            "seq": n + 1,
            "id": uid(500 + n),
            "flow_run_id": uid(200 + n % 3),
            "task_run_id": None if n % 2 else uid(300 + n),
            "timestamp": DAY + n,
            "level": "INFO",
            "name": "prefectlite",
            "message": f"line {n}",
        }
        for n in range(8)
    ]
    configs = [{"id": uid(610), "name": "config", "settings": "{}", **stamps}]
    agents = [
        {
            "id": uid(600 + n),
            "agent_config_id": None if n else uid(610),
            "name": f"agent {n}",
            "type": "LocalAgent",
            "core_version": "1",
            "labels": '["x"]',
            "last_queried": DAY + n,
            **stamps,
        }
        for n in range(2)
    ]
    artifacts = [
        {"id": uid(620 + n), "task_run_id": uid(300 + n // 2), "kind": "markdown", "data": '{"text": "ü"}', **stamps}
        for n in range(3)
    ]
    limits = [{"id": uid(640 + n), "tag": f"db {n}", "slots": n, "seconds": 60 * n, **stamps} for n in range(2)]
    hooks = [
        {
            "id": uid(650 + n),
            "flow_group_id": None if n else uid(90),
            "name": None,
            "type": "WEBHOOK",
            "states": '["FAILED"]',
            "config": "{}",
            "sealed": "",
            "since": 0,
            "active": n,
            **stamps,
        }
        for n in range(2)
    ]
    automations = [
        {
            "id": uid(660),
            "name": "tell",
            "flow_group_id": None,
            "event": "STATE",
            "states": '["FAILED"]',
            "action": "NOTIFY",
            "seconds": None,
            "cloud_hook_id": uid(650),
            "target_flow_group_id": None,
            "parameters": "{}",
            "is_active": 1,
            "since": 0,
            **stamps,
        }
    ]
    told = {"automation_id": uid(660), "flow_run_id": uid(200), "seq": None, **stamps}
    firings = [{"id": uid(670), "status": "Done", "message": None, **told}]
    tries = {"attempts": 1, "last_error": "no", "next_attempt": DAY}
    deliveries = [{"id": uid(680), "cloud_hook_id": uid(650), "status": "Pending", **tries, **told}]
    tokens = [
        {
            "id": uid(660 + n),
            "name": f"token {n}",
            "role": ["admin", "viewer"][n],
            "labels": '["a"]' if n else None,
            "projects": None,
            "secrets": None if n else '["slack", "db-*"]',
            "token_hash": f"{n}" * 64,
            "expires_at": DAY if n else None,
            "last_used": None,
            "revoked_at": DAY if n else None,
            **stamps,
        }
        for n in range(2)
    ]
    audited = [
        {
            "seq": n + 1,
            "at": DAY + n,
            "actor": "local",
            "role": "admin",
            "address": None if n else "127.0.0.1",
            "action": "create_project",
            "targets": '{"name": "ü"}',
            "details": "{}",
            "outcome": "done",
        }
        for n in range(2)
    ]
    return {
        "project": projects,
        "flow_group": groups,
        "flow": flows,
        "task": tasks,
        "agent_config": configs,
        "agent": agents,
        "flow_run": runs,
        "task_run": task_runs,
        "log": logs,
        "task_run_artifact": artifacts,
        "key_value": [{"id": uid(630), "key": "a/b", "value": "[1]", **stamps}],
        "task_tag_limit": limits,
        "flow_concurrency_limit": [{"id": uid(645), "name": "gpu", "slots": 3, "seconds": 0, **stamps}],
        "cloud_hook": hooks,
        "automation": automations,
        "automation_firing": firings,
        "hook_delivery": deliveries,
        "message": [{"id": uid(690), "read": 0, "type": "CLOUD_HOOK", "text": "It ran", "content": "{}", **stamps}],
        "api_token": tokens,
        "audit_log": audited,
    }


class SqliteSample:
    """The sample in a new database in memory."""

    dialect = SQLITE

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:")
        documents.define(self._connection)
        for migration in migrations():
            for statement in migration.statements(TYPES):
                self._connection.execute(statement)
        self.execute_all([*inserts(), (SQLITE.index_words(), (0, 8))])
        self._connection.commit()

    def fetch(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(re.sub(r"\$(\d+)", r"?\1", sql), parameters).fetchall()

    def execute_all(self, statements: Iterable[tuple[str, tuple[Any, ...]]]) -> None:
        for sql, parameters in statements:
            self.fetch(sql, *parameters)

    def plan(self, compiled: Compiled) -> list[str]:
        """How the database goes about it, line by line."""
        return [row[3] for row in self.fetch(f"EXPLAIN QUERY PLAN {compiled.sql}", *compiled.parameters)]

    def rollback(self) -> None:
        """Undo what was changed since the sample was made."""
        self._connection.rollback()

    def close(self) -> None:
        self._connection.close()


class PostgresSample:
    """The sample in the database at `url`, which is empty."""

    dialect = POSTGRES

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._connection = self._loop.run_until_complete(asyncpg.connect(url))
        self.execute_all([("BEGIN", ()), *inserts(), (POSTGRES.index_words(), (0, 8)), ("SAVEPOINT made", ())])

    def fetch(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        try:
            return [tuple(row) for row in self._loop.run_until_complete(self._connection.fetch(sql, *parameters))]
        except asyncpg.PostgresError:
            self.rollback()
            raise

    def execute_all(self, statements: Iterable[tuple[str, tuple[Any, ...]]]) -> None:
        async def execute() -> None:
            for sql, parameters in statements:
                await self._connection.execute(sql, *parameters)

        self._loop.run_until_complete(execute())

    def plan(self, compiled: Compiled) -> list[str]:
        """How the database would go about it if the sample were large, line by line."""
        self.fetch("SET LOCAL enable_seqscan = off")
        return [row[0] for row in self.fetch(f"EXPLAIN {compiled.sql}", *compiled.parameters)]

    def rollback(self) -> None:
        """Undo what was changed since the sample was made."""
        self.execute_all([("ROLLBACK TO SAVEPOINT made", ())])

    def close(self) -> None:
        self._loop.run_until_complete(self._connection.close())
        self._loop.close()


Sample = SqliteSample | PostgresSample


def answer(sample: Sample, compiled: Compiled) -> Any:
    """What the database answers, decoded; exactly one row of one text."""
    found = sample.fetch(compiled.sql, *compiled.parameters)
    assert len(found) == 1
    assert len(found[0]) == 1
    return msgspec.json.decode(found[0][0])


def inserts() -> list[tuple[str, tuple[Any, ...]]]:
    return [
        (
            f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(f'${n + 1}' for n in range(len(row)))})",
            (*row.values(),),
        )
        for table, content in rows().items()
        for row in content
    ]
