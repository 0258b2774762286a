"""One run as one file: written from one database and read into another, of whichever kind.

The file is a zip archive. `run.json` says what it is: `{"format": "prefectlite run", "version": 1, "prefectlite": …,
"schema": …, "flow_run_id": …, "rows": {table: how many}}`. Beside it lies a file for each table, such as `task_run.jsonl`,
with one JSON object per line: the columns by name, times in microseconds since 1970, bytes as `{"$bytes": base64}`. Values
that tasks returned are carried as the bytes they are, and never loaded.
"""

from __future__ import annotations

import base64
import os
import zipfile
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import IO, Any

import msgspec

from prefectlite.errors import NotFound, PrefectliteError, RunFileError
from prefectlite.repository.database import Database, Row, Transaction
from prefectlite.repository.dialect import SQLITE
from prefectlite.repository.schema import migrations
from prefectlite.repository.sequence import take_sequence
from prefectlite.states import FINISHED
from prefectlite.version import __version__

FORMAT, VERSION = "prefectlite run", 1
_HEADER = "run.json"
_OF_FLOW = "(SELECT flow_id FROM flow_run WHERE id = $1)"
_OF_TASK_RUNS = "(SELECT id FROM task_run WHERE flow_run_id = $1)"
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
#: Table -> which rows of it belong to the run $1, and the column they are read along. Each after those it refers to.
_TABLES = {
    "project": (f"id IN (SELECT project_id FROM flow WHERE id = {_OF_FLOW})", "id"),
    "flow_group": (f"id IN (SELECT flow_group_id FROM flow WHERE id = {_OF_FLOW})", "id"),
    "flow": (f"id = {_OF_FLOW}", "id"),
    "task": (f"flow_id = {_OF_FLOW}", "id"),
    "edge": (f"flow_id = {_OF_FLOW}", "id"),
    "flow_run": ("id = $1", "id"),
    "task_run": ("flow_run_id = $1", "id"),
    "flow_run_state": ("flow_run_id = $1", "seq"),
    "task_run_state": (f"task_run_id IN {_OF_TASK_RUNS}", "seq"),
    "task_run_artifact": (f"task_run_id IN {_OF_TASK_RUNS}", "id"),
    "result": (f"task_run_id IN {_OF_TASK_RUNS}", "task_run_id"),
    "log": ("flow_run_id = $1", "seq"),
}
_SHARED = ("project", "flow_group", "flow", "task", "edge")
_AT_ONCE = {"result": 20}
_Record = dict[str, Any]


class RunFileHeader(msgspec.Struct, frozen=True):
    """What a file says of itself."""

    format: str
    version: int
    prefectlite: str
    schema: int
    flow_run_id: str
    rows: dict[str, int]


async def export_run(database: Database, run_id: str, target: Path) -> RunFileHeader:
    """Write a finished flow run with all that belongs to it to the file `target`, which is there once it is whole.

    Raises NotFound, or RunFileError if the run has not ended.
    """
    before = await _version(database, run_id)
    unfinished = target.with_name(f"{target.name}.unfinished-{os.getpid()}")
    try:
        with os.fdopen(os.open(unfinished, _NEW_FILE, 0o600), "wb") as file:  # for its user only, as the database
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
                rows = {table: await _write_table(database, run_id, table, archive) for table in _TABLES}
                header = RunFileHeader(FORMAT, VERSION, __version__, migrations()[-1].number, run_id, rows)
                archive.writestr(_HEADER, msgspec.json.format(msgspec.json.encode(header)))
            file.flush()
            os.fsync(file.fileno())
        if await _version(database, run_id) != before:
            raise RunFileError(f"Flow run {run_id} was begun again meanwhile: export it when it has ended")
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return header


