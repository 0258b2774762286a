"""Large results of executors elsewhere: who may bring and fetch them, and what is refused on the way."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from prefectlite import Runtime
from prefectlite.orchestrator.calls import KEEPS_RESULT, RUN_TOKEN, ResultOffer
from prefectlite.records import ResultRecord, RunLease
from prefectlite.roles import Role
from prefectlite.settings import load_settings
from prefectlite.states import Success
from tests.api.conftest import HOST, doubling
from tests.api.test_remits import Agent, agent_of, run_with

pytestmark = pytest.mark.asyncio
DATA = msgspec.msgpack.encode("a" * 600_000)
BYTES = {"content-type": "application/octet-stream"}


def name_of(data: bytes, encoding: str = "msgpack") -> str:
    return hashlib.sha256(encoding.encode() + b"\n" + data).hexdigest()


@pytest_asyncio.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    settings = load_settings(database_url=f"sqlite:///{tmp_path}/a.sqlite", auth=True, max_result_bytes=1_000_000)
    async with Runtime([doubling], settings=settings, agent=False) as runtime:
        yield runtime


@pytest_asyncio.fixture
async def http(runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(runtime.app), base_url=HOST) as client:
        yield client


class Place:
    """Where an agent that executes a run puts its results."""

    def __init__(self, http: httpx.AsyncClient, agent: Agent, run_id: str) -> None:
        self._http, self.agent, self.run_id = http, agent, run_id

    def _request(self, changes: dict[str, Any]) -> dict[str, Any]:
        given = {"executor_id": self.agent.executor.id, "flow_run_id": self.run_id, "lease": "1", "encoding": "msgpack"}
        token = changes.pop("token", self.agent.token)
        return {"params": given | changes, "headers": BYTES | {"authorization": f"Bearer {token}"}}

    async def put(self, data: Any = DATA, name: str = "", **changes: Any) -> httpx.Response:
        return await self._http.put(f"/api/results/{name or name_of(data)}", content=data, **self._request(changes))

    async def get(self, name: str = "", **changes: Any) -> httpx.Response:
        return await self._http.get(f"/api/results/{name or name_of(DATA)}", **self._request(changes))

    def offer(self, size: int, **changes: Any) -> ResultOffer:
        return msgspec.structs.replace(ResultOffer(self.agent.executor.id, self.run_id, 1, size), **changes)


@pytest_asyncio.fixture
async def place(runtime: Runtime, http: httpx.AsyncClient) -> Place:
    agent = await agent_of(runtime, http, "ours")
    await agent.register("a")
    run_id = await run_with(runtime, "a")
    assert await agent.claims(run_id) == [("accept", None)]
    return Place(http, agent, run_id)


@pytest_asyncio.fixture
async def another(runtime: Runtime, http: httpx.AsyncClient) -> Agent:
    agent = await agent_of(runtime, http, "another")
    await agent.register("a")
    return agent


def told(response: httpx.Response) -> tuple[int, str]:
    """The status and the message of an error."""
    assert response.headers["cache-control"] == "no-store"
    return response.status_code, response.json()["errors"][0]["message"]


def files(directory: Path) -> list[Path]:
    return [path for path in (directory / "a.sqlite.results").rglob("*") if path.is_file()]


async def test_what_is_put_is_what_is_got(runtime: Runtime, place: Place, tmp_path: Path) -> None:
    assert await place.agent.asks(KEEPS_RESULT, place.offer(len(DATA))) is True
    for _ in range(2):  # an answer may have been lost
        answer = await place.put()
        assert answer.status_code == 200, answer.text
    kept = msgspec.json.decode(answer.content, type=ResultRecord)
    assert kept == ResultRecord("msgpack@file", bytes.fromhex(name_of(DATA)))
    assert await runtime.session.kept_results._store.value(kept) == "a" * 600_000  # type: ignore[union-attr]
    (file,) = files(tmp_path)
    assert file.stat().st_mode & 0o077 == 0
    got = await place.get()
    assert (got.status_code, got.content, got.headers["content-length"]) == (200, DATA, str(len(DATA)))


async def test_no_browser_takes_it_for_a_page(place: Place) -> None:
    page = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'></svg>"
    assert (await place.put(page)).status_code == 200
    got = await place.get(name_of(page))
    assert got.content == page
    assert got.headers["content-type"] == "application/octet-stream"
    assert got.headers["content-disposition"] == "attachment"
    assert got.headers["x-content-type-options"] == "nosniff"
    policy = got.headers["content-security-policy"]
    assert {"default-src 'none'", "sandbox"} <= set(policy.split("; "))


async def test_only_who_executes_the_run(runtime: Runtime, place: Place, another: Agent, tmp_path: Path) -> None:
    viewer = (await runtime.session.client.tokens.create("viewer", Role.VIEWER)).text
    elsewhere = await run_with(runtime, "b")
    wrong: list[dict[str, Any]] = [
        {"lease": "2"},
        {"flow_run_id": elsewhere},
        {"executor_id": another.executor.id},
        {"token": another.token},
        {"token": another.token, "executor_id": another.executor.id},
        {"token": viewer},
    ]
    for changes in wrong:
        assert (await place.put(**dict(changes))).status_code == 403, changes
        assert (await place.get(**dict(changes))).status_code == 403, changes
    assert (await place.put(flow_run_id="00000000-0000-4000-8000-000000000000")).status_code in (403, 404)
    assert (await place.put(token="pl_wrong")).status_code == 401
    assert await another.asks(KEEPS_RESULT, place.offer(1)) == "FORBIDDEN"
    assert await place.agent.asks(KEEPS_RESULT, place.offer(1, lease=7)) == "FORBIDDEN"
    await place.agent.ends(place.run_id, 1, Success())
    assert told(await place.put()) == (403, f"Another process executes flow run {place.run_id} now, or none")
    assert files(tmp_path) == []


async def test_the_code_of_a_run_brings_its_own(runtime: Runtime, place: Place) -> None:
    """As it does from a process of its own, which does not have its agent's token."""
    token = await place.agent.asks(RUN_TOKEN, RunLease(place.run_id, place.agent.executor.id, 1))
    assert (await place.put(token=token)).status_code == 200
    assert (await place.get(token=token)).content == DATA
    other = await run_with(runtime, "a")
    assert await place.agent.claims(other) == [("accept", None)]
    assert (await place.put(flow_run_id=other)).status_code == 200
    assert told(await place.put(token=token, flow_run_id=other))[0] == 403
    assert told(await place.get(token=token, flow_run_id=other))[0] == 403


