"""Tokens: who is recognised, for how long, and what of them lies in the database and in the file."""

from __future__ import annotations

import stat
from datetime import timedelta

import pytest

from prefectlite.client.http import Client
from prefectlite.client.token_file import ensure_admin, token_for, token_path
from prefectlite.client.tokens import LINK, LOGIN, RECHECK, REMEMBERED, Tokens
from prefectlite.errors import BadRequest, NotFound, SettingsError
from prefectlite.repository.database import Database
from prefectlite.roles import Role
from prefectlite.settings import Settings
from tests.conftest import HeldClock

pytestmark = pytest.mark.asyncio


async def test_a_link_is_good_for_ten_minutes(database: Database) -> None:
    clock = HeldClock()
    tokens = Tokens(database, clock)
    await tokens.create("root", Role.ADMIN)
    early, late = tokens.new_link(), tokens.new_link()
    clock.advance(LINK.total_seconds() - 1)
    assert await tokens.login_by_link(early.encode()) is not None
    clock.advance(1)
    assert await tokens.login_by_link(late.encode()) is None


async def test_a_token_is_known_by_its_hash_only(database: Database) -> None:
    tokens = Tokens(database, HeldClock())
    made = await tokens.create("ci", Role.OPERATOR)
    assert made.text.startswith("pl_")
    assert len(made.text) == 46
    found = await tokens.identity(made.text.encode())
    assert found is not None
    assert (found.actor, found.role, found.token_id) == ("ci", Role.OPERATOR, made.id)
    for wrong in (b"", b"pl_", made.text.encode()[:-1], made.text.upper().encode(), b"pl_\xff\xfe", b"x" * 20_000):
        assert await tokens.identity(wrong) is None
    rows = await database.read("SELECT * FROM api_token")
    assert made.text not in repr(rows)


async def test_what_cannot_be_a_token(database: Database) -> None:
    clock = HeldClock()
    tokens = Tokens(database, clock)
    await tokens.create("ci", "viewer")
    for name, role, until, message in (
        ("ci", "viewer", None, "a token 'ci' already"),
        ("", "viewer", None, "name: "),
        ("x", "root", None, "role: 'root' is none of viewer, agent, operator, admin"),
        ("x", "viewer", clock.now(), "has gone by"),
    ):
        with pytest.raises(BadRequest, match=message):
            await tokens.create(name, role, until)


async def test_a_revoked_token_is_of_no_use_at_once(database: Database) -> None:
    tokens = Tokens(database, HeldClock())
    made = await tokens.create("ci", Role.ADMIN)
    shown = await tokens.login(made.text.encode())
    assert shown is not None
    assert await tokens.identity_of_login(shown[1].encode()) is not None
    await tokens.revoke(made.id)
    assert await tokens.identity(made.text.encode()) is None
    assert await tokens.identity_of_login(shown[1].encode()) is None
    with pytest.raises(NotFound):
        await tokens.revoke(made.id)
    assert (await tokens.create("ci", Role.ADMIN)).id != made.id  # the name is free again


async def test_another_process_hears_of_it_within_ten_seconds(database: Database) -> None:
    clock = HeldClock()
    here, there = Tokens(database, clock), Tokens(database, clock)
    made = await here.create("ci", Role.ADMIN)
    assert await there.identity(made.text.encode()) is not None
    await here.revoke(made.id)
    clock.advance(RECHECK)
    assert await there.identity(made.text.encode()) is None


async def test_tokens_and_logins_expire(database: Database) -> None:
    clock = HeldClock()
    tokens = Tokens(database, clock)
    made = await tokens.create("ci", Role.VIEWER, clock.now() + timedelta(seconds=5))
    assert await tokens.identity(made.text.encode()) is not None
    clock.advance(5)
    assert await tokens.identity(made.text.encode()) is None
    lasting = await tokens.create("lasting", Role.VIEWER)
    shown = await tokens.login(lasting.text.encode())
    assert shown is not None
    key = shown[1].encode()
    assert await tokens.identity(key) is None  # a cookie is no token
    assert await tokens.identity_of_login(lasting.text.encode()) is None
    clock.advance(LOGIN.total_seconds())
    assert await tokens.identity_of_login(key) is None
    await tokens.login(lasting.text.encode())
    assert await database.read("SELECT count(*) FROM login") == [(1,)]  # the expired one is gone


async def test_a_login_is_ended(database: Database) -> None:
    tokens = Tokens(database, HeldClock())
    made = await tokens.create("ci", Role.VIEWER)
    shown = await tokens.login(made.text.encode())
    assert shown is not None
    assert shown[1] not in repr(await database.read("SELECT * FROM login"))
    assert await tokens.identity_of_login(shown[1].encode()) is not None
    await tokens.log_out(shown[1].encode())
    assert await tokens.identity_of_login(shown[1].encode()) is None
    assert await tokens.identity(made.text.encode()) is not None
    assert await tokens.login(b"pl_wrong") is None


async def test_what_is_remembered_has_an_end_and_use_is_noted(database: Database) -> None:
    clock = HeldClock()
    tokens = Tokens(database, clock)
    made = [await tokens.create(f"t{n}", Role.VIEWER) for n in range(3)]
    for one in made:
        await tokens.identity(one.text.encode())
    assert all(tokens.is_remembered(one.text.encode()) for one in made)
    assert not tokens.is_remembered(b"pl_wrong")
    rows = await database.read("SELECT last_used FROM api_token")
    assert rows == [(clock.micros(),)] * 3
    assert REMEMBERED >= 1_000


async def test_the_first_admin_lies_in_a_file_of_its_owner(database: Database) -> None:
    clock = HeldClock()
    tokens = Tokens(database, clock)
    assert await ensure_admin(database, tokens, clock.micros())
    assert stat.S_IMODE(token_path().stat().st_mode) == 0o600
    shown = token_for("http://127.0.0.1:8080", Settings())
    assert shown is not None
    found = await tokens.identity(shown.encode())
    assert found is not None
    assert (found.actor, found.role) == ("admin", Role.ADMIN)
    assert not await ensure_admin(database, tokens, clock.micros())
    await tokens.revoke(found.token_id)
    assert await ensure_admin(database, tokens, clock.micros())
    another = token_for("http://localhost:1", Settings())
    assert another not in (None, shown)
    assert stat.S_IMODE(token_path().stat().st_mode) == 0o600


async def test_the_file_is_for_servers_here(database: Database) -> None:
    clock = HeldClock()
    await ensure_admin(database, Tokens(database, clock), clock.micros())
    assert token_for("http://[::1]:8080", Settings()) is not None
    for url in ("http://box.lan:8080", "http://localhost.evil", "http://127.0.0.1@evil.example", "", "x"):
        assert token_for(url, Settings()) is None
    assert token_for("http://box.lan:8080", Settings(api_token="pl_mine")) == "pl_mine"
    async with Client("http://localhost:1", token="pl_mine") as client:
        assert client._http.headers["authorization"] == "Bearer pl_mine"
    async with Client("http://box.lan:1") as client:
        assert "authorization" not in client._http.headers


async def test_a_file_that_cannot_be_written(database: Database) -> None:
    clock = HeldClock()
    token_path().mkdir(parents=True)
    with pytest.raises(SettingsError, match=r"token cannot be kept in .*PREFECTLITE_HOME"):
        await ensure_admin(database, Tokens(database, clock), clock.micros())
