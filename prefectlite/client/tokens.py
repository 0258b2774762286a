"""Tokens: made, revoked, and recognised when somebody shows one."""

from __future__ import annotations

import asyncio
import hashlib
import math
import secrets
from collections import OrderedDict
from collections.abc import Collection
from datetime import datetime, timedelta

import msgspec

from prefectlite.client.key_values import checked_name
from prefectlite.clock import Clock, to_micros
from prefectlite.errors import BadRequest, Forbidden, StoreError
from prefectlite.records import RunLease
from prefectlite.repository import tokens
from prefectlite.repository.database import Database, Transaction
from prefectlite.repository.tokens import TokenRow
from prefectlite.roles import GIVEN, Role

PREFIX = "pl_"
#: Seconds after which the database is asked again: another process may have revoked the token.
RECHECK = 10.0
#: How long a browser stays logged in.
LOGIN = timedelta(hours=12)
#: How long a link that logs in can be used, once.
LINK = timedelta(minutes=10)
#: How long the token of a run can be used at most. It is given another one in time.
RUN_LIFE = timedelta(hours=1)
#: Who showed a good token is remembered, up to so many.
REMEMBERED = 1_000
_USE_NOTED_EVERY = 60_000_000  # microseconds


class NewToken(msgspec.Struct, frozen=True):
    """A token, which is shown this once."""

    id: str
    text: str


class Bounds(msgspec.Struct, frozen=True):
    """What confines a token, besides its role: labels and projects (of an agent's), or the one run that it is for.

    And which secrets whoever shows it may read: all, if `secrets` does not say.
    """

    labels: list[str] | None = None
    projects: list[str] | None = None
    flow_run_id: str | None = None
    secrets: list[str] | None = None

    def may_read(self, name: str) -> bool:
        """Whether the secret of this name is one of `secrets`, or begins as one that ends with `*`."""
        if self.secrets is None:
            return True
        return any(name == one or (one.endswith("*") and name.startswith(one[:-1])) for one in self.secrets)


class Identity(msgspec.Struct, frozen=True):
    """Who somebody has shown to be: the token's name and role, and by which hash they are recognised again."""

    actor: str
    role: Role
    token_id: str
    digest: bytes
    is_login: bool = False
    bounds: Bounds = Bounds()


class _Known(msgspec.Struct):
    identity: Identity
    expires_at: int | None
    checked: float


def new_text() -> str:
    """256 bits that nobody can guess, as text."""
    return PREFIX + secrets.token_urlsafe(32)


