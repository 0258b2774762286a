"""Reading logs: the lines of a run, or of all runs, and those among them that hold certain words."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from prefectlite.repository.database import Database
from prefectlite.repository.logs import fill_index
from prefectlite.repository.statement import Statement
from prefectlite.repository.tables import TABLES
from prefectlite.repository.where import condition

_PAGE = 5_000
_FOUND = """
SELECT l.seq, l.timestamp, l.level, l.message, f.name, t.name, coalesce(r.map_index, -1)
FROM log l JOIN flow_run f ON f.id = l.flow_run_id
    LEFT JOIN task_run r ON r.id = l.task_run_id LEFT JOIN task t ON t.id = r.task_id
"""


class FoundLine(msgspec.Struct, frozen=True):
    """A line of a log; `task_name` and `map_index` are those of the task run that wrote it, None and -1 for the flow run."""

    seq: int
    timestamp: int
    level: str
    message: str
    flow_run_name: str
    task_name: str | None
    map_index: int


async def newest_lines(database: Database, most: int, flow_run_id: str | None, search: str | None) -> list[FoundLine]:
    """The last `most` lines of a run, or of all, in their order; with `search`, those that it finds. Raises BadRequest."""
    return (await _read(database, flow_run_id, search, None, most))[::-1]


async def all_lines(database: Database, flow_run_id: str | None, search: str | None) -> AsyncIterator[FoundLine]:
    """The lines of a run, or of all, in their order; with `search`, those that it finds. Raises BadRequest."""
    after = 0
    while found := await _read(database, flow_run_id, search, after, _PAGE):
        for line in found:
            yield line
        after = found[-1].seq


async def _read(
    database: Database, flow_run_id: str | None, search: str | None, after: int | None, most: int
) -> list[FoundLine]:
    statement = Statement(database.dialect, most)
    where = {
        "flow_run_id": flow_run_id and {"_eq": flow_run_id},
        "message": search and {"_search": search},
        "seq": None if after is None else {"_gt": after},
    }
    conditions = condition(statement, TABLES["log"], where, "l", "search")
    order = f" ORDER BY l.seq {'DESC' if after is None else 'ASC'} LIMIT {statement.bind(most)}"
    compiled = statement.compiled(f"{_FOUND}{f'WHERE {conditions}' if conditions else ''}{order}")
    if compiled.is_search:
        await fill_index(database)
    rows = await database.read(compiled.sql, compiled.parameters)
    return [FoundLine(*row) for row in rows]
