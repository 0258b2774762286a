"""No question that the API, the UI, the services or the command line ask goes through a whole table of runs.

Each is asked through a database that has the real one explain every statement first. What people may filter by as they
like (a part of a name) is left out, and so are counts over everything.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import msgspec
import pytest
import pytest_asyncio

import prefectlite
from prefectlite.api import news
from prefectlite.api.caller import Caller
from prefectlite.api.execution import Execution
from prefectlite.api.news import Wanted
from prefectlite.api.requests import Request
from prefectlite.repository import logs, retention, runs, transfer, transitions
from prefectlite.repository.database import Database, Row, Transaction
from prefectlite.repository.dialect import SQLITE, Dialect
from prefectlite.repository.retention import OldRun, Terms
from prefectlite.results import garbage
from tests.api.test_client_queries import QUERIES as CLIENT_QUERIES
from tests.repository import sample_rows
from tests.repository.sample_rows import DAY, uid

T = TypeVar("T")
LARGE = ("flow_run", "task_run", "flow_run_state", "task_run_state", "log", "result", "log_words")
ROOT = Path(prefectlite.__file__).parent
_NAMED = re.compile(r"\b(?:FROM|JOIN)\s+(\w+)\s+(?:AS\s+)?(\w+)")
_SQLITE_SCAN = re.compile(r"SCAN (\w+)$")
_LIST = re.compile(r"(?:CO-ROUTINE|MATERIALIZE) (\w+)$")
_POSTGRES_SCAN = re.compile(r".*Seq Scan on (\w+)")
#: The first rows of a table along its key: SQLite stops when it has enough.
_NEWEST = re.compile(r"FROM \w+ AS (\w+) ORDER BY \1\.seq [A-Z ]+ LIMIT")
UNFINISHED_RUN, FINISHED_RUN, TASK_RUN = uid(200), uid(201), uid(300)


class Explained:
    """A transaction, or a database, that notes how each statement goes about it."""

    def __init__(self, real: Any, plans: dict[str, list[str]]) -> None:
        self._real, self._plans = real, plans
        self.dialect: Dialect = real.dialect

    async def read(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        return await self._real.read(sql, params)  # type: ignore[no-any-return]

    async def fetch(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        await self._explain(sql, params)
        return await self._real.fetch(sql, params)  # type: ignore[no-any-return]

    async def execute(self, sql: str, params: Sequence[Any] = ()) -> None:
        await self._explain(sql, params)
        await self._real.execute(sql, params)

    def announce(self, hint: Any) -> None:
        self._real.announce(hint)

    async def _explain(self, sql: str, params: Sequence[Any]) -> None:
        if self.dialect is SQLITE:
            rows = await self._real.fetch(f"EXPLAIN QUERY PLAN {sql}", params)
            self._plans[sql] = [row[3] for row in rows]
        else:  # as if the tables were large
            await self._real.execute("SET LOCAL enable_seqscan = off")
            self._plans[sql] = [row[0] for row in await self._real.fetch(f"EXPLAIN {sql}", params)]


class ExplainedDatabase:
    """A Database whose statements are explained, those that only read, too."""

    def __init__(self, real: Database) -> None:
        self._real = real
        self.dialect = real.dialect
        self.plans: dict[str, list[str]] = {}

    async def read(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        return await self.write(lambda tx: tx.fetch(sql, params))

    async def answer(self, sql: str, params: Sequence[Any] = ()) -> str:
        ((text,),) = await self.read(sql, params)
        return str(text)

    async def write(self, work: Callable[[Transaction], Awaitable[T]], *, durable: bool = False) -> T:
        return await self._real.write(lambda tx: work(Explained(tx, self.plans)))  # type: ignore[arg-type]

    def scans(self) -> list[str]:
        """The large tables that are gone through as a whole, each with its statement."""
        found = []
        for sql, plan in self.plans.items():
            tables = {alias: table for table, alias in _NAMED.findall(sql)}
            scan = _SQLITE_SCAN if self.dialect is SQLITE else _POSTGRES_SCAN
            scanned = Counter(match[1] for step in plan if (match := scan.match(step)))
            # A list that SQLite makes has the alias of the table that its rows are from, and is gone through as well.
            scanned -= Counter(match[1] for step in plan if (match := _LIST.match(step)))
            scanned -= Counter(_NEWEST.findall(sql))
            found += [f"{tables.get(name, name)}: {sql}" for name in scanned if tables.get(name, name) in LARGE]
        return found


@pytest_asyncio.fixture
async def explained(database: Database) -> ExplainedDatabase:
    """A database with some thousands of rows."""

    async def fill(tx: Transaction) -> None:
        for sql, parameters in sample_rows.inserts():
            await tx.execute(sql, parameters)
        await tx.execute("UPDATE flow_run SET end_time = 5 WHERE state = 'Success'")
        first = sample_rows.rows()["task_run"][0]
        many = [{**first, "id": uid(1000 + n), "map_index": 100 + n, "flow_run_id": uid(200 + n % 12)} for n in range(3000)]
        await tx.executemany(_insert("task_run", first), [tuple(row.values()) for row in many])
        states = [(n, uid(n), row["id"], 1, DAY, "Success") for n, row in enumerate(many, 100)]
        sql = "INSERT INTO task_run_state (seq, id, task_run_id, version, timestamp, state) VALUES ($1, $2, $3, $4, $5, $6)"
        await tx.executemany(sql, states)
        line = sample_rows.rows()["log"][0]
        lines = [{**line, "seq": 5000 + n, "id": uid(5000 + n), "flow_run_id": uid(200 + n % 12)} for n in range(3000)]
        await tx.executemany(_insert("log", line), [tuple(row.values()) for row in lines])
        if tx.dialect is not SQLITE:
            await tx.execute("ANALYZE")

    await database.write(fill)
    return ExplainedDatabase(database)


def _insert(table: str, row: dict[str, Any]) -> str:
    return f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(f'${n + 1}' for n in range(len(row)))})"


def documents() -> dict[str, str]:
    """The queries of the UI, with the fragments that they use."""
    source = (ROOT / "ui/web/src/api/documents.ts").read_text(encoding="utf-8")
    texts = re.findall(r"graphql\(\s*`(.*?)`", source, re.DOTALL)
    fragments = {match[1]: text for text in texts if (match := re.match(r"\s*fragment (\w+)", text))}
    queries = {match[1]: text for text in texts if (match := re.match(r"\s*query (\w+)", text))}
    return {
        name: text + "".join(part for fragment, part in fragments.items() if f"...{fragment}" in text)
        for name, text in queries.items()
    }


def states(*names: str) -> dict[str, Any]:
    return {"state": {"_in": list(names)}}


#: What the pages of the UI give their queries, several times where they differ.
VARIABLES: dict[str, list[dict[str, Any]]] = {
    "newest": [{}],
    "runs": [
        {
            "where": where,
            "limit": 25,
            "offset": offset,
            "all": {},
            "waiting": states("Scheduled", "Pending"),
            "running": states("Running", "Cancelling"),
            "success": states("Success", "Skipped"),
            "failed": states("Failed", "TimedOut"),
            "cancelled": states("Cancelled"),
        }
        for where, offset in [({}, 0), ({}, 25), (states("Failed", "TimedOut"), 0), (states("Running"), 0)]
    ],
    "flows": [{}],
    "run": [{"id": UNFINISHED_RUN}],
    "counts": [{"id": UNFINISHED_RUN}],
    "children": [
        {"where": {"flow_run_id": {"_eq": UNFINISHED_RUN}, "task_id": {"_eq": uid(100)}, **more}, "limit": 50, "offset": 0}
        for more in ({"map_index": {"_gte": 0}}, {"map_index": {"_gte": 0}, **states("Failed")})
    ],
    "logs": [
        {"where": {"flow_run_id": {"_eq": UNFINISHED_RUN}, **more}, "limit": 500}
        for more in ({}, {"seq": {"_lt": 6000}}, {"level": {"_in": ["ERROR"]}}, {"message": {"_search": '"line 3" l*'}})
    ],
    "task_run_names": [{"ids": [TASK_RUN, uid(301)]}],
}
#: What people and programs ask the API besides: the README's, and Prefect 1.4's own.
ASKED = [
    '{ flow_run(where: {state: {_eq: "Success"}}, order_by: {start_time: desc}, limit: 10)'
    " { id name flow { name } task_runs { state } } }",
    '{ flow_run(where: {flow_id: {_eq: "FLOW"}}, order_by: {scheduled_start_time: desc}, limit: 100) { id } }',
    '{ flow_run(where: {created: {_lt: "2030-01-01"}}, order_by: {created: desc}, limit: 100) { id } }',
    '{ flow_run(where: {flow: {name: {_eq: "etl"}}}, limit: 10) { id logs(limit: 5) { message } states { state } } }',
    '{ flow_run_by_pk(id: "RUN") { state logs_aggregate { aggregate { count } } task_runs { id states { state } } } }',
    '{ task_run_by_pk(id: "CHILD") { id version state states { version } logs { message } flow_run { name } } }',
    '{ task_run(where: {flow_run_id: {_eq: "RUN"}, task: {slug: {_eq: "t1"}}}) { id } }',
    '{ task_run(where: {task_id: {_eq: "TASK"}}, order_by: {created: desc}, limit: 10) { id } }',
    '{ task_run_aggregate(where: {flow_run_id: {_eq: "RUN"}}) { aggregate { count } } }',
    '{ flow_run_state(where: {flow_run_id: {_eq: "RUN"}}, order_by: {version: asc}) { state } }',
    '{ task_run_state(where: {task_run_id: {_eq: "CHILD"}}, order_by: {timestamp: asc}) { state } }',
    '{ log(where: {message: {_search: "line 3"}}, order_by: {seq: desc}, limit: 100) { message flow_run { name } } }',
    '{ log(where: {task_run_id: {_eq: "CHILD"}}, order_by: {timestamp: asc}) { message } }',
]
#: Prefect's own client, commands and agents, in their words.
ASKED += [
    text
    for name, text in CLIENT_QUERIES.items()
    if name not in ("counts", "started")  # everything there is, and what is rare among it
]
#: The same, where they look for what is rare.
ASKED += [
    '{ flow_run(where: {id: {_in: ["RUN"]}, _or: [{state: {_eq: "Scheduled"}}, {state: {_eq: "Running"},'
    ' task_runs: {state_start_time: {_lte: "LATER"}}}]})'
    ' { id task_runs(where: {state_start_time: {_lte: "LATER"}}) { id } } }',
    '{ task_run(where: {state: {_eq: "Cached"}, state_timestamp: {_gte: "EARLIER"}, cache_key: {_eq: "k"}},'
    " order_by: {state_timestamp: desc}, limit: 100) { serialized_state } }",
    '{ task_run(where: {state_start_time: {_is_null: false}, flow_run: {state: {_eq: "Running"}}}) { id } }',
    '{ task_run(where: {state_start_time: {_lte: "LATER"}, flow_run: {state: {_eq: "Running"}}}) { id } }',
    '{ flow_run(where: {_or: [{state: {_in: ["Scheduled", "Retrying"]}, state_start_time: {_lte: "LATER"}}, {state: {_eq:'
    ' "Running"}, task_runs: {state_start_time: {_lte: "LATER"}}}]}, order_by: {state_start_time: asc}, limit: 75) { id } }',
    '{ flow(where: {id: {_eq: "FLOW"}}) { flow_runs(order_by: {scheduled_start_time: desc}, limit: 1) { state }'
    " flow_runs_aggregate(distinct_on: state) { aggregate { count } nodes { state } } } }",
    '{ flow_run_by_pk(id: "RUN") { task_runs(distinct_on: state, order_by: {state: asc}) { state }'
    " task_runs_aggregate(distinct_on: task_id) { aggregate { count(columns: state, distinct: true) } } } }",
    '{ flow_run(where: {flow_id: {_eq: "FLOW"}}, distinct_on: state, order_by: {created: desc}) { id } }',
]


async def answered(database: ExplainedDatabase, query: str, variables: dict[str, Any]) -> None:
    execution = Execution(SimpleNamespace(database=database))  # type: ignore[arg-type]
    answer = await execution.run(Request(query, variables, None), execution.budget(), Caller())
    assert "errors" not in msgspec.json.decode(answer.body), answer.body


@pytest.mark.asyncio
async def test_what_the_ui_and_others_ask_the_api(explained: ExplainedDatabase) -> None:
    found = documents()
    assert found.keys() == VARIABLES.keys()
    for name, query in found.items():
        for variables in VARIABLES[name]:
            await answered(explained, query, variables)
    ids = {"FLOW": uid(10), "RUN": FINISHED_RUN, "CHILD": TASK_RUN, "TASK": uid(100)}
    ids |= {"EARLIER": "2029-12-31T00:00:00+00:00", "LATER": "2040-01-01T00:00:00+00:00"}
    for query in ASKED:
        await answered(explained, re.sub('"([A-Z]+)"', lambda word: f'"{ids[word[1]]}"', query), {})
    assert explained.scans() == []


@pytest.mark.asyncio
async def test_what_services_executors_and_commands_ask(explained: ExplainedDatabase, tmp_path: Path) -> None:
    database: Any = explained
    for wanted in (Wanted(UNFINISHED_RUN, task_runs=True), Wanted(), Wanted(task_runs=True)):
        sql, given = wanted.sql()
        await database.read(sql, (*given, 0, 100))
    await database.read(news._LINES, (UNFINISHED_RUN, 0, 100))
    await runs.flow_run(database, UNFINISHED_RUN)
    await runs.task_runs(database, UNFINISHED_RUN)
    await runs.task_run_states(database, UNFINISHED_RUN)
    await runs.interrupted_runs(database, "etl")
    await runs.cached_states(database, "key", UNFINISHED_RUN, 1)
    await runs.state_of(database, "task_run", TASK_RUN)
    await runs.state_of(database, "flow_run", UNFINISHED_RUN)
    await runs.scheduled_runs(database, ())
    await runs.scheduled_runs(database, ["gpu"])
    await runs.owned_runs(database)
    await runs.run_with_key(database, uid(10), "key")
    await runs.task_run_place(database, TASK_RUN)
    await garbage._named(database, [b"name"])
    await transfer.export_run(database, FINISHED_RUN, tmp_path / "run")
    await database.write(logs.index_some)

    async def move(tx: Transaction) -> None:
        await transitions.opening(tx, [UNFINISHED_RUN])
        await transitions.task_run_snapshots(tx, [TASK_RUN])
        await transitions.said_before(tx, [UNFINISHED_RUN], [TASK_RUN], [uid(7)])

    await database.write(move)
    assert explained.scans() == []


@pytest.mark.asyncio
async def test_what_retention_asks(explained: ExplainedDatabase) -> None:
    database: Any = explained
    terms, now = Terms(30, 10), DAY + 100 * 86_400_000_000
    (old, *_) = await retention.old_runs(database, terms, now, None)
    await retention.old_runs(database, terms, now, old)
    assert await retention.old_logs(database, terms, now, None)
    await retention.cached_in(database, old, now)
    while await database.write(lambda tx: retention.delete_some(tx, old, [])):
        pass
    await database.write(lambda tx: retention.delete_some(tx, OldRun(uid(204), 5), [TASK_RUN]))
    await database.write(lambda tx: retention.delete_some_lines(tx, OldRun(uid(207), 5)))
    await database.write(lambda tx: retention.delete_flow_version(tx, terms, now))
    assert explained.scans() == []


@pytest.mark.asyncio
async def test_a_scan_is_noticed(explained: ExplainedDatabase) -> None:
    for table in LARGE[:-1]:
        explained.plans.clear()
        column = "data" if table == "result" else "id"
        await explained.read(f"SELECT a.* FROM {table} AS a WHERE coalesce(a.{column}, NULL) IS NULL")
        assert len(explained.scans()) == 1, table