class Tokens:
    """The tokens of one database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._links: dict[bytes, int] = {}  # until when
        self._revocation = asyncio.Event()

    async def create(
        self,
        name: str,
        role: Role | str,
        expires_at: datetime | None = None,
        text: str | None = None,
        *,
        labels: Collection[str] = (),
        projects: Collection[str] = (),
        secrets: Collection[str] | None = None,
    ) -> NewToken:
        """A new token, `text` if it is given.

        An agent's may be bound: its agents have some of the `labels`, and no others, and take runs of these projects (ids)
        only; they, and the code of these runs, read those `secrets` only (`word*` is how a name begins), without it all.
        Raises BadRequest for a name that is in use, no such role or project, a time gone by.
        """
        checked_name(name, "name")
        if role not in GIVEN:
            raise BadRequest(f"role: {role!r} is none of {', '.join(GIVEN)}")
        if (labels or projects) and role != Role.AGENT:
            raise BadRequest("labels, projects: they say which runs agents may take, and are for tokens of the role agent")
        if secrets is not None and role != Role.AGENT:
            raise BadRequest("secrets: they are those that agents may read, and are for tokens of the role agent")
        labels, projects = sorted(set(labels)), sorted(set(projects))
        readable = None if secrets is None else sorted({checked_name(one, "secrets") for one in secrets})
        now = self._clock.micros()
        until = None if expires_at is None else to_micros(expires_at)
        if until is not None and until <= now:
            raise BadRequest("expires_at: this time has gone by")
        text = text or new_text()
        digest = _hash(text.encode()).hex()
        row = tokens.NewTokenRow(name, str(role), digest, until, labels or None, projects or None, readable)

        async def work(tx: Transaction) -> str:
            return await tokens.add(tx, row, now)

        return NewToken(await self._database.write(work, durable=True), text)

    async def for_run(self, lease: RunLease, token_id: str | None = None) -> str:
        """A token for the code of the run that has this lease: for an hour, or until it has another, or none.

        `token_id` is that of its executor, with which it ends. Raises NotFound.
        """
        text, now = new_text(), self._clock.micros()
        until = now + RUN_LIFE // timedelta(microseconds=1)

        async def work(tx: Transaction) -> None:
            await tokens.add_for_run(tx, _hash(text.encode()).hex(), lease, token_id, until, now)

        await self._database.write(work)
        return text

    async def revoke(self, token_id: str) -> None:
        """Let a token be of no use: here at once, in other processes within 10 seconds. Raises NotFound."""

        async def work(tx: Transaction) -> None:
            await tokens.revoke(tx, token_id, self._clock.micros())

        await self._database.write(work, durable=True)
        self._forget()

    async def identity(self, shown: bytes) -> Identity | None:
        """Who shows this token; None if it is no token, or one that has expired or was revoked.

        Raises Forbidden for a run's, once its executor has another lease or none.
        """
        return await self._identity(_hash(shown), is_login=False)

    async def login(self, token: bytes) -> tuple[Identity, str] | None:
        """Who shows this token, and the key of a login made with it, which is shown this once; None as of `identity`."""
        found = await self.identity(token)
        return None if found is None else (found, await self._logged_in(found))

    def new_link(self) -> str:
        """The key of a link by which one can log in as an admin: here, once, within ten minutes."""
        key = secrets.token_urlsafe(32)
        self._links[_hash(key.encode())] = self._clock.micros() + LINK // timedelta(microseconds=1)
        return key

    async def login_by_link(self, key: bytes) -> tuple[Identity, str] | None:
        """As `login`, for the key of a link; None if it was used before or is too old."""
        now = self._clock.micros()
        if self._links.pop(_hash(key), 0) <= now:
            return None
        row = await tokens.an_admin(self._database, now)
        if row is None:
            return None
        found = Identity(row.name, Role(row.role), row.id, b"")
        return found, await self._logged_in(found)

    async def _logged_in(self, found: Identity) -> str:
        key, now = secrets.token_urlsafe(32), self._clock.micros()
        until = now + LOGIN // timedelta(microseconds=1)

        async def work(tx: Transaction) -> None:
            await tokens.add_login(tx, _hash(key.encode()).hex(), found.token_id, until, now)

        await self._database.write(work, durable=True)
        return key

    async def identity_of_login(self, key: bytes) -> Identity | None:
        """Who made the login with this key; None if it has expired or was ended."""
        return await self._identity(_hash(key), is_login=True)

    async def log_out(self, key: bytes) -> None:
        """End a login."""

        async def work(tx: Transaction) -> None:
            await tokens.remove_login(tx, _hash(key).hex())

        await self._database.write(work, durable=True)
        self._forget()

    def is_remembered(self, shown: bytes) -> bool:
        """Whether this token or key of a login was good a while ago."""
        return _hash(shown) in self._known

    async def end_of(self, identity: Identity) -> None:
        """Return when `identity` is good no more."""
        while True:
            revocation = self._revocation  # before the look, so that none falls between
            if not await self._is_good(identity):
                return
            sleeping = asyncio.ensure_future(self._clock.sleep(RECHECK))
            waiting = asyncio.ensure_future(revocation.wait())
            try:
                await asyncio.wait([sleeping, waiting], return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleeping.cancel()
                waiting.cancel()

    async def _is_good(self, identity: Identity) -> bool:
        try:
            return await self._identity(identity.digest, is_login=identity.is_login) is not None
        except Forbidden:
            return False
        except StoreError:  # nothing can be asked then either; whether it is good turns out afterwards
            return True

    def _forget(self) -> None:
        self._known.clear()
        self._revocation.set()
        self._revocation = asyncio.Event()

    async def _identity(self, digest: bytes, *, is_login: bool) -> Identity | None:
        now = self._clock.micros()
        known = self._known.get(digest)
        if known is not None and known.identity.is_login == is_login and self._clock.monotonic() - known.checked < RECHECK:
            return known.identity if known.expires_at is None or known.expires_at > now else None
        checked, revocation = self._clock.monotonic(), self._revocation
        row = await (tokens.by_login if is_login else tokens.by_hash)(self._database, digest.hex(), now)
        if row is None:
            self._known.pop(digest, None)
            return None if is_login else await self._of_run(digest, now)
        bounds = Bounds(row.labels, row.projects, secrets=row.secrets)
        found = Identity(row.name, Role(row.role), row.id, digest, is_login, bounds)
        if revocation is self._revocation:  # else something was revoked while the database answered
            self._remember(found, row.expires_at, checked)
        await self._note_use(row, now)
        return found

    async def _of_run(self, digest: bytes, now: int) -> Identity | None:
        """Whose token this is, if it is a run's. The record is asked each time: a lease may end at any moment."""
        row = await tokens.run_by_hash(self._database, digest.hex(), now)
        if row is None:
            return None
        if not row.is_current:
            raise Forbidden(f"This token was for the execution of flow run {row.flow_run_id}, which is over")
        bounds = Bounds(flow_run_id=row.flow_run_id, secrets=row.secrets)
        found = Identity(f"run {row.flow_run_id}", Role.RUN, row.token_id or "", digest, bounds=bounds)
        self._remember(found, row.expires_at, -math.inf)  # that others guess from its address does not keep it out
        return found

    def _remember(self, found: Identity, expires_at: int | None, checked: float) -> None:
        self._known[found.digest] = _Known(found, expires_at, checked)
        self._known.move_to_end(found.digest)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    async def _note_use(self, row: TokenRow, now: int) -> None:
        if row.last_used is not None and now - row.last_used < _USE_NOTED_EVERY:
            return

        async def work(tx: Transaction) -> None:
            await tokens.note_use(tx, row.id, now)

        await self._database.write(work)


def _hash(shown: bytes) -> bytes:
    return hashlib.sha256(shown).digest()
