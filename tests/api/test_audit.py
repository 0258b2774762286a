"""The audit log: a row for each mutation, and nothing in it that is secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

import prefectlite
from prefectlite import Runtime
from prefectlite.api import earlier_values
from prefectlite.api.audit import shown
from prefectlite.api.caller import Caller
from prefectlite.api.execution import Execution
from prefectlite.api.mutation import USERS
from prefectlite.api.requests import Request
from prefectlite.repository.tables import TABLES
from prefectlite.roles import Role

CANARY = "canary-value"
ADMIN = Caller(role=Role.ADMIN, actor="alice", address="192.0.2.1", is_known=True)


async def use(runtime: Runtime, name: str, given: Any, caller: Caller = ADMIN, answer: str = "id") -> Any:
    execution = Execution(runtime.session)
    text = f"mutation ($input: {name}_input!) {{ {name}(input: $input) {{ {answer} }} }}"
    found = await execution.run(Request(text, {"input": given}, None), execution.budget(), caller)
    return msgspec.json.decode(found.body)


async def log(runtime: Runtime) -> list[tuple[Any, ...]]:
    await runtime.session.audit.settle()
    columns = "actor, role, address, action, targets, details, outcome"
    return await runtime.session.database.read(f"SELECT {columns} FROM audit_log ORDER BY seq")


@pytest.mark.asyncio
async def test_who_did_what_to_what_and_how_it_went(runtime: Runtime) -> None:
    made = await use(runtime, "create_project", {"name": "P", "description": "x" * 300})
    project = made["data"]["create_project"]["id"]
    await use(runtime, "create_project", {"name": "P"})
    await use(runtime, "create_project", {"name": "Q"}, Caller(role=Role.VIEWER, actor="bob", is_known=True))
    await use(runtime, "set_project_name", {"project_id": project, "name": "R"}, Caller())
    rows = [(*row[:4], msgspec.json.decode(row[4]), row[6]) for row in await log(runtime)]
    assert rows == [
        ("alice", "admin", "192.0.2.1", "create_project", {"name": "P", "id": project}, "done"),
        ("alice", "admin", "192.0.2.1", "create_project", {"name": "P"}, "failed: BAD_USER_INPUT"),
        ("bob", "viewer", None, "create_project", {"name": "Q"}, "refused"),
        ("local", "admin", None, "set_project_name", {"project_id": project, "name": "R", "id": project}, "done"),
    ]
    details = msgspec.json.decode((await log(runtime))[0][5])
    assert details == {"description": "x" * 200 + "… (300 characters)"}


@pytest.mark.asyncio
async def test_admins_read_it(runtime: Runtime, ask: Any) -> None:
    await ask('mutation { create_project(input: {name: "P"}) { id } }')
    await runtime.session.audit.settle()
    found = await ask("{ audit_log(order_by: {seq: desc}, limit: 1) { at actor action targets details outcome } }")
    [row] = found["audit_log"]
    assert (row["actor"], row["action"], row["details"], row["outcome"]) == ("local", "create_project", {}, "done")


@pytest.mark.asyncio
async def test_values_of_secrets_and_tokens_are_not_in_it(runtime: Runtime) -> None:
    await use(runtime, "set_secret", {"name": "S", "value": {"a": CANARY}}, answer="success")
    await use(runtime, "set_key_value", {"key": "K", "value": CANARY})
    made = await use(runtime, "create_api_token", {"name": "T", "role": "viewer"}, answer="id token")
    token = made["data"]["create_api_token"]["token"]
    parameters = {"db": {"password": CANARY, "user": "u"}, "AWS_SECRET_KEY": CANARY, "list": [{"api_key": CANARY}]}
    for given in (parameters, msgspec.json.encode(parameters).decode()):
        await use(runtime, "create_flow_run", {"version_group_id": "none", "parameters": given})
    rows = await log(runtime)
    assert [row[3] for row in rows] == [*("set_secret", "set_key_value", "create_api_token"), *["create_flow_run"] * 2]
    assert token.startswith("pl_")
    assert not [word for word in (CANARY, token) if word in repr(rows)]
    assert msgspec.json.decode(rows[0][4]) == {"name": "S"}
    assert msgspec.json.decode(rows[4][5])["parameters"]["db"] == {"password": "***", "user": "u"}


@pytest.mark.asyncio
async def test_what_runs_tell_is_not_in_it(runtime: Runtime) -> None:
    agent = Caller(core_version="1.4.1", role=Role.AGENT, actor="box", is_known=True)
    run = "00000000-0000-7000-8000-000000000001"
    state = {"states": [{"flow_run_id": run, "state": {"type": "Success"}}]}
    await use(runtime, "write_run_logs", {"logs": []}, agent, "success")
    await use(runtime, "get_runs_in_queue", {}, agent, "flow_run_ids")
    await use(runtime, "set_flow_run_states", state, agent, "states { id }")
    assert await log(runtime) == []
    await use(runtime, "set_flow_run_states", state, ADMIN, "states { id }")
    await use(runtime, "get_runs_in_queue", {}, Caller(role=Role.VIEWER), "flow_run_ids")
    assert [(row[3], row[6]) for row in await log(runtime)] == [
        ("set_flow_run_states", "failed: NOT_FOUND"),
        ("get_runs_in_queue", "refused"),
    ]


async def befores(runtime: Runtime, action: str) -> list[Any]:
    """What was there before each use of a mutation."""
    return [msgspec.json.decode(row[5]).get("before") for row in await log(runtime) if row[3] == action]


@pytest.mark.asyncio
async def test_what_was_there_before(runtime: Runtime) -> None:
    project = (await use(runtime, "create_project", {"name": "P", "description": "old"}))["data"]["create_project"]["id"]
    await use(runtime, "set_project_name", {"project_id": project, "name": "Q"})
    await use(runtime, "set_project_description", {"project_id": project, "description": "new"})
    for days in (7, 9):
        await use(runtime, "set_project_retention", {"project_id": project, "days": days}, answer="success")
    await use(runtime, "delete_project", {"project_id": project}, answer="success")
    await use(runtime, "delete_project", {"project_id": project}, answer="success")
    assert await befores(runtime, "create_project") == [None]
    assert await befores(runtime, "set_project_name") == [{"name": "P"}]
    assert await befores(runtime, "set_project_description") == [{"description": "old"}]
    assert await befores(runtime, "set_project_retention") == [
        {"retention_days": None, "log_retention_days": None},
        {"retention_days": 7, "log_retention_days": None},
    ]
    assert await befores(runtime, "delete_project") == [{"name": "Q"}, None]


@pytest.mark.asyncio
async def test_limits_as_they_were_before(runtime: Runtime) -> None:
    for limit, seconds in ((5, None), (3, None), (100, 60), (50, 60)):
        given = {"tag": "db", "limit": limit, "seconds": seconds}
        made = await use(runtime, "update_task_tag_limit", given)
    await use(runtime, "delete_task_tag_limit", {"limit_id": made["data"]["update_task_tag_limit"]["id"]}, answer="success")
    assert await befores(runtime, "update_task_tag_limit") == [
        None,
        {"limit": 5, "seconds": 0},
        None,
        {"limit": 100, "seconds": 60},
    ]
    assert await befores(runtime, "delete_task_tag_limit") == [{"tag": "db", "limit": 50, "seconds": 60}]
    for name in ("label", "name"):
        await use(runtime, "update_flow_concurrency_limit", {name: "gpu", "limit": 1})
    assert await befores(runtime, "update_flow_concurrency_limit") == [None, {"limit": 1, "seconds": 0}]
    refused = await use(runtime, "update_task_tag_limit", {"tag": "x\x00", "limit": 1})
    assert "errors" in refused or refused["data"]["update_task_tag_limit"]["id"]


@pytest.mark.asyncio
async def test_schedules_settings_and_hooks_as_they_were_before(runtime: Runtime, flows: tuple[Any, Any]) -> None:
    await flows[0].run()
    ((group, flow),) = await runtime.session.database.read(
        "SELECT flow_group_id, id FROM flow WHERE name = $1", (flows[0].name,)
    )
    for cron in ("0 5 * * *", "0 6 * * *"):
        clocks = {"flow_group_id": group, "cron_clocks": [{"cron": cron}]}
        await use(runtime, "set_flow_group_schedule", clocks, answer="success")
    await use(runtime, "set_flow_group_labels", {"flow_group_id": group, "labels": ["a"]}, answer="success")
    await use(runtime, "delete_flow_group_schedule", {"flow_group_id": group}, answer="success")
    await use(runtime, "set_schedule_active", {"flow_id": flow}, answer="success")
    await use(runtime, "disable_flow_heartbeat", {"flow_id": flow}, answer="success")
    await use(runtime, "disable_flow_heartbeat", {"flow_id": flow}, answer="success")
    first, second = await befores(runtime, "set_flow_group_schedule")
    assert first == {"schedule": None}
    assert "0 5 * * *" in repr(second)
    assert "0 6 * * *" in repr(await befores(runtime, "delete_flow_group_schedule"))
    assert await befores(runtime, "set_flow_group_labels") == [{"labels": None}]
    assert await befores(runtime, "set_schedule_active") == [{"is_schedule_active": False}]
    enabled, disabled = await befores(runtime, "disable_flow_heartbeat")
    assert enabled != disabled
    hook = {"type": "WEBHOOK", "name": "tell", "states": ["Failed"], "config": {"url": f"https://{CANARY}.example/"}}
    made = (await use(runtime, "create_cloud_hook", hook))["data"]["create_cloud_hook"]["id"]
    await use(runtime, "set_cloud_hook_inactive", {"cloud_hook_id": made}, answer="success")
    await use(runtime, "delete_cloud_hook", {"cloud_hook_id": made}, answer="success")
    assert await befores(runtime, "set_cloud_hook_inactive") == [{"active": True}]
    assert await befores(runtime, "delete_cloud_hook") == [{"name": "tell", "type": "WEBHOOK", "states": ["FAILED"]}]


def test_every_change_that_is_told_of_names_what_there_is() -> None:
    for name, changed in earlier_values._CHANGED.items():
        assert name in USERS
        columns = {*TABLES[changed.table].columns, *TABLES[changed.table].computed}
        assert {earlier_values._CALLED.get(column, column) for column in changed.columns} <= columns


@pytest.mark.asyncio
async def test_many_at_once_are_all_there(runtime: Runtime) -> None:
    for n in range(20):
        await use(runtime, "create_project", {"name": f"P{n}"}, Caller())
    rows = await log(runtime)
    assert [msgspec.json.decode(row[4])["name"] for row in rows] == [f"P{n}" for n in range(20)]


def test_what_is_shown_has_an_end() -> None:
    deep: Any = {}
    for _ in range(50):
        deep = {"a": deep, "b": ["x" * 1_000] * 1_000}
    assert len(msgspec.json.encode(shown(deep))) < 30_000
    assert shown("[" * 5_000) == "[" * 200 + "… (5,000 characters)"
    assert shown({"token": None, "TOKEN": "a"}) == {"token": None, "TOKEN": "***"}


@pytest.mark.asyncio
async def test_what_cannot_be_written_is_in_the_servers_log(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    audit, database = runtime.session.audit, runtime.session.database
    with monkeypatch.context() as patch:

        async def fail(*_: Any, **__: Any) -> Any:
            raise RuntimeError("no more")

        patch.setattr(audit, "_add", fail)
        answer = await use(runtime, "create_project", {"name": "P"})
        assert "errors" not in answer  # it was done
        assert "what it misses" in caplog.text
        assert await database.read("SELECT count(*) FROM audit_log") == [(0,)]
    await use(runtime, "create_project", {"name": "Q\ud800"})
    assert await database.read("SELECT count(*) FROM audit_log") == [(1,)]


def test_nothing_changes_its_rows_and_only_age_deletes_them() -> None:
    for path in Path(prefectlite.__file__).parent.rglob("*.py"):
        if "node_modules" not in path.parts:
            text = path.read_text(encoding="utf-8").upper()
            assert "UPDATE AUDIT_LOG" not in text
            assert "DELETE FROM AUDIT_LOG" not in text.replace("DELETE FROM AUDIT_LOG WHERE AT < $1", "")
