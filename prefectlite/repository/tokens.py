"""Tokens and logins, as the database has them: by the hash of what their owners show."""

from __future__ import annotations

import msgspec

from prefectlite.errors import BadRequest, NotFound
from prefectlite.ids import new_id
from prefectlite.records import RunLease
from prefectlite.repository.database import Database, Row, Transaction

_USABLE = "t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > $1)"
_FOUND = "SELECT t.id, t.name, t.role, t.expires_at, t.last_used, t.labels, t.projects, t.secrets FROM"
_RUN = """
SELECT k.flow_run_id, k.token_id, k.expires_at,
    CASE WHEN r.owner = k.owner AND r.lease_epoch = k.lease_epoch THEN 1 ELSE 0 END, t.secrets
FROM run_token k JOIN flow_run r ON r.id = k.flow_run_id LEFT JOIN api_token t ON t.id = k.token_id
WHERE k.token_hash = $2 AND k.expires_at > $1 AND (k.token_id IS NULL OR (t.id IS NOT NULL AND t.revoked_at IS NULL
    AND (t.expires_at IS NULL OR t.expires_at > $1)))
"""


class TokenRow(msgspec.Struct, frozen=True):
    """A token that may be used. Times are microseconds since 1970."""

    id: str
    name: str
    role: str
    expires_at: int | None
    last_used: int | None
    labels: list[str] | None = None
    projects: list[str] | None = None
    secrets: list[str] | None = None


class RunTokenRow(msgspec.Struct, frozen=True):
    """What the code of a run may show, and whether its executor still has the lease that it was made for.

    `secrets` are those of its executor's token.
    """

    flow_run_id: str
    token_id: str | None
    expires_at: int
    is_current: bool
    secrets: list[str] | None = None


class NewTokenRow(msgspec.Struct, frozen=True):
    """A token that is to be kept; `labels` and `projects` say, if they are there, which runs its agents may take.

    `secrets` says so which secrets they may read.
    """

    name: str
    role: str
    token_hash: str
    expires_at: int | None = None
    labels: list[str] | None = None
    projects: list[str] | None = None
    secrets: list[str] | None = None


async def add(tx: Transaction, token: NewTokenRow, now: int) -> str:
    """The id of a new token. Raises BadRequest if there is one of this name that is not revoked, or no such project."""
    for project_id in token.projects or ():
        if not await tx.fetch("SELECT 1 FROM project WHERE id = $1", (project_id,)):
            raise BadRequest(f"projects: there is no project {project_id}")
    sql = (
        "INSERT INTO api_token (id, name, role, token_hash, expires_at, labels, projects, secrets, created, updated)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)"
        " ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING RETURNING id"
    )
    said = (token.labels, token.projects, token.secrets)
    bounds = [None if one is None else msgspec.json.encode(one).decode() for one in said]
    given = (new_id(), token.name, token.role, token.token_hash, token.expires_at, *bounds, now)
    name, rows = token.name, await tx.fetch(sql, given)
    if not rows:
        raise BadRequest(f"There is a token {name!r} already: revoke it first, or choose another name")
    return str(rows[0][0])


async def revoke(tx: Transaction, token_id: str, now: int) -> None:
    """Let a token, and the logins made with it, be of no use from now on. Raises NotFound."""
    sql = "UPDATE api_token SET revoked_at = $2, updated = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING id"
    if not await tx.fetch(sql, (token_id, now)):
        raise NotFound(f"There is no token {token_id} that could be revoked")
    await tx.execute("DELETE FROM login WHERE token_id = $1", (token_id,))


async def by_hash(database: Database, token_hash: str, now: int) -> TokenRow | None:
    """The token with this hash, if it may be used now."""
    rows = await database.read(f"{_FOUND} api_token t WHERE t.token_hash = $2 AND {_USABLE}", (now, token_hash))
    return _row(rows[0]) if rows else None


async def run_by_hash(database: Database, token_hash: str, now: int) -> RunTokenRow | None:
    """The token of a run with this hash, if it may be used now; not, once that of its executor may not."""
    rows = await database.read(_RUN, (now, token_hash))
    if not rows:
        return None
    flow_run_id, token_id, expires_at, is_current, names = rows[0]
    return RunTokenRow(flow_run_id, token_id, expires_at, bool(is_current), _list(names))


async def add_for_run(tx: Transaction, token_hash: str, lease: RunLease, token_id: str | None, until: int, now: int) -> None:
    """Keep a token for the code of a run; those that have expired go. Raises NotFound."""
    await tx.execute("DELETE FROM run_token WHERE expires_at <= $1", (now,))
    if not await tx.fetch("SELECT 1 FROM flow_run WHERE id = $1", (lease.flow_run_id,)):
        raise NotFound(f"Flow run {lease.flow_run_id} not found")
    await tx.execute(
        "INSERT INTO run_token (token_hash, flow_run_id, owner, lease_epoch, token_id, expires_at)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        (token_hash, lease.flow_run_id, lease.owner, lease.epoch, token_id, until),
    )


async def by_login(database: Database, id_hash: str, now: int) -> TokenRow | None:
    """The token that a login was made with, if both may be used now."""
    rows = await database.read(
        f"{_FOUND} login l JOIN api_token t ON t.id = l.token_id WHERE l.id_hash = $2 AND l.expires_at > $1 AND {_USABLE}",
        (now, id_hash),
    )
    return _row(rows[0]) if rows else None


async def note_use(tx: Transaction, token_id: str, now: int) -> None:
    """Remember that a token was used."""
    await tx.execute("UPDATE api_token SET last_used = $2 WHERE id = $1", (token_id, now))


async def add_login(tx: Transaction, id_hash: str, token_id: str, expires_at: int, now: int) -> None:
    """Keep a login; those that have expired go."""
    await tx.execute("DELETE FROM login WHERE expires_at <= $1", (now,))
    await tx.execute(
        "INSERT INTO login (id_hash, token_id, expires_at, created) VALUES ($1, $2, $3, $4)",
        (id_hash, token_id, expires_at, now),
    )


async def remove_login(tx: Transaction, id_hash: str) -> None:
    """Forget a login, if there is one."""
    await tx.execute("DELETE FROM login WHERE id_hash = $1", (id_hash,))


async def an_admin(database: Database, now: int) -> TokenRow | None:
    """The oldest token for everything that may be used now."""
    sql = f"{_FOUND} api_token t WHERE t.role = 'admin' AND {_USABLE} ORDER BY t.created, t.id LIMIT 1"
    rows = await database.read(sql, (now,))
    return _row(rows[0]) if rows else None


def _row(values: Row) -> TokenRow:
    *rest, labels, projects, names = values
    return TokenRow(*rest, *map(_list, (labels, projects, names)))


def _list(text: str | None) -> list[str] | None:
    return None if text is None else msgspec.json.decode(text, type=list[str])


async def is_known(database: Database, token_hash: str) -> bool:
    """Whether there is, or was, a token with this hash."""
    return bool(await database.read("SELECT 1 FROM api_token WHERE token_hash = $1", (token_hash,)))
