"""Flow runs that a condition is true of, for changing many of them at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from prefectlite.errors import BadRequest
from prefectlite.repository.database import Database, Transaction
from prefectlite.repository.logs import fill_index
from prefectlite.repository.picking import conditions
from prefectlite.repository.selection import Selection
from prefectlite.repository.sequence import tell_of_deletion
from prefectlite.repository.statement import Statement
from prefectlite.repository.tables import TABLES
from prefectlite.states import FINISHED, Running, Success, names_of

#: Deleting a run deletes its task runs, their histories and its log: so many runs a transaction.
DELETED_AT_ONCE = 20


def _quoted(names: Sequence[str] | frozenset[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names))


#: What can be said of a run `r` beside the caller's condition.
CAN_BE_CANCELLED = f"r.state NOT IN ({_quoted(FINISHED | {'Cancelling'})})"
DID_NOT_SUCCEED = f"r.state IN ({_quoted(FINISHED - set(names_of(Success)))})"
ANY = "1 = 1"
_EXECUTING = f"(r.owner IS NOT NULL OR r.state IN ({_quoted((*names_of(Running), 'Submitted'))}))"


class MatchingRun(msgspec.Struct, frozen=True):
    """A flow run, and the state it is in."""

    id: str
    name: str
    state: str


async def matching_runs(
    database: Database, where: Mapping[str, Any], also: str, limit: int
) -> tuple[int, list[MatchingRun]]:
    """How many runs `where` and `also` are true of, and the first of them: those that nobody executes, the oldest first.

    Raises BadRequest for a `where` that says nothing: a variable that somebody forgot to set must not mean all runs.
    """
    statement = Statement(database.dialect, limit)
    said = conditions(statement, TABLES["flow_run"], Selection("flow_run", {}, where), None, "r")
    if not said:
        raise BadRequest("where: this is true of every flow run; if all are meant, say {id: {_is_null: false}}")
    rows = f"FROM flow_run AS r{said} AND {also}"
    counted = statement.compiled(f"SELECT count(*) {rows}")
    if counted.is_search:
        await fill_index(database)
    ((matched,),) = await database.read(counted.sql, counted.parameters)
    if not limit:
        return matched, []
    found = statement.compiled(
        f"SELECT r.id, r.name, r.state {rows} ORDER BY CASE WHEN {_EXECUTING} THEN 1 ELSE 0 END, r.id"
        f" LIMIT {statement.bind(limit)}"
    )
    return matched, [MatchingRun(*row) for row in await database.read(found.sql, found.parameters)]


async def delete_unless_executed(tx: Transaction, ids: Sequence[str]) -> set[str]:
    """Delete those of these runs that nobody executes, with all that belongs to them; which they were."""
    among = tx.dialect.among("r.id", "$1")
    sql = f"DELETE FROM flow_run AS r WHERE {among} AND NOT {_EXECUTING} RETURNING id"
    deleted = {row[0] for row in await tx.fetch(sql, (tx.dialect.listed(ids),))}
    if deleted:
        await tell_of_deletion(tx)
    return deleted


async def unfinished_task_runs(database: Database, flow_run_ids: Sequence[str]) -> list[tuple[str, str, str, int]]:
    """(id, flow run, task, map index) of the task runs of these flow runs that have not ended."""
    among = database.dialect.among("flow_run_id", "$1")
    rows = await database.read(
        f"SELECT id, flow_run_id, task_id, map_index FROM task_run WHERE {among} AND state NOT IN ({_quoted(FINISHED)})",
        (database.dialect.listed(flow_run_ids),),
    )
    return [(run_id, flow_run_id, task_id, index) for run_id, flow_run_id, task_id, index in rows]
