"""What all tests share: a place of their own for every test, the matrices of databases, and a clock in the test's hand."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from prefectlite.clock import Clock
from prefectlite.repository.database import Database
from prefectlite.repository.urls import open_database
from prefectlite.session import Session, open_session
from prefectlite.settings import load_settings
from tests.postgres_server import PostgresServer

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background by a shell: our children would ignore it, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: The databases that every test of the record runs on.
DATABASES = ("sqlite memory", "sqlite file", "postgres")
#: The doors that every test of runs goes through. The remote one joins them here.
ORCHESTRATORS = ("local",)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run what takes minutes, too: many more random kills")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kill_seed" in metafunc.fixturenames:
        metafunc.parametrize("kill_seed", range(200 if metafunc.config.getoption("--long") else 4))


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the user's settings or database, or another test's."""
    monkeypatch.setenv("PREFECTLITE_DATABASE_URL", f"sqlite:///{tmp_path / 'test.sqlite'}")
    monkeypatch.setenv("PREFECTLITE_CONFIG", str(tmp_path / "no-config.toml"))
    monkeypatch.setenv("PREFECTLITE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PREFECTLITE_API_URL", raising=False)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server; it is started when the first test wants it."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    name = postgres_server.new_database()
    yield postgres_server.url_of(name)
    postgres_server.empty(name)


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of each kind."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return "sqlite://:memory:" if request.param == "sqlite memory" else f"sqlite:///{tmp_path / 'matrix.sqlite'}"


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open database of each kind."""
    opened = await open_database(database_url)
    yield opened
    await opened.aclose()


@pytest.fixture(params=ORCHESTRATORS)
def orchestrator(request: pytest.FixtureRequest) -> str:
    """Which door the runs of a test go through."""
    return str(request.param)


@pytest_asyncio.fixture
async def session(database_url: str, orchestrator: str) -> AsyncIterator[Session]:
    """An open session over each kind of database, with each kind of door."""
    assert orchestrator == "local", "the only one there is so far"
    async with contextlib.AsyncExitStack() as stack:
        ready: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        leave = asyncio.Event()

        async def live() -> None:  # a session's task group must be left by the task that entered it
            async with open_session(load_settings(database_url=database_url)) as opened:
                ready.set_result(opened)
                await leave.wait()

        task = asyncio.create_task(live())
        stack.push_async_callback(asyncio.wait, [task])
        stack.callback(leave.set)
        yield await ready


class HeldClock(Clock):
    """A clock that stands still until a test moves it on; sleepers awake in the order they are due."""

    def __init__(self) -> None:
        self.began = datetime(2024, 3, 1, 12, tzinfo=UTC)
        self.elapsed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = itertools.count()
        self._slept = asyncio.Event()

    def now(self) -> datetime:
        return self.began + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        return self.elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waking = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.elapsed + seconds, next(self._count), waking))
        self._slept.set()
        await waking

    async def sleeper(self, seconds: float = 0) -> None:
        """Return when somebody sleeps, for so long at least."""
        while not any(not waking.done() and due >= self.elapsed + seconds for due, _, waking in self._sleepers):
            self._slept.clear()
            await self._slept.wait()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.elapsed += seconds
        while self._sleepers and self._sleepers[0][0] <= self.elapsed:
            _, _, waking = heapq.heappop(self._sleepers)
            if not waking.done():
                waking.set_result(None)


@pytest.fixture
def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return port
