"""Log lines, appended in batches."""

from __future__ import annotations

from collections.abc import Sequence

from prefectlite.live.hints import Hint
from prefectlite.records import LogRow
from prefectlite.repository.database import Transaction
from prefectlite.repository.sequence import take_sequence

_LINE = """
INSERT INTO log (seq, id, flow_run_id, task_run_id, timestamp, level, name, message)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""


async def append_lines(tx: Transaction, lines: Sequence[LogRow]) -> int:
    """Write the lines down in this order; the sequence number of the first."""
    first = await take_sequence(tx, len(lines))
    rows = [
        (first + n, line.id, line.flow_run_id, line.task_run_id, line.timestamp, line.level, line.name, line.message)
        for n, line in enumerate(lines)
    ]
    await tx.executemany(_LINE, rows)
    tx.announce(Hint(first, first + len(lines) - 1, list({line.flow_run_id for line in lines}), logs=True))
    return first


async def line_number(tx: Transaction, line: LogRow) -> int | None:
    """The sequence number of this very line, if it is written down."""
    rows = await tx.fetch("SELECT seq FROM log WHERE flow_run_id = $1 AND id = $2", (line.flow_run_id, line.id))
    return rows[0][0] if rows else None
