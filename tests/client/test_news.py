"""Listening to a server over WebSocket."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import pytest

from prefectlite.client.http import Client
from prefectlite.errors import ApiError, ServerUnreachable
from tests.scenarios.processes import serving

FLOW = """
from prefectlite import Flow, task

@task
def nothing():
    pass

with Flow("short") as flow:
    nothing()
"""
STATES = "subscription ($id: uuid!) { state_changes(flow_run_id: $id, after: 0) { kind state } }"


@pytest.mark.asyncio
async def test_news_come_until_the_server_goes(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "flow.py").write_text(FLOW)
    with serving("flow.py", port=free_port, cwd=tmp_path) as server:
        run_id = server.start("short")
        async with Client(server.url) as client, aclosing(client.subscribe(STATES, id=run_id)) as news:
            seen = []
            async for one in news:
                seen.append((one["state_changes"]["kind"], one["state_changes"]["state"]))
                if seen[-1] == ("flow_run", "Success"):
                    break
            assert seen[0] == ("flow_run", "Scheduled")
            assert ("task_run", "Success") in seen
            server.process.kill()
            with pytest.raises(ServerUnreachable, match="has closed the connection"):
                await anext(news)
            with pytest.raises(ServerUnreachable, match="cannot be listened to"):
                await anext(client.subscribe(STATES, id=run_id))


@pytest.mark.asyncio
async def test_a_subscription_that_is_none_is_refused(tmp_path: Path, free_port: int) -> None:
    with serving(port=free_port, cwd=tmp_path) as server:
        async with Client(server.url) as client:
            with pytest.raises(ApiError, match=r"refused: .*nothing_like_it"):
                await anext(client.subscribe("subscription { nothing_like_it }"))
            assert await anext(client.subscribe("{ __typename }")) == {"__typename": "Query"}
