"""The field `status`."""

from __future__ import annotations

import asyncio
import time

import pytest

from prefectlite import Flow, Runtime, task
from prefectlite.api.status import LoopLag
from prefectlite.repository import agents
from prefectlite.version import __version__
from tests.api.conftest import Ask

STATUS = """{ status { version started uptime loop_lag proposals_waiting log_lines_waiting executing database database_bytes
    agents_alive owners { owner is_here flow_runs agent_id last_heard __typename } } hello }"""


@pytest.mark.asyncio
async def test_status(runtime: Runtime, ask: Ask, api_database_url: str) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    @task
    async def wait() -> None:
        begun.set()
        await go.wait()

    with Flow("waiting") as flow:
        wait()
    session = runtime.session
    for moment, name in ((session.clock.micros(), "one"), (0, "long ago")):
        await session.database.write(lambda tx, m=moment, n=name: agents.register(tx, agents.AgentFacts("x", n, "0", []), m))
    running = asyncio.ensure_future(flow.run())
    await begun.wait()
    answer = await ask(STATUS)
    assert answer["hello"] == "👋"
    status = answer["status"]
    assert (status["version"], status["executing"], status["agents_alive"]) == (__version__, 1, 1)
    assert 0 <= status["loop_lag"] < 5
    assert 0 < status["uptime"] < 60
    assert status["proposals_waiting"] >= 0
    assert status["log_lines_waiting"] >= 0
    assert status["started"].endswith("+00:00")
    assert status["database"] == ("sqlite" if api_database_url.startswith("sqlite") else "postgresql")
    assert status["database_bytes"] > 10_000
    mine = {"owner": session.owner_id, "is_here": True, "flow_runs": 1, "agent_id": None, "last_heard": None}
    assert status["owners"] == [{**mine, "__typename": "run_owner"}]
    go.set()
    await running
    assert (await ask("{ status { executing owners { owner } } }"))["status"] == {"executing": 0, "owners": []}


@pytest.mark.asyncio
async def test_the_lag_is_measured_only_while_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LoopLag, "PATIENCE", 1.0)
    lag = LoopLag()
    assert await lag.seconds() < 1
    time.sleep(0.2)  # noqa: ASYNC251 - that is what is to be noticed
    await asyncio.sleep(0.01)
    assert await lag.seconds() > 0.1
    await asyncio.sleep(1.3)
    assert lag._timer is None
