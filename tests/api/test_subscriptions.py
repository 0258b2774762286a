"""News over the wire: what was, what comes, nothing twice and nothing left out."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from prefectlite import Flow, Runtime
from prefectlite.api import subscriptions
from prefectlite.api.subscriptions import logs, state_changes
from prefectlite.live.events import ALL_FLOW_RUNS, StateChange
from prefectlite.records import StateRecord
from tests.api.sockets import dial, initialise, receive, send, until

CHANGE = "seq kind flow_run_id task_run_id task_id map_index version state message timestamp lagged"
LINE = "seq id flow_run_id task_run_id timestamp level name message lagged"


@pytest.mark.asyncio
async def test_states_of_all_flow_runs_as_they_come(port: int, runtime: Runtime, flows: tuple[Flow, Flow]) -> None:
    async with dial(port) as socket:
        await initialise(socket)
        await send(
            socket, id="1", type="subscribe", payload={"query": f"subscription {{ news: state_changes {{ {CHANGE} }} }}"}
        )
        # The session itself listens too, for orders.
        await until(lambda: runtime.session.bus.listeners(ALL_FLOW_RUNS) == 2)
        await send(socket, type="ping")
        await receive(socket)
        run = await flows[0].run()
        states = []
        while not states or states[-1] != "Success":
            answer = await receive(socket)
            assert (answer["id"], answer["type"]) == ("1", "next")
            change = answer["payload"]["data"]["news"]
            assert (change["kind"], change["flow_run_id"], change["task_run_id"]) == ("flow_run", run.id, None)
            assert change["timestamp"].endswith("+00:00")
            assert change["lagged"] is False
            states.append(change["state"])
        assert states == ["Scheduled", "Running", "Success"]
        await send(socket, id="1", type="complete")


async def everything(runtime: Runtime, run_id: str) -> list[dict[str, Any]]:
    """All changes of a run in the record."""
    found = []
    async with asyncio.timeout(10), aclosing(state_changes(runtime.session, run_id, 0)) as changes:
        async for change in changes:
            found.append(change)
            if change["kind"] == "flow_run" and change["state"] in ("Success", "Failed", "Cancelled"):
                return found
    raise AssertionError("the run never ended")


@pytest.mark.asyncio
@pytest.mark.parametrize("page", [1, 2, 2_000])
async def test_the_record_is_replayed_first(
    port: int, runtime: Runtime, flows: tuple[Flow, Flow], monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(subscriptions, "PAGE", page)
    for name in ("_RUN_CHANGES", "_ALL_CHANGES", "_LINES"):
        sql = getattr(subscriptions, name).replace("LIMIT 2000", f"LIMIT {page}")
        monkeypatch.setattr(subscriptions, name, sql)
    run = await flows[0].run()
    changes = await everything(runtime, run.id)
    assert [change["seq"] for change in changes] == sorted({change["seq"] for change in changes})
    own = [change["state"] for change in changes if change["kind"] == "flow_run"]
    assert own == ["Scheduled", "Running", "Success"]
    children = [change for change in changes if change["map_index"] in (0, 1, 2) and change["state"] == "Success"]
    assert len(children) == 3
    assert all(change["task_run_id"] and change["task_id"] for change in changes if change["kind"] == "task_run")

    async with dial(port) as socket:
        await initialise(socket)
        query = (
            f"subscription q($id: uuid, $after: bigint) {{ state_changes(flow_run_id: $id, after: $after) {{ {CHANGE} }} }}"
        )
        after = changes[3]["seq"]
        await send(socket, id="1", type="subscribe", payload={"query": query, "variables": {"id": run.id, "after": after}})
        for expected in changes[4:]:
            assert (await receive(socket))["payload"]["data"]["state_changes"] == expected


@pytest.mark.asyncio
async def test_nothing_falls_between_record_and_news(runtime: Runtime, flows: tuple[Flow, Flow]) -> None:
    first = await flows[0].run()

    async def follow() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        async with asyncio.timeout(20), aclosing(state_changes(runtime.session, None, 0)) as changes:
            async for change in changes:
                found.append(change)
                if sum(change["state"] == "Success" for change in found) == 6:
                    return found
        raise AssertionError

    followers = [asyncio.create_task(follow()) for _ in range(3)]
    for _ in range(5):
        await flows[0].run()
        followers.append(asyncio.create_task(follow()))  # these begin in the middle of things
    for found in await asyncio.gather(*followers):
        assert [change["seq"] for change in found] == sorted({change["seq"] for change in found})
        assert len(found) == 18
        assert found[0]["flow_run_id"] == first.id


@pytest.mark.asyncio
async def test_a_slow_listener_is_told_what_it_missed(runtime: Runtime) -> None:
    bus = runtime.session.bus
    bus._capacity = 3

    def change(seq: int) -> StateChange:
        return StateChange(seq, "flow_run", "r", None, None, None, 1, StateRecord("s", "Running", 0))

    async with asyncio.timeout(10), aclosing(state_changes(runtime.session)) as changes:
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        bus.publish([change(1)])
        assert (await waiting)["lagged"] is False
        bus.publish([change(seq) for seq in range(2, 10)])
        news = [await anext(changes) for _ in range(3)]
    assert [(one["seq"], one["lagged"]) for one in news] == [(7, True), (8, False), (9, False)]


@pytest.mark.asyncio
async def test_log_lines(port: int, runtime: Runtime, flows: tuple[Flow, Flow]) -> None:
    run = await flows[0].run()
    recorded = await runtime.session.database.read("SELECT seq FROM log WHERE flow_run_id = $1 ORDER BY seq", (run.id,))
    async with dial(port) as socket:
        await initialise(socket)
        query = f'subscription {{ logs(flow_run_id: "{run.id}", after: 0) {{ {LINE} __typename }} }}'
        await send(socket, id="1", type="subscribe", payload={"query": query})
        for (seq,) in recorded:
            line = (await receive(socket))["payload"]["data"]["logs"]
            assert (line["seq"], line["flow_run_id"], line["__typename"]) == (seq, run.id, "log_line")
            assert line["message"]
            assert set(line) == {*LINE.split(), "__typename"}


@pytest.mark.asyncio
async def test_log_lines_that_come_later(runtime: Runtime, flows: tuple[Flow, Flow]) -> None:
    run = await flows[0].run()
    async with asyncio.timeout(10), aclosing(logs(runtime.session, run.id)) as lines:
        waiting = asyncio.ensure_future(anext(lines))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])


@pytest.mark.asyncio
async def test_a_subscription_ends_with_the_session(runtime: Runtime) -> None:
    changes = state_changes(runtime.session)
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    runtime.session.bus.close()
    with pytest.raises(StopAsyncIteration):
        await waiting
