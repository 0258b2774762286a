"""News over the wire: what was, what comes, nothing twice and nothing left out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Any

import pytest

from prefectlite import Flow, Runtime
from prefectlite.api import news, run_counts
from prefectlite.api.news import Sources
from prefectlite.api.turns import Turns
from prefectlite.clock import to_micros
from prefectlite.ids import new_id
from prefectlite.live.events import ALL_FLOW_RUNS, StateChange
from prefectlite.records import StateRecord
from prefectlite.repository.flows import forget_scheduled
from prefectlite.repository.sequence import last_taken
from tests.api.conftest import talking
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


async def source(runtime: Runtime, field: str, **arguments: Any) -> AsyncGenerator[dict[str, Any], None]:
    """What feeds a field, piece by piece."""
    async with aclosing(Sources(runtime.session).open(field, Turns(), **arguments)) as batches:
        async for batch in batches:
            for place, (_, piece) in enumerate(batch.pieces):
                yield {
                    **dict(zip(news.NAMES[field], batch.values(piece), strict=True)),
                    "lagged": batch.lagged and place == 0,
                }


def state_changes(
    runtime: Runtime, run_id: str | None = None, after: int | None = None
) -> AsyncGenerator[dict[str, Any], None]:
    return source(runtime, "state_changes", flow_run_id=run_id, after=after)


async def created(runtime: Runtime, run_id: str) -> Any:
    """What it takes to execute a run of this id."""
    run, flow = await runtime.session.create(talking, {}, run_id=run_id)
    return talking, flow, run


async def everything(runtime: Runtime, run_id: str) -> list[dict[str, Any]]:
    """All changes of a run in the record."""
    found = []
    async with asyncio.timeout(10), aclosing(state_changes(runtime, run_id, 0)) as changes:
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
    monkeypatch.setattr(news, "PAGE", page)
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
            change = (await receive(socket))["payload"]["data"]["state_changes"]
            change["timestamp"] = to_micros(datetime.fromisoformat(change["timestamp"]))
            assert change == expected


@pytest.mark.asyncio
async def test_nothing_falls_between_record_and_news(runtime: Runtime, flows: tuple[Flow, Flow]) -> None:
    first = await flows[0].run()

    async def follow() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        async with asyncio.timeout(20), aclosing(state_changes(runtime, None, 0)) as changes:
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

    async with asyncio.timeout(10), aclosing(state_changes(runtime)) as changes:
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        bus.publish([change(1)])
        assert (await waiting)["lagged"] is False
        bus.publish([change(seq) for seq in range(2, 10)])
        rest = [await anext(changes) for _ in range(3)]
    assert [(one["seq"], one["lagged"]) for one in rest] == [(7, True), (8, False), (9, False)]


@pytest.mark.asyncio
async def test_log_lines(port: int, runtime: Runtime) -> None:
    run = await talking.run()
    await runtime.session.run_log.drain()
    recorded = await runtime.session.database.read("SELECT seq FROM log WHERE flow_run_id = $1 ORDER BY seq", (run.id,))
    assert len(recorded) == 6
    async with dial(port) as socket:
        await initialise(socket)
        query = f'subscription {{ logs(flow_run_id: "{run.id}", after: 0) {{ {LINE} __typename }} }}'
        await send(socket, id="1", type="subscribe", payload={"query": query})
        for number, (seq,) in enumerate(recorded):
            line = (await receive(socket))["payload"]["data"]["logs"]
            assert (line["seq"], line["flow_run_id"], line["__typename"]) == (seq, run.id, "log_line")
            assert line["message"] == f"line {number}"
            assert set(line) == {*LINE.split(), "__typename"}


@pytest.mark.asyncio
async def test_log_lines_that_come_later(runtime: Runtime) -> None:
    run_id = new_id()
    async with asyncio.timeout(10), aclosing(source(runtime, "logs", flow_run_id=run_id)) as lines:
        waiting = asyncio.ensure_future(anext(lines))
        await asyncio.sleep(0)
        await runtime.session.execute(*await created(runtime, run_id))
        assert (await waiting)["message"] == "line 0"


@pytest.mark.asyncio
async def test_a_subscription_ends_with_the_session(runtime: Runtime) -> None:
    changes = state_changes(runtime)
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    runtime.session.bus.close()
    with pytest.raises(StopAsyncIteration):
        await waiting


@pytest.mark.asyncio
async def test_states_of_one_flow(runtime: Runtime, flows: tuple[Flow, Flow]) -> None:
    mine, other = flows
    await mine.run()
    [(flow_id, group_id)] = await runtime.session.database.read(
        "SELECT id, flow_group_id FROM flow WHERE name = $1", (mine.name,)
    )
    ways = [{name: value, "task_runs": task_runs} for name, value in (("flow_id", flow_id), ("flow_group_id", group_id))
            for task_runs in (False, True)]  # fmt: skip

    async def follow(given: dict[str, Any]) -> list[tuple[str, str]]:
        found = []
        async with asyncio.timeout(20), aclosing(source(runtime, "state_changes", after=0, **given)) as changes:
            async for change in changes:
                found.append((change["kind"], change["state"]))
                if found.count(("flow_run", "Success")) == 3:
                    return found
        raise AssertionError

    followers = [asyncio.create_task(follow(given)) for given in ways]
    for _ in range(2):
        await other.run(number=1)
        await mine.run()
    for given, found in zip(ways, await asyncio.gather(*followers), strict=True):
        of_flow_runs = [state for kind, state in found if kind == "flow_run"]
        assert of_flow_runs == ["Scheduled", "Running", "Success"] * 3
        assert (len(found) > len(of_flow_runs)) == given["task_runs"]


@pytest.mark.asyncio
async def test_states_of_everything(runtime: Runtime, flows: tuple[Flow, Flow]) -> None:
    first = await flows[0].run()
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(20), aclosing(source(runtime, "state_changes", task_runs=True, after=0)) as changes:
        second = asyncio.ensure_future(flows[1].run(number=1))
        while sum(change["kind"] == "flow_run" and change["state"] == "Success" for change in found) < 2:
            found.append(await anext(changes))
    runs = {change["flow_run_id"] for change in found if change["kind"] == "task_run"}
    assert runs == {first.id, (await second).id}
    assert [change["seq"] for change in found] == sorted({change["seq"] for change in found})


@pytest.mark.asyncio
async def test_a_question_about_two_things_is_refused(port: int) -> None:
    query = "subscription ($id: uuid) { state_changes(flow_id: $id, flow_run_id: $id) { seq } }"
    async with dial(port) as socket:
        await initialise(socket)
        variables = {"id": "00000000-0000-7000-8000-000000000001"}
        await send(socket, id="1", type="subscribe", payload={"query": query, "variables": variables})
        [error] = (await receive(socket))["payload"]["errors"]
        assert error["message"] == "state_changes: say one of flow_run_id, flow_id and flow_group_id"


def counted(one: dict[str, Any]) -> dict[str, int]:
    return {count["state"]: count["count"] for count in one["counts"]}


@pytest.mark.asyncio
async def test_counts_of_flow_runs(runtime: Runtime, flows: tuple[Flow, Flow]) -> None:
    await flows[0].run()
    database = runtime.session.database
    [(flow_id, group_id, project_id)] = await database.read(
        "SELECT id, flow_group_id, project_id FROM flow WHERE name = $1", (flows[0].name,)
    )
    questions: list[dict[str, Any]] = [{}, {"flow_id": flow_id}, {"flow_group_id": group_id}, {"project_id": project_id}]

    async def follow(given: dict[str, Any], total: int) -> list[dict[str, Any]]:
        found = []
        async with asyncio.timeout(20), aclosing(source(runtime, "run_counts", **given)) as counts:
            async for one in counts:
                found.append(one)
                if counted(one) == {"Success": total}:
                    return found
        raise AssertionError

    followers = [asyncio.create_task(follow(given, 6 if given and "project_id" not in given else 11)) for given in questions]
    await asyncio.sleep(0)
    for _ in range(5):
        await flows[0].run()
        await flows[1].run(number=1)
    for found in await asyncio.gather(*followers):
        assert [one["seq"] for one in found] == sorted({one["seq"] for one in found})
        assert len(found) < 8  # and not one for each of the many changes
    async with asyncio.timeout(5), aclosing(source(runtime, "run_counts", by="flow", project_id=project_id)) as by_flow:
        one = await anext(by_flow)
    assert {(count["flow_id"] == flow_id, count["count"]) for count in one["counts"]} == {(True, 6), (False, 5)}
    assert one["seq"] == await last_taken(database)


@pytest.mark.asyncio
async def test_counts_go_on_where_they_were(runtime: Runtime, flows: tuple[Flow, Flow]) -> None:
    await flows[0].run()
    async with asyncio.timeout(10), aclosing(source(runtime, "run_counts")) as counts:
        seq = (await anext(counts))["seq"]
    async with asyncio.timeout(10), aclosing(source(runtime, "run_counts", after=seq)) as counts:
        waiting = asyncio.ensure_future(anext(counts))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await flows[0].run()
        assert counted(await waiting)


@pytest.mark.asyncio
async def test_runs_that_are_deleted_are_missed_in_the_end(
    runtime: Runtime, flows: tuple[Flow, Flow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_counts, "LOOK_AGAIN", 0.05)
    await flows[0].run()
    async with asyncio.timeout(10), aclosing(source(runtime, "run_counts")) as counts:
        assert counted(await anext(counts)) == {"Success": 1}
        await runtime.session.database.write(lambda tx: tx.execute("DELETE FROM flow_run"))
        assert counted(await anext(counts)) == {}


@pytest.mark.asyncio
@pytest.mark.parametrize("by", ["delete_flow_run", "delete_flow", "delete_flow_group", "delete_flow_runs", "schedule"])
async def test_runs_that_are_deleted_are_missed_at_once(
    runtime: Runtime, flows: tuple[Flow, Flow], monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    monkeypatch.setattr(run_counts, "LOOK_AGAIN", 1_000.0)
    client, database = runtime.session.client, runtime.session.database
    await flows[0].run()
    [(run_id, flow_id, group_id)] = await database.read(
        "SELECT r.id, r.flow_id, f.flow_group_id FROM flow_run r JOIN flow f ON f.id = r.flow_id"
    )
    if by == "schedule":
        untouched = "auto_scheduled = 1, state = 'Scheduled', lease_epoch = 0, start_time = NULL"
        await database.write(lambda tx: tx.execute(f"UPDATE flow_run SET {untouched}"))

    async def delete() -> None:
        if by == "delete_flow_runs":
            await client.many.delete({"id": {"_eq": run_id}})
        elif by == "schedule":
            await database.write(lambda tx: forget_scheduled(tx, "flow_id = $1", flow_id))
        else:
            table = by.removeprefix("delete_")
            await client.flows.delete(table, {"flow_run": run_id, "flow": flow_id, "flow_group": group_id}[table])

    seq, listeners = await last_taken(database), runtime.session.bus.listeners(ALL_FLOW_RUNS)
    changes = source(runtime, "state_changes", after=seq)
    async with asyncio.timeout(10), aclosing(changes), aclosing(source(runtime, "run_counts")) as counts:
        changed = asyncio.ensure_future(anext(changes))
        async with aclosing(source(runtime, "run_counts", after=seq)) as later:
            later_counts = asyncio.ensure_future(anext(later))
            assert sum(counted(await anext(counts)).values()) == 1
            await until(lambda: runtime.session.bus.listeners(ALL_FLOW_RUNS) >= listeners + 3)
            await delete()
            assert counted(await anext(counts)) == {}
            assert counted(await later_counts) == {}
        async with aclosing(source(runtime, "run_counts", after=seq)) as away:
            assert counted(await anext(away)) == {}, "who was away when they were deleted hears of it, too"
        await flows[1].run(number=1)
        assert (await changed)["kind"] == "flow_run", "who follows states hears of states only"


@pytest.mark.asyncio
async def test_counts_over_the_wire(port: int, runtime: Runtime, flows: tuple[Flow, Flow]) -> None:
    await flows[0].run()
    query = (
        "subscription { n: run_counts(by: flow_group) { at: seq lagged __typename counts { s: state count __typename } } }"
    )
    async with dial(port) as socket:
        await initialise(socket)
        await send(socket, id="1", type="subscribe", payload={"query": query})
        data = (await receive(socket))["payload"]["data"]
    count = {"s": "Success", "count": 1, "__typename": "run_count"}
    at = await last_taken(runtime.session.database)
    assert data == {"n": {"at": at, "lagged": False, "__typename": "run_counts", "counts": [count]}}
