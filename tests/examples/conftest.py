"""The examples as modules, and as what a user starts: real servers in processes of their own, asked over their API."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import msgspec
import pytest
import websockets

EXAMPLES = Path(__file__).parents[2] / "examples"
STARTING = 20.0
STOPPING = 20.0


def example(name: str) -> ModuleType:
    """A fresh module made of an example's file, which is not run as a script."""
    spec = importlib.util.spec_from_file_location(f"examples_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def flights() -> Iterator[ModuleType]:
    """The module of examples/flights.py."""
    yield example("flights")
    del sys.modules["examples_flights"]


class Server:
    """A process that serves the API at `url`."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url

    async def ask(self, query: str, **variables: Any) -> Any:
        """The data of an answer that has no errors."""
        async with httpx.AsyncClient(trust_env=False) as client:
            response = await client.post(f"{self.url}/graphql", json={"query": query, "variables": variables})
        answer = response.json()
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    async def start(self, flow: str, **parameters: Any) -> str:
        """The id of a new run of a registered flow."""
        found = await self.ask("query ($name: String!) { flow(where: {name: {_eq: $name}}) { id } }", name=flow)
        (row,) = found["flow"]
        answer = await self.ask(
            "mutation ($input: create_flow_run_input!) { create_flow_run(input: $input) { id } }",
            input={"flow_id": row["id"], "parameters": parameters},
        )
        return str(answer["create_flow_run"]["id"])

    async def changes(self, run_id: str) -> AsyncGenerator[dict[str, Any], None]:
        """Every state of a run and its tasks, from the beginning, until the server or the reader leaves."""
        query = """subscription ($id: uuid!) {
            state_changes(flow_run_id: $id, after: 0) { kind state message task_id map_index }
        }"""
        address = f"{self.url.replace('http', 'ws', 1)}/graphql"
        async with websockets.connect(
            address, subprotocols=[websockets.Subprotocol("graphql-transport-ws")], proxy=None
        ) as ws:
            await ws.send('{"type": "connection_init"}')
            assert msgspec.json.decode(await ws.recv())["type"] == "connection_ack"
            request = {"query": query, "variables": {"id": run_id}}
            await ws.send(msgspec.json.encode({"id": "1", "type": "subscribe", "payload": request}).decode())
            async for text in ws:
                message = msgspec.json.decode(text)
                assert message["type"] == "next", message
                yield message["payload"]["data"]["state_changes"]

    async def end_of(self, run_id: str, within: float) -> str:
        """The final state of a run."""
        async with asyncio.timeout(within), aclosing(self.changes(run_id)) as changes:
            async for change in changes:
                if change["kind"] == "flow_run" and change["state"] in ("Success", "Failed", "Cancelled"):
                    return str(change["state"])
        raise AssertionError("the server left before the run had ended")

    def kill(self) -> None:
        """End the process as a crash would."""
        self.process.kill()
        self.process.wait(STOPPING)


@asynccontextmanager
async def server(*arguments: str, url: str, health: str, exit_code: int = 0) -> AsyncIterator[Server]:
    """`python arguments`, once it answers; in the end it is told to stop and must leave with `exit_code`."""
    with _process(*arguments) as process:
        await _healthy(process, health)
        yield Server(process, url)
        if process.returncode is None:  # not killed by the test
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, STOPPING) == exit_code


@contextmanager
def _process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-W", "error", *arguments], text=True, env=_environment())
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(STOPPING)


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What came of `python arguments`, with what it wrote."""
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(command, env=_environment(), capture_output=True, text=True, timeout=30, check=False)


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(EXAMPLES.parent), "PYTHONUNBUFFERED": "1"}


async def _healthy(process: subprocess.Popen[str], address: str) -> None:
    async with asyncio.timeout(STARTING), httpx.AsyncClient(trust_env=False) as client:
        while True:
            assert process.poll() is None, "the server ended by itself"
            try:
                if (await client.get(address)).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)  # nothing tells when a process listens


@asynccontextmanager
async def served(file: Path, port: int) -> AsyncIterator[Server]:
    """`python -m prefectlite serve FILE`, which must leave with 0 when it is told to stop."""
    url = f"http://127.0.0.1:{port}"
    arguments = ("-m", "prefectlite", "serve", str(file), "--port", str(port))
    async with server(*arguments, url=url, health=f"{url}/api/health") as running:
        yield running
