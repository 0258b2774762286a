from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from prefectlite import Flow, Parameter, task, unmapped
from prefectlite.errors import BadRequest, NotFound
from prefectlite.ids import is_id
from prefectlite.language.serialized import digest_of, serialize
from prefectlite.records import FlowRow
from prefectlite.repository.database import Database, Transaction
from prefectlite.repository.flow_to_run import flow_for_run
from prefectlite.repository.flows import (
    FlowVersion,
    create_project,
    flow_by_id,
    project_named,
    save_flow,
)

NOW = 1_893_456_000_000_000


@task(max_retries=2, retry_delay=0.5, timeout=3, tags={"b", "a"})
def step(x: Any = None, y: Any = None) -> Any:
    return x


def flow(steps: int = 2, name: str = "flow") -> dict[str, Any]:
    with Flow(name) as made:
        last: Any = Parameter("p", default=[1])()
        for _ in range(steps):
            last = step.map(last, y=unmapped(last))
    return serialize(made)


def version(serialized: dict[str, Any] | None = None, code: str = "", **fields: Any) -> FlowVersion:
    serialized = serialized or flow()
    return FlowVersion(serialized, digest_of(serialized, code), **fields)


async def project(database: Database, name: str = "project") -> str:
    return await database.write(lambda tx: create_project(tx, name, "about it", NOW))


async def save(database: Database, flow: FlowVersion, now: int = NOW) -> FlowRow:
    return await database.write(lambda tx: save_flow(tx, flow, now))


async def to_run(database: Database, flow_id: str | None = None, group: str | None = None) -> tuple[str, str, list[Any]]:
    found = await database.write(lambda tx: flow_for_run(tx, flow_id, group))
    return found.id, found.name, found.parameters


async def archived(database: Database) -> dict[int, bool]:
    return {
        number: bool(flag) for number, flag in await database.read("SELECT version, archived FROM flow ORDER BY version")
    }


async def group_of(database: Database, row: FlowRow) -> str:
    ((group,),) = await database.read("SELECT version_group_id FROM flow WHERE id = $1", (row.id,))
    return str(group)


# -- projects -------------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_project_is_made(database: Database) -> None:
    project_id = await project(database)
    assert is_id(project_id)
    assert await database.read("SELECT id, name, description, created, updated FROM project") == [
        (project_id, "project", "about it", NOW, NOW)
    ]


@pytest.mark.asyncio
async def test_a_project_is_made_once(database: Database) -> None:
    await project(database)
    with pytest.raises(BadRequest, match="Uniqueness violation"):
        await project(database)
    await project(database, "Project")
    assert await database.read("SELECT count(*) FROM project") == [(2,)]


@pytest.mark.asyncio
async def test_a_project_by_its_name(database: Database) -> None:
    asked = [database.write(lambda tx: project_named(tx, "project", NOW)) for _ in range(3)]
    assert len(set(await asyncio.gather(*asked))) == 1
    existing = await project(database, "other")
    assert await database.write(lambda tx: project_named(tx, "other", NOW)) == existing


# -- what is written down -------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_flow_with_its_tasks_and_edges(database: Database) -> None:
    serialized = flow()
    storage = {"type": "Local", "path": "/x/flow.py", "flow": "flow"}
    saved = version(serialized, project_id=await project(database), storage=storage, description="what it does")
    row = await save(database, saved)
    assert (row.name, row.version, row.project_id, row.digest, row.storage) == (
        "flow", 1, saved.project_id, saved.digest, storage,
    )  # fmt: skip
    assert set(row.task_ids) == {"p", "step-a-b-1", "step-a-b-2"}
    assert len({row.id, *row.task_ids.values()}) == 4
    assert all(is_id(each) for each in (row.id, *row.task_ids.values()))
    assert await flow_by_id(database, row.id) == msgspec.structs.replace(row, is_new=False)
    assert await database.read("SELECT description, archived, created, updated, core_version != '' FROM flow") == [
        ("what it does", 0, NOW, NOW, 1)
    ]
    columns = "name, mapped, max_retries, retry_delay, timeout, trigger_name, is_root_task, is_terminal_task, tags"
    assert await database.read(f"SELECT {columns} FROM task ORDER BY slug") == [
        ("p", 0, 0, None, None, "all_successful", 1, 0, "[]"),
        ("step", 1, 2, 500_000, 3_000_000, "all_successful", 0, 0, '["a","b"]'),
        ("step", 1, 2, 500_000, 3_000_000, "all_successful", 0, 1, '["a","b"]'),
    ]
    ends = "SELECT u.slug, d.slug, key, e.mapped FROM edge e JOIN task u ON u.id = e.upstream_task_id"
    assert await database.read(f"{ends} JOIN task d ON d.id = e.downstream_task_id ORDER BY 1, 2, 3") == [
        ("p", "step-a-b-1", "x", 1),
        ("p", "step-a-b-1", "y", 0),
        ("step-a-b-1", "step-a-b-2", "x", 1),
        ("step-a-b-1", "step-a-b-2", "y", 0),
    ]


@pytest.mark.asyncio
async def test_a_flow_of_nothing(database: Database) -> None:
    row = await save(database, version(flow(0)))
    assert list(row.task_ids) == ["p"]
    empty = await save(database, version(serialize(Flow("empty"))))
    assert empty.task_ids == {}
    assert await flow_by_id(database, empty.id) == msgspec.structs.replace(empty, is_new=False)


