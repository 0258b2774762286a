"""What two hundred subscribers, one of whom never reads, cost the engine while a run is busy."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import uvicorn

from prefectlite import Runtime
from prefectlite.api.app import warm
from prefectlite.cli.connections import Socket
from prefectlite.live.events import ALL_RUNS
from tests.benchmarks.figures import Figure
from tests.benchmarks.in_process import _fan, async_no_op

SUBSCRIBERS, WIDTH, ROUNDS = 200, 5_000, 5
_QUERY = """subscription { state_changes(task_runs: true) {
    seq kind flow_run_id task_run_id task_id map_index version state message timestamp lagged } }"""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def _serving(runtime: Runtime) -> AsyncIterator[int]:
    config = uvicorn.Config(
        runtime.app, port=0, log_level="error", lifespan="off", ws=Socket, ws_per_message_deflate=False,
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = _Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn sets no event
        await asyncio.sleep(0.01)
    await warm(runtime.app)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await running


@contextlib.asynccontextmanager
async def _subscribed(runtime: Runtime, port: int, number: int) -> AsyncIterator[list[int]]:
    """A block in which a process has so many subscriptions; the list has its bytes and messages when it is left."""
    bus, received = runtime.session.bus, [0, 0]
    before = bus.listeners(ALL_RUNS)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, str(port), str(number)), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    while bus.listeners(ALL_RUNS) < before + number:  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.5)
    yield received
    output, _ = await process.communicate(b"\n")
    received[:] = json.loads(output)
    while bus.listeners(ALL_RUNS) > before:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def _measure() -> tuple[dict[int, list[float]], dict[int, list[float]], list[int]]:
    flow = _fan(async_no_op, WIDTH)
    wall: dict[int, list[float]] = {0: [], 1: [], SUBSCRIBERS: []}
    processor: dict[int, list[float]] = {0: [], 1: [], SUBSCRIBERS: []}
    received = [0, 0]
    async with Runtime(agent=False) as runtime, _serving(runtime) as port:
        await flow.run()
        for _ in range(ROUNDS):
            for number in wall:
                async with _subscribed(runtime, port, number) if number else contextlib.nullcontext([0, 0]) as bytes_read:
                    begun, spent = time.perf_counter(), time.process_time()
                    run = await flow.run()
                    wall[number].append(time.perf_counter() - begun)
                    processor[number].append(time.process_time() - spent)
                    run.raise_for_state()
                received = bytes_read
    return wall, processor, received


def subscribers(directory: Path) -> list[Figure]:
    wall, processor, (size, messages) = asyncio.run(_measure())
    alone = min(wall[0])
    figures = [Figure(f"task runs a second, {WIDTH:,} in a busy run, nobody listens", WIDTH / alone, "/s")]
    for number in (1, SUBSCRIBERS):
        slower = statistics.median(x / y - 1 for x, y in zip(wall[number], wall[0], strict=True)) * 100
        more = statistics.median(x / y - 1 for x, y in zip(processor[number], processor[0], strict=True)) * 100
        figures.append(
            Figure(
                f"the same run with {number} subscribers to everything: slower by",
                slower,
                "%",
                "≤ 5 %",
                f"{WIDTH / min(wall[number]):,.0f}/s at best; {more:.1f} % more processor time",
            )
        )
    figures.append(Figure(f"what {SUBSCRIBERS} got of one run", size / 1e6, "MB", "", f"{messages:,} messages"))
    return figures


async def _listen(port: int, is_reading: bool) -> asyncio.Task[tuple[int, int]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET /graphql HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    for message in (
        {"type": "connection_init"},
        {"id": "1", "type": "subscribe", "payload": {"query": _QUERY}},
    ):
        text = json.dumps(message).encode()
        size = bytes((0x80 | len(text),)) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2)
        writer.write(b"\x81" + size + b"\0\0\0\0" + text)  # masked with zeros, which changes nothing
    if not is_reading:
        writer.transport.pause_reading()  # type: ignore[attr-defined]

    async def read() -> tuple[int, int]:
        size = messages = 0
        with contextlib.suppress(asyncio.CancelledError):
            while chunk := await reader.read(2**20):
                size += len(chunk)
                messages += chunk.count(b'"type":"next"')
        writer.transport.abort()
        return size, messages

    return asyncio.create_task(read())


async def _client(port: int, number: int) -> None:
    tasks = [await _listen(port, is_reading=index > 0 or number == 1) for index in range(number)]
    await asyncio.to_thread(sys.stdin.readline)
    for task in tasks:
        task.cancel()
    totals = await asyncio.gather(*tasks)
    print(json.dumps([sum(size for size, _ in totals), sum(messages for _, messages in totals)]))


if __name__ == "__main__":
    asyncio.run(_client(int(sys.argv[1]), int(sys.argv[2])))
