"""The audit log, as the database has it. Rows are added, never changed, and deleted when they are old."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from prefectlite.repository.database import Transaction
from prefectlite.repository.sequence import take_sequence

#: Rows that one transaction deletes at the most.
MOST_ROWS = 400
_ADD = """
INSERT INTO audit_log (seq, at, actor, role, address, action, targets, details, outcome)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""


class AuditRow(msgspec.Struct, frozen=True):
    """Who did what: `targets` and `details` are JSON, `outcome` is `done`, `refused`, or `failed` with the error's code."""

    at: int
    actor: str
    role: str
    address: str | None
    action: str
    targets: str
    details: str
    outcome: str


async def delete_some(tx: Transaction, before: int) -> bool:
    """Delete some rows from before this moment, the oldest first; whether there may be more."""
    sql = f"""
    DELETE FROM audit_log WHERE at < $1 AND seq IN (SELECT seq FROM audit_log ORDER BY seq LIMIT {MOST_ROWS}) RETURNING seq
    """
    return len(await tx.fetch(sql, (before,))) == MOST_ROWS


async def add(tx: Transaction, rows: Sequence[AuditRow]) -> None:
    """Add rows, in this order."""
    first = await take_sequence(tx, len(rows))
    await tx.executemany(_ADD, [(seq, *msgspec.structs.astuple(row)) for seq, row in enumerate(rows, first)])