async def test_what_is_refused_leaves_nothing(place: Place, tmp_path: Path) -> None:
    altered = DATA[:-1] + b"b"
    status, message = told(await place.put(altered, name_of(DATA)))
    assert (status, message) == (400, "This result is not what its digest says: it has been altered or cut short on its way")
    large = b"x" * 1_000_001
    status, message = told(await place.put(large))
    assert status == 400
    assert "This result has 1,000,001 bytes, and the server takes 1,000,000 at the most (max_result_bytes there)" in message
    assert await place.agent.asks(KEEPS_RESULT, place.offer(len(large))) == "BAD_USER_INPUT"

    async def pieces() -> AsyncIterator[bytes]:
        yield DATA

    assert told(await place.put(pieces(), name_of(DATA))) == (400, "Say how long the result is: content-length")
    assert told(await place.put(name="no digits"))[0] == 400
    assert told(await place.put(name="ab"))[0] == 400
    assert told(await place.put(encoding="pickle"))[0] == 400
    assert told(await place.put(lease="x")) == (400, "lease: a number is needed")
    assert files(tmp_path) == []


async def test_what_cannot_be_given(place: Place, tmp_path: Path) -> None:
    assert told(await place.get()) == (422, "its file is gone")
    assert told(await place.get(name="ab"))[0] == 422
    await place.put()
    assert told(await place.get(encoding="cloudpickle"))[0] == 422
    (file,) = files(tmp_path)
    file.write_bytes(b"\0" * 32 + file.read_bytes()[32:])
    assert "it was not written with the key" in told(await place.get())[1]


async def test_a_page_of_another_site_cannot(http: httpx.AsyncClient, place: Place) -> None:
    answer = await http.put("/api/results/ab", content=b"x", headers=BYTES | {"origin": "http://elsewhere.example"})
    assert answer.status_code == 403
    plain = await http.put(
        "/api/results/ab",
        content=b"x",
        headers={"authorization": f"Bearer {place.agent.token}", "content-type": "text/plain"},
    )
    assert told(plain) == (400, "Send the result as application/octet-stream")
