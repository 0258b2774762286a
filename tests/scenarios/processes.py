"""Starting real processes and talking to them."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

#: How long a process may take for anything before a test gives it up.
PATIENCE = 30.0


def prefectlite(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """`python -m prefectlite …`, run to its end."""
    command = [sys.executable, "-m", "prefectlite", *arguments]
    environment = {**os.environ, **environ}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False
    )


class Server:
    """A running `serve`."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url
        self._http = httpx.Client(base_url=url, timeout=PATIENCE)

    def show(self, token: str) -> None:
        """Show this token from now on."""
        self._http.headers["authorization"] = f"Bearer {token}"

    def graphql(self, query: str, **variables: Any) -> Any:
        """The data of the answer."""
        answer = self.answer(query, **variables)
        assert "errors" not in answer, answer
        return answer["data"]

    def answer(self, query: str, **variables: Any) -> Any:
        """The whole answer, with errors if there are any."""
        return self._http.post("/graphql", json={"query": query, "variables": variables}).json()

    def start(self, flow_name: str, **parameters: Any) -> str:
        """The id of a new run of a flow."""
        flows = self.graphql(
            "query ($n: String) { flow(where: {name: {_eq: $n}, archived: {_eq: false}}) { id } }", n=flow_name
        )
        mutation = "mutation ($input: create_flow_run_input!) { create_flow_run(input: $input) { id } }"
        made = self.graphql(mutation, input={"flow_id": flows["flow"][0]["id"], "parameters": parameters})
        return str(made["create_flow_run"]["id"])

    def state(self, run_id: str) -> str:
        """The state of a flow run."""
        return str(
            self.graphql("query ($id: uuid!) { flow_run_by_pk(id: $id) { state } }", id=run_id)["flow_run_by_pk"]["state"]
        )

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """The exit code and everything it printed, after a signal."""
        self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, output


@contextlib.contextmanager
def serving(
    *arguments: str, port: int, cwd: Path, prefix: Sequence[str] = (), module: str = "prefectlite", **environ: str
) -> Iterator[Server]:
    """A `serve` that answers; `prefix` is the command, if any, that is to run it."""
    command = [*prefix, sys.executable, "-m", module, "serve", *arguments, "--port", str(port)]
    environment = {**os.environ, **environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    server = Server(process, f"http://127.0.0.1:{port}")
    try:
        wait_until(lambda: process.poll() is not None or is_healthy(server.url))
        assert process.poll() is None, process.communicate()[0]
        yield server
    finally:
        server.close()
        if process.poll() is None:
            process.kill()
            process.communicate()
        if process.stdout is not None:
            process.stdout.close()


@contextlib.contextmanager
def agent(
    *arguments: str, url: str, cwd: Path, module: str = "prefectlite", **environ: str
) -> Iterator[subprocess.Popen[str]]:
    """An `agent local start` that has begun to work for the server at `url`."""
    command = [sys.executable, "-m", module, "agent", "local", "start", "--api", url, *arguments]
    environment = {**os.environ, **environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout is not None
        while "works for" not in (line := process.stdout.readline()):
            assert line, "it has ended"
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def can_trace() -> bool:
    """Whether the system calls of a process can be watched here, and be made to fail."""
    try:
        return subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def is_healthy(url: str) -> bool:
    """Whether a server answers there."""
    try:
        return httpx.get(f"{url}/api/health", timeout=1).status_code == 200
    except httpx.HTTPError:
        return False


def wait_until(condition: Any, patience: float = PATIENCE) -> None:
    """Return when `condition()` holds. Another process owes the answer, so that this has to look again and again."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.02)


def rows(database: Path, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """All rows of a query on a database file."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql, parameters).fetchall()
