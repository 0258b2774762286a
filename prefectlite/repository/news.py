"""Reading what was committed, by its place in the sequence, as the events that its own process published."""

from __future__ import annotations

from prefectlite.live.events import LogLine, StateChange
from prefectlite.records import LogRow, StateRecord
from prefectlite.repository.database import Database

_FLOW_RUN_STATES = """
SELECT seq, flow_run_id, version, id, state, timestamp, message, start_time, details
FROM flow_run_state WHERE seq BETWEEN $1 AND $2 ORDER BY seq
"""
_TASK_RUN_STATES = """
SELECT s.seq, r.flow_run_id, r.id, r.task_id, r.map_index, s.version,
    s.id, s.state, s.timestamp, s.message, s.start_time, s.details
FROM task_run_state s JOIN task_run r ON r.id = s.task_run_id WHERE s.seq BETWEEN $1 AND $2 ORDER BY s.seq
"""
_LINES = """
SELECT seq, id, flow_run_id, task_run_id, timestamp, level, name, message
FROM log WHERE seq BETWEEN $1 AND $2 ORDER BY seq
"""


async def flow_run_changes(database: Database, first: int, last: int) -> list[StateChange]:
    """The states of flow runs with these sequence numbers."""
    return [
        StateChange(seq, "flow_run", run_id, None, None, None, version, StateRecord(*state))
        for seq, run_id, version, *state in await database.read(_FLOW_RUN_STATES, (first, last))
    ]


async def task_run_changes(database: Database, first: int, last: int) -> list[StateChange]:
    """The states of task runs with these sequence numbers."""
    return [
        StateChange(seq, "task_run", run_id, task_run_id, task_id, map_index, version, StateRecord(*state))
        for seq, run_id, task_run_id, task_id, map_index, version, *state in await database.read(
            _TASK_RUN_STATES, (first, last)
        )
    ]


async def log_lines(database: Database, first: int, last: int) -> list[LogLine]:
    """The log lines with these sequence numbers."""
    return [LogLine(seq, LogRow(*line)) for seq, *line in await database.read(_LINES, (first, last))]
