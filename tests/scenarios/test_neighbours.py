"""A server and another process on one SQLite file hear of each other's commits at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from prefectlite import Flow, Runtime, task
from prefectlite.live.bus import Subscription
from prefectlite.live.events import ALL_FLOW_RUNS, LogLine, StateChange
from tests.scenarios.processes import Server, serving, wait_until

pytestmark = pytest.mark.asyncio

FILE = """
from prefectlite import Flow, context, task
@task
def speak(number):
    context.logger.info("number %s", number)
with Flow("speaking") as flow:
    speak.map([1, 2, 3])
"""


@task
async def wait_for_ever() -> None:
    await asyncio.sleep(3600)


with Flow("waiting here") as HERE:
    wait_for_ever()


async def until(news: Subscription, name: str) -> list[StateChange]:
    """The news up to the first entering of a state by a flow run."""
    heard: list[StateChange] = []
    async with asyncio.timeout(20):
        async for event in news:
            assert isinstance(event, StateChange)
            heard.append(event)
            if event.kind == "flow_run" and event.state.name == name:
                return heard
    raise AssertionError("the news ended")


async def test_what_the_server_runs_is_heard_here(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "speaking.py").write_text(FILE)
    async with Runtime(agent=False) as runtime:
        with serving("speaking.py", port=free_port, cwd=tmp_path) as server:
            bus = runtime.session.bus
            with bus.subscribe(ALL_FLOW_RUNS) as every_run:
                run_id = await asyncio.to_thread(server.start, "speaking")
                assert [event.flow_run_id for event in await until(every_run, "Success")] == [run_id] * 3


async def _lines(lines: Subscription) -> None:
    said: set[str] = set()
    async with asyncio.timeout(20):
        async for line in lines:
            assert isinstance(line, LogLine)
            said.add(line.row.message)
            if said >= {"number 1", "number 2", "number 3"}:
                return


async def test_every_event_is_heard_once_and_in_order(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "speaking.py").write_text(FILE)
    async with Runtime(agent=False) as runtime:
        with serving("speaking.py", port=free_port, cwd=tmp_path) as server:
            found = await asyncio.to_thread(server.graphql, "{ flow { id } }")
            later = "2099-01-01T00:00:00+00:00"
            mutation = "mutation ($i: create_flow_run_input!) { create_flow_run(input: $i) { id } }"
            value = {"flow_id": found["flow"][0]["id"], "scheduled_start_time": later}
            made = await asyncio.to_thread(lambda: server.graphql(mutation, i=value))
            run_id = made["create_flow_run"]["id"]
            bus = runtime.session.bus
            with bus.subscribe(("flow_run", run_id)) as news, bus.subscribe(("logs", run_id)) as lines:
                state = {"type": "Scheduled", "message": "now"}
                change = "mutation ($i: set_flow_run_states_input!) { set_flow_run_states(input: $i) { states { status } } }"
                await asyncio.to_thread(
                    lambda: server.graphql(change, i={"states": [{"flow_run_id": run_id, "state": state}]})
                )
                heard = await until(news, "Success")
                await _lines(lines)
        sequence = [event.seq for event in heard]
        assert sequence == sorted(set(sequence))
        rows = await runtime.session.database.read(
            "SELECT s.seq FROM task_run_state s JOIN task_run r ON r.id = s.task_run_id WHERE r.flow_run_id = $1", (run_id,)
        )
        assert {seq for (seq,) in rows} <= set(sequence)


async def test_a_run_here_is_cancelled_from_the_server(tmp_path: Path, free_port: int) -> None:
    async with Runtime(agent=False):
        with serving(port=free_port, cwd=tmp_path) as server:
            run = asyncio.create_task(HERE.run())
            run_id = await asyncio.to_thread(_running, server)
            mutation = "mutation ($id: UUID!) { cancel_flow_run(input: {flow_run_id: $id}) { state } }"
            await asyncio.to_thread(lambda: server.graphql(mutation, id=run_id))
            async with asyncio.timeout(5):
                assert (await run).state.name == "Cancelled"


def _running(server: Server) -> str:
    found: list[str] = []

    def look() -> bool:
        found[:] = [r["id"] for r in server.graphql('{ flow_run(where: {state: {_eq: "Running"}}) { id } }')["flow_run"]]
        return bool(found)

    wait_until(look)
    return found[0]


async def test_a_run_made_here_is_begun_by_the_server(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "speaking.py").write_text(FILE)
    async with Runtime(agent=False) as runtime:
        with serving("speaking.py", port=free_port, cwd=tmp_path), runtime.session.bus.subscribe(ALL_FLOW_RUNS) as news:
            ((flow_id,),) = await runtime.session.database.read("SELECT id FROM flow WHERE name = 'speaking'")
            await runtime.session.client.create_flow_run(flow_id=flow_id)
            await until(news, "Success")


async def test_a_neighbour_that_was_killed_is_forgotten(tmp_path: Path, free_port: int) -> None:
    async with Runtime(agent=False) as runtime:
        neighbours = runtime.session.neighbours
        assert neighbours is not None
        with serving(port=free_port, cwd=tmp_path) as server:
            await asyncio.to_thread(wait_until, lambda: len(neighbours.names) == 1)
            server.process.kill()
            server.process.communicate()
        run = HERE.run()
        waiting = asyncio.create_task(run)
        await asyncio.to_thread(wait_until, lambda: not neighbours.names)
        run.cancel()
        await waiting


SLOW = """
import asyncio
from pathlib import Path
from prefectlite import Flow, task
@task
async def wait():
    while not Path(__file__).with_name("gate").exists():
        await asyncio.sleep(0.02)
with Flow("slow") as flow:
    wait()
"""


async def test_the_runs_of_a_server_that_was_killed_are_taken_up_by_its_neighbour(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    async with Runtime() as runtime:
        neighbours = runtime.session.neighbours
        assert neighbours is not None
        database = runtime.session.database
        with (
            serving("slow.py", port=free_port, cwd=tmp_path) as server,
            runtime.session.bus.subscribe(ALL_FLOW_RUNS) as news,
        ):
            # Both hear of the run, and one of them executes it: let that be the server.
            await runtime.stop_services()
            await asyncio.to_thread(server.start, "slow")
            await until(news, "Running")
            await runtime._start_agent(runtime.session)
            server.process.kill()
            server.process.communicate()
            (tmp_path / "gate").touch()
            await until(news, "Success")  # nothing is said here: that it is gone is noticed all the same
        assert await database.read("SELECT count(*) FROM task_run_state WHERE state = 'Success'") == [(1,)]
