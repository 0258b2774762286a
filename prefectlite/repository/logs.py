"""Log lines, appended in batches, and the index of their words, which is filled behind them."""

from __future__ import annotations

from collections.abc import Sequence

from prefectlite.live.hints import Hint
from prefectlite.records import LogRow
from prefectlite.repository.database import Database, Transaction
from prefectlite.repository.sequence import take_sequence
from prefectlite.repository.words import indexed

#: Lines, and characters, that one transaction puts into the index: nobody who writes waits long for it.
MOST_LINES, MOST_CHARACTERS = 500, 256 * 1024

_LINE = """
INSERT INTO log (seq, id, flow_run_id, task_run_id, timestamp, level, name, message, indexed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_INDEXED = "(SELECT value FROM counter WHERE name = 'log_words')"


async def append_lines(tx: Transaction, lines: Sequence[LogRow]) -> int:
    """Write the lines down in this order; the sequence number of the first."""
    first = await take_sequence(tx, len(lines))
    rows = [
        (seq, o.id, o.flow_run_id, o.task_run_id, o.timestamp, o.level, o.name, o.message, indexed(o.message))
        for seq, o in enumerate(lines, first)
    ]
    await tx.executemany(_LINE, rows)
    tx.announce(Hint(first, first + len(lines) - 1, list({line.flow_run_id for line in lines}), logs=True))
    return first


async def line_number(tx: Transaction, line: LogRow) -> int | None:
    """The sequence number of this very line, if it is written down."""
    rows = await tx.fetch("SELECT seq FROM log WHERE flow_run_id = $1 AND id = $2", (line.flow_run_id, line.id))
    return rows[0][0] if rows else None


async def index_some(tx: Transaction) -> bool:
    """Put the next lines into the index of words; whether there are more."""
    rows = await tx.fetch(
        f"SELECT seq, length(message) FROM log WHERE seq > {_INDEXED} ORDER BY seq LIMIT $1", (MOST_LINES + 1,)
    )
    if not rows:
        return False
    last, characters = 0, 0
    for seq, length in rows[:MOST_LINES]:
        characters += length
        if last and characters > MOST_CHARACTERS:
            break
        last = seq
    ((before,),) = await tx.fetch(f"SELECT {_INDEXED}")
    await tx.execute(tx.dialect.index_words(), (before, last))
    await tx.execute("UPDATE counter SET value = $1 WHERE name = 'log_words'", (last,))
    return bool(rows[-1][0] > last)


async def fill_index(database: Database) -> None:
    """Have every line that is committed by now in the index of words."""
    ((last, done),) = await database.read(f"SELECT coalesce(max(seq), 0), {_INDEXED} FROM log")
    while done < last:
        if not await database.write(index_some):
            return
        ((done,),) = await database.read(f"SELECT {_INDEXED}")
