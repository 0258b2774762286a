"""The tables of those who use the API: their tokens, and what they did."""

from __future__ import annotations

from prefectlite.repository.table import Kind, Table

#: They hang together with nothing, so that no other table is a way to them.
ACCESS_TABLES = [
    Table(
        "api_token",
        {
            "id": Kind.ID,
            **dict.fromkeys(("name", "role"), Kind.TEXT),
            **dict.fromkeys(("labels", "projects", "secrets"), Kind.JSON),
            **dict.fromkeys(("expires_at", "last_used", "revoked_at", "created", "updated"), Kind.TIME),
        },
        {},
    ),
    Table(
        "audit_log",
        {
            "seq": Kind.INT,
            "at": Kind.TIME,
            **dict.fromkeys(("actor", "role", "address", "action"), Kind.TEXT),
            **dict.fromkeys(("targets", "details"), Kind.JSON),
            "outcome": Kind.TEXT,
        },
        {},
        key="seq",
    ),
]
