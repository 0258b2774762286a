"""A Runtime with a few runs in it, an HTTP client for its app, and a real server for WebSockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
import uvicorn
from starlette.applications import Starlette

from prefectlite import Flow, Parameter, Runtime, task

HOST = "http://localhost:9999"
Ask = Callable[..., Awaitable[Any]]


@task
def numbers() -> list[int]:
    return [1, 2, 3]


@task
def double(number: int) -> int:
    return number * 2


with Flow("doubling") as doubling:
    size = Parameter("size", default=3)()
    double.map(numbers())


with Flow("other") as other:
    double(Parameter("number"))


@task(log_stdout=True)
def talk() -> None:
    for number in range(6):
        print(f"line {number}")


with Flow("talking") as talking:
    talk()


@pytest.fixture(params=["sqlite", "postgres"])
def api_database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database of each kind: whether SQLite has it in a file makes no difference to the API."""
    return "sqlite://:memory:" if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))


@pytest_asyncio.fixture
async def runtime(api_database_url: str) -> AsyncIterator[Runtime]:
    """A Runtime that knows two flows and executes nothing by itself."""
    async with Runtime([doubling, other], database_url=api_database_url, agent=False) as runtime:
        yield runtime


@pytest_asyncio.fixture
async def http(runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(runtime.app), base_url=HOST) as client:
        yield client


@pytest_asyncio.fixture
async def ask(http: httpx.AsyncClient) -> Ask:
    """`await ask(query, **variables)`: the data of an answer that has no errors."""

    async def ask(query: str, **variables: Any) -> Any:
        response = await http.post("/graphql", json={"query": query, "variables": variables})
        answer = response.json()
        assert "errors" not in answer, answer["errors"]
        assert response.status_code == 200
        return answer["data"]

    return ask


class _QuietServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # the signals are pytest's


@contextlib.asynccontextmanager
async def serving(app: Starlette, **options: Any) -> AsyncIterator[int]:
    """The port at which a real server serves `app`."""
    given = {"ws": "websockets-sansio", "timeout_graceful_shutdown": 1, **options}
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="off", **given)
    server = _QuietServer(config)
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn sets no event
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await running


@pytest_asyncio.fixture
async def port(runtime: Runtime) -> AsyncIterator[int]:
    async with serving(runtime.app) as port:
        yield port


@pytest.fixture
def flows() -> tuple[Flow, Flow]:
    return doubling, other
