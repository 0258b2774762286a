"""What is too old goes, little by little; what is needed stays."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from prefectlite import Flow, Parameter, Runtime, task
from prefectlite.errors import BadRequest, NotFound
from prefectlite.ids import new_id
from prefectlite.live.events import ALL_FLOW_RUNS, FlowRunsDeleted
from prefectlite.repository import audit, messages, retention
from prefectlite.repository.audit import AuditRow
from prefectlite.repository.database import Transaction
from prefectlite.repository.retention import MOST_ROWS, OldRun, set_retention
from prefectlite.services.retention import Retention
from prefectlite.settings import load_settings
from prefectlite.states import Scheduled
from tests.conftest import HeldClock
from tests.scenarios.processes import prefectlite, rows, serving, wait_until

DAY = 86_400.0
TABLES = ("flow_run", "flow_run_state", "task_run", "task_run_state", "result", "log")


@task(log_stdout=True)
def talk(value: Any) -> Any:
    print("said", value)
    return value


@task(cache_for=timedelta(days=100))
def slow(value: Any) -> Any:
    return value


with Flow("talks") as TALKS:
    talk(Parameter("value", default=0))

with Flow("caches") as CACHES:
    slow(talk(1))


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest_asyncio.fixture
async def runtime(database_url: str, clock: HeldClock) -> AsyncIterator[Runtime]:
    settings = load_settings(database_url=database_url)
    async with Runtime(flows=[TALKS, CACHES], settings=settings, clock=clock, agent=False) as opened:
        yield opened


async def clean(runtime: Runtime, **changes: Any) -> int:
    service = Retention(runtime.session, pause=0)
    if changes:
        service = Retention(_with(runtime, **changes), pause=0)
    return await service.clean()


def _with(runtime: Runtime, **changes: Any) -> Any:
    session = runtime.session
    session.settings = msgspec.structs.replace(session.settings, **changes)
    return session


async def counts(runtime: Runtime) -> dict[str, int]:
    found = {}
    for table in TABLES:
        ((found[table],),) = await runtime.session.database.read(f"SELECT count(*) FROM {table}")
    return found


async def run_ids(runtime: Runtime) -> set[str]:
    return {row[0] for row in await runtime.session.database.read("SELECT id FROM flow_run")}


@pytest.mark.asyncio
async def test_old_runs_go_with_all_that_belongs_to_them(runtime: Runtime, clock: HeldClock) -> None:
    for number in range(3):
        await TALKS.run(value=number)
    clock.advance(20 * DAY)
    recent = await TALKS.run(value=9)
    clock.advance(10 * DAY)
    assert await clean(runtime) == 0, "30 days are not over"
    before = await counts(runtime)
    assert all(before[table] for table in TABLES)
    clock.advance(1)
    with runtime.session.bus.subscribe(ALL_FLOW_RUNS) as news:
        assert await clean(runtime) == 3
        assert await news.batch() == [FlowRunsDeleted()] * 3
    assert await run_ids(runtime) == {recent.id}
    assert await counts(runtime) == {table: count // 4 for table, count in before.items()}
    clock.advance(20 * DAY)
    assert await clean(runtime) == 1
    assert not any((await counts(runtime)).values())
    await TALKS.run()


@pytest.mark.asyncio
async def test_nothing_goes_where_everything_is_kept(runtime: Runtime, clock: HeldClock) -> None:
    await TALKS.run()
    clock.advance(3650 * DAY)
    assert await clean(runtime, retention_days=0) == 0
    assert (await counts(runtime))["log"] > 0


@pytest.mark.asyncio
async def test_what_is_not_finished_stays(runtime: Runtime, clock: HeldClock) -> None:
    client = runtime.session.client
    ((flow_id,),) = await runtime.session.database.read("SELECT id FROM flow WHERE name = 'talks'")
    waiting = await client.create_flow_run(flow_id=flow_id)
    again = await TALKS.run()
    clock.advance(40 * DAY)
    (found,) = await retention.old_runs(runtime.session.database, retention.Terms(30), clock.micros(), None)
    assert found.id == again.id
    await client.set_flow_run_state(again.id, Scheduled("once more", start_time=clock.now()))
    before = await counts(runtime)

    async def late(tx: Transaction) -> bool:  # it was chosen before it was begun again
        return await retention.delete_some(tx, found) or await retention.delete_some_lines(tx, found)

    assert not await runtime.session.database.write(late)
    assert await clean(runtime) == 0
    assert await counts(runtime) == before
    assert await run_ids(runtime) == {waiting, again.id}


@pytest.mark.asyncio
async def test_a_project_has_terms_of_its_own(runtime: Runtime, clock: HeldClock) -> None:
    database = runtime.session.database

    @task
    def nothing() -> None: ...

    with Flow("elsewhere") as elsewhere:
        nothing()
    await TALKS.run()
    await elsewhere.run()  # from a script, in no project
    ((project_id,),) = await database.read("SELECT id FROM project")
    for days, age, left in ((0, 100, 1), (7, 6, 2), (7, 8, 1), (None, 29, 2), (60, 50, 1)):
        await database.write(lambda tx, days=days: set_retention(tx, project_id, days))  # type: ignore[misc]
        clock.advance(age * DAY)
        await clean(runtime)
        assert len(await run_ids(runtime)) == left, (days, age)
        await clean_all(runtime, clock)
        await TALKS.run()
        await elsewhere.run()
    with pytest.raises(NotFound, match="Project nobody not found"):
        await database.write(lambda tx: set_retention(tx, "nobody", 3))
    with pytest.raises(BadRequest, match="cannot be negative"):
        await database.write(lambda tx: set_retention(tx, project_id, -1))


async def clean_all(runtime: Runtime, clock: HeldClock) -> None:
    async def work(tx: Transaction) -> None:
        await tx.execute("DELETE FROM flow_run")

    await runtime.session.database.write(work)


@pytest.mark.asyncio
async def test_lines_of_logs_may_go_before_their_runs(runtime: Runtime, clock: HeldClock) -> None:
    await TALKS.run()
    clock.advance(5 * DAY)
    later = await TALKS.run()
    clock.advance(4 * DAY)
    before = await counts(runtime)
    await clean(runtime, log_retention_days=7)
    assert await counts(runtime) == {**before, "log": before["log"] // 2}
    assert {row[0] for row in await runtime.session.database.read("SELECT flow_run_id FROM log")} == {later.id}
    await clean(runtime, log_retention_days=0)
    assert (await counts(runtime))["log"] == before["log"] // 2


@pytest.mark.asyncio
async def test_cached_states_stay_until_they_expire(runtime: Runtime, clock: HeldClock) -> None:
    first = await CACHES.run()
    clock.advance(90 * DAY)
    assert await clean(runtime) == 1
    assert await run_ids(runtime) == {first.id}
    assert (await counts(runtime))["task_run"] == 1
    assert (await counts(runtime))["log"] == 0
    again = await CACHES.run()
    names = await runtime.session.database.read("SELECT state FROM task_run_state WHERE state = 'Cached'")
    assert len(names) == 2, "the second run used it"
    clock.advance(11 * DAY)
    await clean(runtime)
    assert await run_ids(runtime) == {again.id}


@pytest.mark.asyncio
async def test_versions_of_flows_go_but_the_newest(runtime: Runtime, clock: HeldClock) -> None:
    def version(number: int) -> Flow:
        with Flow("versions") as flow:
            for _ in range(number):
                talk(1)
        return flow

    flows = [version(number) for number in (1, 2, 3)]
    for flow in flows:
        await flow.run()
    sql = "SELECT version, archived FROM flow WHERE name = 'versions' ORDER BY version"
    assert await runtime.session.database.read(sql) == [(1, 1), (2, 1), (3, 0)]
    clock.advance(40 * DAY)
    await clean(runtime)
    assert await runtime.session.database.read(sql) == [(3, 0)]
    assert await run_ids(runtime) == set()
    assert (await flows[0].run()).is_successful(), "who still has an old one can run it"
    assert await runtime.session.database.read(sql) == [(3, 1), (4, 0)]
    ((count,),) = await runtime.session.database.read("SELECT count(*) FROM flow WHERE archived = 0")
    assert count == 3


@pytest.mark.asyncio
async def test_large_runs_go_in_small_transactions(runtime: Runtime, clock: HeldClock) -> None:
    with Flow("wide") as wide:
        talk.map(list(range(700)))
    run = await wide.run()
    clock.advance(31 * DAY)
    database, now = runtime.session.database, clock.micros()
    (old,) = await retention.old_runs(database, retention.Terms(30), now, None)
    assert old == OldRun(run.id, old.ended)
    sizes = [sum((await counts(runtime)).values())]
    while await database.write(lambda tx: retention.delete_some(tx, old)):
        sizes.append(sum((await counts(runtime)).values()))
    deleted = [before - after for before, after in itertools.pairwise(sizes)]
    assert len(deleted) > 5
    assert max(deleted) <= 2 * MOST_ROWS
    assert not any((await counts(runtime)).values())


@pytest.mark.asyncio
async def test_a_long_history_goes_before_its_task_run(runtime: Runtime, clock: HeldClock) -> None:
    run = await TALKS.run()
    database = runtime.session.database
    ((task_run,),) = await database.read("SELECT min(id) FROM task_run")

    async def loop(tx: Transaction) -> None:
        states = [(10**9 + n, task_run, n) for n in range(100, 3_000)]
        columns = "seq, id, task_run_id, version, timestamp, state"
        made = f"INSERT INTO task_run_state ({columns}) VALUES ($1, 'x', $2, $3, 0, 'Looped')"
        await tx.executemany(made, states)
        await tx.execute("UPDATE task_run SET version = 2999 WHERE id = $1", (task_run,))

    await database.write(loop)
    clock.advance(31 * DAY)
    (old,) = await retention.old_runs(database, retention.Terms(30), clock.micros(), None)
    assert old.id == run.id
    turns = 1
    while await database.write(lambda tx: retention.delete_some(tx, old)):
        turns += 1
    assert 2_900 // MOST_ROWS < turns < 20
    assert not any((await counts(runtime)).values())


@pytest.mark.asyncio
@pytest.mark.parametrize("days", [365, 7, 0])
async def test_the_audit_log(database_url: str, clock: HeldClock, days: int) -> None:
    settings = load_settings(database_url=database_url, audit_retention_days=days)
    async with Runtime(settings=settings, clock=clock, agent=False) as runtime:
        session = runtime.session

        async def record(count: int, action: str) -> None:
            row = AuditRow(clock.micros(), "alice", "admin", None, action, "{}", "{}", "done")
            await session.database.write(lambda tx: audit.add(tx, [row] * count))

        await record(2 * audit.MOST_ROWS + 1, "old")
        clock.advance(days * DAY)
        await record(1, "new")
        await Retention(session, pause=0).clean()
        assert len(await session.database.read("SELECT 1 FROM audit_log")) == 2 * audit.MOST_ROWS + 2
        clock.advance(1)
        await Retention(session, pause=0).clean()
        left = {action for (action,) in await session.database.read("SELECT action FROM audit_log")}
        assert left == ({"new"} if days else {"old", "new"})


@pytest.mark.asyncio
@pytest.mark.parametrize("days", [7, 0])
async def test_messages(database_url: str, clock: HeldClock, days: int) -> None:
    settings = load_settings(database_url=database_url, retention_days=days)
    async with Runtime(settings=settings, clock=clock, agent=False) as runtime:
        session = runtime.session

        async def write(count: int, text: str) -> None:
            async def work(tx: Transaction) -> None:
                for _ in range(count):
                    await messages.add(tx, new_id(), "CLOUD_HOOK", text, "{}", clock.micros())

            await session.database.write(work)

        await write(2 * messages.MOST_ROWS + 1, "old")
        clock.advance(days * DAY)
        await write(1, "new")
        await Retention(session, pause=0).clean()
        assert len(await session.database.read("SELECT 1 FROM message")) == 2 * messages.MOST_ROWS + 2
        clock.advance(1)
        await Retention(session, pause=0).clean()
        left = {text for (text,) in await session.database.read("SELECT text FROM message")}
        assert left == ({"new"} if days else {"old", "new"})


@pytest.mark.asyncio
async def test_the_service_goes_on_until_it_is_cancelled(runtime: Runtime, clock: HeldClock) -> None:
    await TALKS.run()
    service = asyncio.create_task(Retention(runtime.session, every=0.001, pause=0).run())
    await asyncio.sleep(0.02)
    assert len(await run_ids(runtime)) == 1
    clock.advance(31 * DAY)
    async with asyncio.timeout(10):
        while await run_ids(runtime):  # it asks the database, which gives the service its turns
            pass
    service.cancel()
    await asyncio.wait([service])


def test_serve_has_it(tmp_path: Path, free_port: int) -> None:
    path = tmp_path / "served.sqlite"
    script = "from prefectlite import Flow, task\nwith Flow('f') as flow:\n    task(lambda: 1, name='one')()\n"
    (tmp_path / "flow.py").write_text(script)
    url = f"sqlite:///{path}"
    for _ in range(2):
        assert prefectlite("run", "flow.py", "--database", url, cwd=tmp_path).returncode == 0
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            f"UPDATE flow_run SET end_time = end_time - {11 * 86_400_000_000} WHERE id = (SELECT min(id) FROM flow_run)"
        )
    with serving("--database", url, port=free_port, cwd=tmp_path, PREFECTLITE_RETENTION_DAYS="10"):
        wait_until(lambda: rows(path, "SELECT count(*) FROM flow_run") == [(1,)])
