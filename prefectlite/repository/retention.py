"""What is too old to be kept: finished runs with all that belongs to them, deleted a few rows at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from prefectlite.clock import to_micros
from prefectlite.errors import BadRequest, NotFound
from prefectlite.repository.database import Database, Row, Transaction
from prefectlite.repository.sequence import tell_of_deletion
from prefectlite.states import FINISHED

#: Rows, and bytes of results, that one transaction deletes at the most: nobody who writes waits long for it.
MOST_ROWS, MOST_BYTES = 400, 4 * 1024 * 1024
_AT_ONCE = 100
_DAY = 86_400_000_000
_NAMES = "', '".join(sorted(FINISHED))
# As an expression, so that no planner takes the index of states, in which nearly all runs are finished.
_FINISHED = f"r.state || '' IN ('{_NAMES}')"
_RUNS = "flow_run r JOIN flow f ON f.id = r.flow_id LEFT JOIN project p ON p.id = f.project_id"


class Terms(msgspec.Struct, frozen=True):
    """For how many days things are kept where a project says nothing else; 0 is for ever.

    Lines of logs go with their runs, or before them, `log_days` after their run has ended.
    """

    days: int
    log_days: int | None = None


class ProjectTerms(msgspec.Struct, frozen=True):
    """For how many days a project keeps things; None: as all do."""

    project_id: str
    days: int | None = None
    log_days: int | None = None


class OldRun(msgspec.Struct, frozen=True):
    """A finished run, and when it ended."""

    id: str
    ended: int


async def terms_of(database: Database, project: str) -> ProjectTerms:
    """What the project of this name says. Raises NotFound."""
    rows = await database.read("SELECT id, retention_days, log_retention_days FROM project WHERE name = $1", (project,))
    if not rows:
        raise NotFound(f"There is no project {project!r} in {database.place}")
    return ProjectTerms(*rows[0])


async def set_retention(tx: Transaction, project_id: str, days: int | None, log_days: int | None = None) -> None:
    """For how many days a project keeps finished runs and their logs: 0 is for ever, None what the settings say.

    Raises NotFound if there is no such project, BadRequest for a negative number.
    """
    if min(days or 0, log_days or 0) < 0:
        raise BadRequest("A number of days cannot be negative; 0 keeps things for ever")
    if not await tx.fetch("SELECT 1 FROM project WHERE id = $1", (project_id,)):
        raise NotFound(f"Project {project_id} not found")
    await tx.execute(
        "UPDATE project SET retention_days = $2, log_retention_days = $3 WHERE id = $1", (project_id, days, log_days)
    )


async def old_runs(database: Database, terms: Terms, now: int, after: OldRun | None) -> list[OldRun]:
    """The next finished runs whose time is over, the oldest first, up to a hundred."""
    return await _past(database, "retention_days", terms.days, now, after)


async def old_logs(database: Database, terms: Terms, now: int, after: OldRun | None) -> list[OldRun]:
    """The next finished runs that have lines whose time is over, the oldest first, up to a hundred."""
    has_lines = "EXISTS (SELECT 1 FROM log WHERE log.flow_run_id = r.id)"
    return await _past(database, "log_retention_days", terms.log_days or 0, now, after, has_lines)


async def cached_in(database: Database, run: OldRun, now: int) -> list[str]:
    """The task runs of a run whose states later runs can still use."""
    rows = await database.read(
        "SELECT id, state_details FROM task_run WHERE flow_run_id = $1 AND cache_key IS NOT NULL AND state = 'Cached'",
        (run.id,),
    )
    return [run_id for run_id, details in rows if _can_be_used(details, now)]


async def delete_some(tx: Transaction, run: OldRun, kept: Sequence[str] = ()) -> bool:
    """Delete some of what belongs to a run, the run itself at last; whether there is more to delete.

    Nothing is touched if it was begun again since. The task runs in `kept` stay, and if there are any, the run.
    """
    if not await _is_as_it_was(tx, run):
        return False
    left = MOST_ROWS - await _delete_lines(tx, run, MOST_ROWS)
    if not left:
        return True
    rows = await _task_runs(tx, run, kept, max(left // 4, 1))
    if rows:
        await _delete_task_runs(tx, rows, left)
        return True
    if not kept:
        await tx.execute("DELETE FROM flow_run WHERE id = $1", (run.id,))  # and with it its history
        await tell_of_deletion(tx)
    return False


async def delete_some_lines(tx: Transaction, run: OldRun) -> bool:
    """Delete some lines of a run's log; whether there are more. Nothing is touched if the run was begun again since."""
    return await _is_as_it_was(tx, run) and await _delete_lines(tx, run, MOST_ROWS) == MOST_ROWS


