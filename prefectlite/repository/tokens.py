"""Tokens and logins, as the database has them: by the hash of what their owners show."""

from __future__ import annotations

import msgspec

from prefectlite.errors import BadRequest, NotFound
from prefectlite.ids import new_id
from prefectlite.repository.database import Database, Transaction

_USABLE = "t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > $1)"
_FOUND = "SELECT t.id, t.name, t.role, t.expires_at, t.last_used FROM"


class TokenRow(msgspec.Struct, frozen=True):
    """A token that may be used. Times are microseconds since 1970."""

    id: str
    name: str
    role: str
    expires_at: int | None
    last_used: int | None


async def add(tx: Transaction, name: str, role: str, token_hash: str, expires_at: int | None, now: int) -> str:
    """The id of a new token. Raises BadRequest if there is one of this name that is not revoked."""
    sql = (
        "INSERT INTO api_token (id, name, role, token_hash, expires_at, created, updated)"
        " VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING RETURNING id"
    )
    rows = await tx.fetch(sql, (new_id(), name, role, token_hash, expires_at, now))
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
    return TokenRow(*rows[0]) if rows else None


async def by_login(database: Database, id_hash: str, now: int) -> TokenRow | None:
    """The token that a login was made with, if both may be used now."""
    rows = await database.read(
        f"{_FOUND} login l JOIN api_token t ON t.id = l.token_id WHERE l.id_hash = $2 AND l.expires_at > $1 AND {_USABLE}",
        (now, id_hash),
    )
    return TokenRow(*rows[0]) if rows else None


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
    return TokenRow(*rows[0]) if rows else None


async def is_known(database: Database, token_hash: str) -> bool:
    """Whether there is, or was, a token with this hash."""
    return bool(await database.read("SELECT 1 FROM api_token WHERE token_hash = $1", (token_hash,)))