@pytest.mark.asyncio
async def test_what_is_not_there_is_not_found(database: Database) -> None:
    with pytest.raises(NotFound, match="Flow nothing not found"):
        await flow_by_id(database, "nothing")
    with pytest.raises(NotFound, match="Project nothing not found: create it first"):
        await save(database, version(project_id="nothing"))
    assert await database.read("SELECT count(*) FROM flow") == [(0,)]


# -- versions -------------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("registered", [True, False])
async def test_the_same_flow_again_is_the_same_row(database: Database, registered: bool) -> None:
    fields: dict[str, Any] = {"project_id": await project(database), "storage": {"type": "Local"}} if registered else {}
    first = msgspec.structs.replace(await save(database, version(**fields)), is_new=False)
    assert await save(database, version(**fields), NOW + 1) == first
    assert await database.read("SELECT count(*), max(updated) FROM flow") == [(1, NOW)]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "changed",
    [
        {"serialized": flow(3)},
        {"code": "edited"},
        {"storage": {"type": "Local", "path": "/elsewhere/flow.py"}},
    ],
    ids=["structure", "code", "place"],
)
async def test_a_changed_flow_is_a_new_version(database: Database, changed: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"project_id": await project(database), "storage": {"type": "Local", "path": "/x/flow.py"}}
    first = await save(database, version(**fields))
    second = await save(database, version(**{**fields, **changed}), NOW + 5)
    assert (first.version, second.version) == (1, 2)
    assert await group_of(database, first) == await group_of(database, second)
    assert await archived(database) == {1: True, 2: False}
    assert set(second.task_ids.values()).isdisjoint(first.task_ids.values())
    back = await save(database, version(**fields))
    assert back.version == 3
    assert await archived(database) == {1: True, 2: True, 3: False}


@pytest.mark.asyncio
async def test_flows_of_one_name_in_two_projects_are_two_flows(database: Database) -> None:
    one = await save(database, version(project_id=await project(database, "one")))
    other = await save(database, version(flow(3), project_id=await project(database, "other")))
    neither = await save(database, version(flow(4)))
    assert [one.version, other.version, neither.version] == [1, 1, 1]
    assert len({await group_of(database, row) for row in (one, other, neither)}) == 3
    assert await database.read("SELECT count(*) FROM flow WHERE archived = 1") == [(0,)]


@pytest.mark.asyncio
async def test_a_script_that_alternates_makes_no_endless_versions(database: Database) -> None:
    rows = [await save(database, version(flow(steps))) for steps in (1, 2, 1, 2, 1)]
    assert [row.version for row in rows] == [1, 2, 1, 2, 1]
    assert await database.read("SELECT count(*) FROM flow") == [(2,)]


@pytest.mark.asyncio
async def test_a_script_does_not_find_what_is_registered(database: Database) -> None:
    registered = await save(database, version(project_id=await project(database), storage={"type": "Local"}))
    ran = await save(database, version())
    assert ran.id != registered.id
    assert ran.storage is None


@pytest.mark.asyncio
async def test_a_group_of_ones_own(database: Database) -> None:
    mine = "0190d0f0-0000-7000-8000-000000000000"
    project_id = await project(database)
    first = await save(database, version(version_group_id=mine, project_id=project_id))
    renamed = await save(database, version(flow(name="renamed"), version_group_id=mine, project_id=project_id))
    assert [first.version, renamed.version] == [1, 2]
    assert await group_of(database, first) == await group_of(database, renamed) == mine
    assert (await to_run(database, group=mine))[:2] == (renamed.id, "renamed")


@pytest.mark.asyncio
async def test_many_at_once_make_one_version(database: Database) -> None:
    project_id = await project(database)
    rows = await asyncio.gather(*(save(database, version(project_id=project_id)) for _ in range(10)))
    assert len({row.id for row in rows}) == 1


@pytest.mark.asyncio
async def test_a_flow_that_cannot_be_saved_changes_nothing(database: Database) -> None:
    project_id = await project(database)
    await save(database, version(project_id=project_id))
    broken = flow(3)
    broken["edges"][0]["upstream"] = "nowhere"
    with pytest.raises(KeyError, match="nowhere"):
        await save(database, version(broken, project_id=project_id))
    assert await archived(database) == {1: False}
    assert await database.read("SELECT count(*) FROM task") == [(3,)]


# -- running --------------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_which_flow_is_run(database: Database) -> None:
    project_id = await project(database)
    first = await save(database, version(project_id=project_id))
    parameters = [{"name": "p", "slug": "p", "required": False, "default": [1]}]
    assert await to_run(database, first.id) == (first.id, "flow", parameters)
    second = await save(database, version(flow(3), project_id=project_id))
    group = await group_of(database, second)
    assert await to_run(database, group=group) == (second.id, "flow", parameters)
    assert await to_run(database, second.id, group) == (second.id, "flow", parameters)
    with pytest.raises(BadRequest, match=f"Flow {first.id} is archived."):
        await to_run(database, first.id)


@pytest.mark.asyncio
async def test_a_flow_to_run_that_is_not_there(database: Database) -> None:
    with pytest.raises(NotFound, match="Flow nothing not found"):
        await to_run(database, "nothing")
    with pytest.raises(NotFound, match="Version group nothing has no unarchived flows"):
        await to_run(database, group="nothing")
    row = await save(database, version(project_id=await project(database)))

    async def archive(tx: Transaction) -> None:
        await tx.execute("UPDATE flow SET archived = 1")

    await database.write(archive)
    group = await group_of(database, row)
    with pytest.raises(NotFound, match=f"Version group {group} has no unarchived flows"):
        await to_run(database, group=group)
