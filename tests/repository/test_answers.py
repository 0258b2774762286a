"""Questions of somebody outside: those that ask for too much are given up, and do not keep others from reading."""

from __future__ import annotations

import asyncio

import pytest

from prefectlite.errors import BadRequest
from prefectlite.repository import postgres, sqlite_answer
from prefectlite.repository.database import Database

pytestmark = pytest.mark.asyncio
ENDLESS = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n % 7 + 1 FROM c) SELECT CAST(max(n) AS TEXT) FROM c"
LARGE = (
    "WITH RECURSIVE c (t, n) AS (SELECT CAST('0123456789abcdef' AS TEXT), 0 UNION ALL SELECT t || t, n + 1 FROM c"
    " WHERE n < 10) SELECT max(t) FROM c"
)


@pytest.fixture(autouse=True)
def bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (postgres, sqlite_answer):
        monkeypatch.setattr(module, "ANSWER_SECONDS", 0.3)
        monkeypatch.setattr(module, "ANSWER_BYTES", 16_000)


async def test_an_answer(database: Database) -> None:
    assert await database.answer("SELECT CAST($1 AS TEXT)", ("ä",)) == "ä"


async def test_what_takes_too_long(database: Database) -> None:
    for _ in range(2):
        with pytest.raises(BadRequest, match="takes longer than 10 seconds: ask for less"):
            await database.answer(ENDLESS)
    assert await database.read("SELECT 1") == [(1,)]
    assert await database.answer("SELECT 'x'") == "x"


async def test_what_is_too_large(database: Database) -> None:
    with pytest.raises(BadRequest, match="larger than 64,000,000 bytes: ask for less"):
        await database.answer(LARGE)
    assert len((await database.read(LARGE))[0][0]) == 16 * 1_024  # what this process itself asks has no such bound


async def test_others_read_meanwhile(database: Database) -> None:
    asked = [asyncio.ensure_future(database.answer(ENDLESS)) for _ in range(8)]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await database.read("SELECT 1")
    done = sum(one.done() for one in asked)
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(one, BadRequest) for one in outcomes)
    assert done < 8  # in memory there is one connection, and its statements come one after the other