async def import_run(database: Database, source: Path) -> RunFileHeader:
    """Read a file that `export_run` wrote into `database`, as a whole or not at all.

    All is as it was, except: sequence numbers are new ones, in the same order; the run has no owner; what it cached is not
    used by other runs, since nobody looked into the file; and a flow of which this database has versions of its own comes in
    as archived. Raises RunFileError if the run is there already, or the file cannot be used.
    """
    with _reading(source) as archive:
        header = _header(archive, source)
        columns = {table: await columns_of(database, table) for table in _TABLES}
        tables = {table: list(_read_table(archive, table, columns[table], source)) for table in _TABLES}
    _check(header, tables, source)

    async def work(tx: Transaction) -> None:
        await _check_new(tx, header.flow_run_id, tables["flow_run"][0])
        await _settle_flow(tx, tables)
        await _number_anew(tx, tables)
        for run in tables["flow_run"]:
            run["owner"] = run["agent_id"] = None
        for run in tables["task_run"]:
            run["cache_key"] = None
        for table, records in tables.items():
            await _insert(tx, table, records)

    try:
        await database.write(work, durable=True)
    except PrefectliteError:
        raise
    except Exception as error:  # what the database does not take, or what is not there
        raise RunFileError(f"{source} is damaged, or was changed: {type(error).__name__}: {error}") from error
    return header


async def columns_of(database: Database, table: str) -> list[str]:
    """The names of a table's columns."""
    if database.dialect is SQLITE:
        rows = await database.read("SELECT name FROM pragma_table_info($1) ORDER BY cid", (table,))
    else:
        rows = await database.read(
            "SELECT column_name::text FROM information_schema.columns"
            " WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position",
            (table,),
        )
    return [name for (name,) in rows]


async def _version(database: Database, run_id: str) -> tuple[int, str]:
    rows = await database.read("SELECT version, state FROM flow_run WHERE id = $1", (run_id,))
    if not rows:
        raise NotFound(f"Flow run {run_id} not found")
    version, state = rows[0]
    if state not in FINISHED:
        raise RunFileError(f"Flow run {run_id} is {state}: it can be exported when it has ended")
    return version, state


async def _write_table(database: Database, run_id: str, table: str, archive: zipfile.ZipFile) -> int:
    columns = await columns_of(database, table)
    count = 0
    with archive.open(f"{table}.jsonl", "w", force_zip64=True) as file:
        async for row in _rows(database, run_id, table, columns):
            file.write(
                msgspec.json.encode({name: _written(value) for name, value in zip(columns, row, strict=True)}) + b"\n"
            )
            count += 1
    return count


async def _rows(database: Database, run_id: str, table: str, columns: list[str]) -> AsyncIterator[Row]:
    condition, key = _TABLES[table]
    place = columns.index(key)
    last: Any = -1 if key == "seq" else ""
    listed, most = ", ".join(columns), _AT_ONCE.get(table, 1000)
    while True:
        rows = await database.read(
            f"SELECT {listed} FROM {table} WHERE {condition} AND {key} > $2 ORDER BY {key} LIMIT {most}",
            (run_id, last),
        )
        if not rows:
            return
        for row in rows:
            yield row
        last = rows[-1][place]