async def delete_flow_version(tx: Transaction, terms: Terms, now: int) -> list[str]:
    """Delete a version of a flow that was replaced by a newer one long ago and has no runs; its id, if there was one."""
    rows = await tx.fetch(
        """
        SELECT f.id FROM flow f LEFT JOIN project p ON p.id = f.project_id
        WHERE f.archived = 1 AND f.updated < $1 - coalesce(p.retention_days, $2) * $3 AND coalesce(p.retention_days, $2) > 0
            AND NOT EXISTS (SELECT 1 FROM flow_run r WHERE r.flow_id = f.id)
            AND EXISTS (SELECT 1 FROM flow n WHERE n.flow_group_id = f.flow_group_id AND n.version > f.version)
        LIMIT 1
        """,
        (now, terms.days, _DAY),
    )
    for row in rows:
        await tx.execute("DELETE FROM flow WHERE id = $1", row)
    return [flow_id for (flow_id,) in rows]


async def _past(
    database: Database, column: str, days: int, now: int, after: OldRun | None, condition: str = "1 = 1"
) -> list[OldRun]:
    own = [row[0] for row in await database.read(f"SELECT DISTINCT {column} FROM project WHERE {column} > 0")]
    shortest = min([days, *own] if days else own, default=0)
    if not shortest:
        return []
    rows = await database.read(
        f"""
        SELECT r.id, r.end_time FROM {_RUNS}
        WHERE r.end_time < $1 AND (r.end_time, r.id) > ($2, $3) AND {_FINISHED}
            AND coalesce(p.{column}, $4) > 0 AND r.end_time < $5 - coalesce(p.{column}, $4) * $6 AND {condition}
        ORDER BY r.end_time, r.id LIMIT {_AT_ONCE}
        """,
        (now - shortest * _DAY, after.ended if after else -(2**62), after.id if after else "", days, now, _DAY),
    )
    return [OldRun(*row) for row in rows]


async def _is_as_it_was(tx: Transaction, run: OldRun) -> bool:
    rows = await tx.fetch(
        f"SELECT 1 FROM flow_run r WHERE r.id = $1 AND r.end_time = $2 AND {_FINISHED}", (run.id, run.ended)
    )
    return bool(rows)


async def _delete_lines(tx: Transaction, run: OldRun, most: int) -> int:
    """Delete the first lines of a run's log; how many."""
    # Up to a place in the index, rather than those in a list: a planner without statistics would read the whole table.
    beyond = await tx.fetch("SELECT seq FROM log WHERE flow_run_id = $1 ORDER BY seq LIMIT 1 OFFSET $2", (run.id, most))
    limit = beyond[0][0] if beyond else 2**62
    return len(await tx.fetch("DELETE FROM log WHERE flow_run_id = $1 AND seq < $2 RETURNING seq", (run.id, limit)))


def _can_be_used(details: str | None, now: int) -> bool:
    expiration = msgspec.json.decode(details).get("cached_result_expiration") if details else None
    return expiration is None or to_micros(datetime.fromisoformat(expiration)) > now


async def _task_runs(tx: Transaction, run: OldRun, kept: Sequence[str], most: int) -> list[Row]:
    """The next task runs to delete: id, size of the result, length of the history."""
    spared = f"AND NOT {tx.dialect.among('t.id', '$3')}" if kept else ""
    params: list[Any] = [run.id, most, tx.dialect.listed(kept)]
    return await tx.fetch(
        f"""
        SELECT t.id, coalesce(length(x.data), 0), t.version FROM task_run t LEFT JOIN result x ON x.task_run_id = t.id
        WHERE t.flow_run_id = $1 {spared} LIMIT $2
        """,
        params if kept else params[:2],
    )


async def _delete_task_runs(tx: Transaction, rows: Sequence[Row], most: int) -> None:
    """Delete task runs with their results and histories, as many of these at once as may be."""
    first, _, length = rows[0]
    if length > most:  # a loop's history goes before its task run
        ((oldest,),) = await tx.fetch("SELECT min(version) FROM task_run_state WHERE task_run_id = $1", (first,))
        if oldest is not None and oldest + most <= length:
            sql = "DELETE FROM task_run_state WHERE task_run_id = $1 AND version < $2"
            await tx.execute(sql, (first, oldest + most))
            return
    ids = [first]
    size = rows[0][1]
    for run_id, bytes_, states in rows[1:]:
        size, length = size + bytes_, length + states
        if size > MOST_BYTES or length > most:
            break
        ids.append(run_id)
    await tx.execute(f"DELETE FROM task_run WHERE {tx.dialect.among('id', '$1')}", (tx.dialect.listed(ids),))