def _written(value: Any) -> Any:
    return {"$bytes": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


@contextmanager
def _reading(source: Path) -> Iterator[zipfile.ZipFile]:
    """The archive; what is wrong with it is a RunFileError."""
    try:
        with zipfile.ZipFile(source) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise RunFileError(f"{source} is damaged, or no exported run: {error}") from error


def _header(archive: zipfile.ZipFile, source: Path) -> RunFileHeader:
    try:
        header = msgspec.json.decode(archive.read(_HEADER), type=RunFileHeader)
    except (KeyError, msgspec.DecodeError) as error:
        raise RunFileError(f"{source} is no exported run") from error
    if header.format != FORMAT:
        raise RunFileError(f"{source} is no exported run, but a {header.format}")
    if header.version > VERSION or header.schema > migrations()[-1].number:
        raise RunFileError(
            f"{source} was written by prefectlite {header.prefectlite}, which is newer: import it with that one"
        )
    return header


def _read_table(archive: zipfile.ZipFile, table: str, columns: list[str], source: Path) -> Iterator[_Record]:
    name = f"{table}.jsonl"
    if name not in archive.namelist():
        raise RunFileError(f"{source} is damaged: there is no {name} in it")
    with archive.open(name) as file:
        yield from _records(file, table, set(columns), source)


def _records(file: IO[bytes], table: str, columns: set[str], source: Path) -> Iterator[_Record]:
    for number, line in enumerate(file, 1):
        try:
            record: _Record = {name: _read(value) for name, value in msgspec.json.decode(line, type=dict[str, Any]).items()}
        except (ValueError, TypeError) as error:
            raise RunFileError(f"{source} is damaged: line {number} of {table}.jsonl: {error}") from error
        if unknown := sorted(set(record) - columns):
            raise RunFileError(f"{source} has columns that this prefectlite does not know: {table}.{unknown[0]}")
        yield record


def _read(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    return base64.b64decode(value["$bytes"], validate=True)


def _check(header: RunFileHeader, tables: dict[str, list[_Record]], source: Path) -> None:
    found = {table: len(records) for table, records in tables.items()}
    ids = [run.get("id") for run in tables["flow_run"]]
    if found != header.rows or ids != [header.flow_run_id] or found["flow"] != 1:
        raise RunFileError(f"{source} is damaged: it does not hold what it says")
    if tables["flow_run"][0].get("state") not in FINISHED:
        raise RunFileError(f"{source} is damaged: its run has not ended")


async def _check_new(tx: Transaction, run_id: str, run: _Record) -> None:
    if await tx.fetch("SELECT 1 FROM flow_run WHERE id = $1", (run_id,)):
        raise RunFileError(f"Flow run {run_id} is in this database already")
    key = (run.get("idempotency_key"), run.get("flow_id"))
    if key[0] and (others := await tx.fetch("SELECT id FROM flow_run WHERE idempotency_key = $1 AND flow_id = $2", key)):
        raise RunFileError(
            f"Flow run {others[0][0]} in this database has the idempotency key {key[0]!r} of the one in the file"
        )


async def _settle_flow(tx: Transaction, tables: dict[str, list[_Record]]) -> None:
    """Leave out of `tables` what the database has already; fit the flow in among those that are there."""
    flow = tables["flow"][0]
    if rows := await tx.fetch("SELECT digest FROM flow WHERE id = $1", (flow["id"],)):
        if rows[0][0] != flow["digest"]:
            raise RunFileError(f"This database has another flow with the id {flow['id']}")
        for table in _SHARED:
            tables[table] = []
        return
    for project in list(tables["project"]):
        rows = await tx.fetch("SELECT id FROM project WHERE id = $1 OR name = $2", (project["id"], project["name"]))
        if rows:
            flow["project_id"] = rows[0][0]
            tables["project"].remove(project)
    same_name = "SELECT 1 FROM flow WHERE name = $1 AND coalesce(project_id, '') = coalesce($2, '') LIMIT 1"
    if await tx.fetch(same_name, (flow["name"], flow["project_id"])):
        flow["archived"] = 1
    (group,) = tables["flow_group"]
    if await tx.fetch("SELECT 1 FROM flow WHERE flow_group_id = $1 AND version = $2", _place(flow)):
        group["id"] = group["name"] = flow["flow_group_id"] = flow["version_group_id"] = flow[
            "id"
        ]  # a line of versions of its own
    if await tx.fetch("SELECT 1 FROM flow_group WHERE id = $1", (group["id"],)):
        tables["flow_group"] = []


def _place(flow: _Record) -> tuple[str, int]:
    return flow["flow_group_id"], flow["version"]


async def _number_anew(tx: Transaction, tables: dict[str, list[_Record]]) -> None:
    """Give what is in sequence the next numbers of this database, in the same order."""
    numbered = [record for records in tables.values() for record in records if "seq" in record]
    numbered.sort(key=itemgetter("seq"))
    first = await take_sequence(tx, len(numbered))
    for number, record in enumerate(numbered, first):
        record["seq"] = number


async def _insert(tx: Transaction, table: str, records: Iterable[_Record]) -> None:
    by_columns: dict[tuple[str, ...], list[Row]] = {}
    for record in records:
        by_columns.setdefault(tuple(record), []).append(tuple(record.values()))
    for columns, rows in by_columns.items():
        places = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
        size = _AT_ONCE.get(table, 1000)
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            await tx.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", batch)
