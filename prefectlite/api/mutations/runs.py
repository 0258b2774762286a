"""Mutations of runs."""

from __future__ import annotations

from typing import Any

import graphene

from prefectlite.api.context import Context
from prefectlite.api.mutation import DONE, ID, SUCCESS, Payload, mutation, text
from prefectlite.api.scalars import JSON, UUID, DateTime
from prefectlite.api.state_json import json_object
from prefectlite.api.types import listed
from prefectlite.errors import BadRequest
from prefectlite.roles import OPERATORS, RUNS


async def create_flow_run(context: Context, given: Payload) -> Payload:
    objects: dict[str, Any] = {
        name: json_object(given[name], name)
        for name in ("parameters", "context", "run_config")
        if given.get(name) is not None
    }
    plain = ("flow_id", "version_group_id", "labels", "scheduled_start_time", "idempotency_key", "flow_run_name")
    arguments = {name: given[name] for name in plain if given.get(name) is not None}
    client, claim = context.session.client, given.get("executor_id")
    if claim is not None and await client.executors.last_heard(claim) is None:
        raise BadRequest(f"executor_id: nothing was heard of an executor {claim!r:.100}")
    return {"id": await client.create_flow_run(**arguments, **objects, claim=claim)}


async def cancel_flow_run(context: Context, given: Payload) -> Payload:
    return {"state": await context.session.client.cancel_flow_run(given["flow_run_id"])}


async def restart_flow_run(context: Context, given: Payload) -> Payload:
    session = context.session
    await session.client.restart(given["flow_run_id"], session.owner.id, given.get("tasks") or ())
    return DONE


async def set_flow_run_name(context: Context, given: Payload) -> Payload:
    if context.remit is not None:
        await context.remit.check_runs([given["flow_run_id"]])
    await context.session.client.set_name("flow_run", given["flow_run_id"], given["name"])
    return DONE


async def set_task_run_name(context: Context, given: Payload) -> Payload:
    if context.remit is not None:
        await context.remit.check_task_runs([given["task_run_id"]])
    await context.session.client.set_name("task_run", given["task_run_id"], given["name"])
    return DONE


async def set_flow_run_labels(context: Context, given: Payload) -> Payload:
    await context.session.client.set_labels(given["flow_run_id"], given["labels"])
    return DONE


async def delete_flow_run(context: Context, given: Payload) -> Payload:
    await context.session.client.flows.delete("flow_run", given["flow_run_id"])
    return DONE


_run = {"flow_run_id": UUID(required=True)}
FIELDS = {
    "create_flow_run": mutation(
        create_flow_run,
        {
            "flow_id": UUID(),
            "version_group_id": text(),
            "parameters": JSON(),
            "labels": listed(text),
            "context": JSON(),
            "run_config": JSON(),
            "scheduled_start_time": DateTime(),
            "idempotency_key": text(),
            "flow_run_name": text(),
            "executor_id": graphene.String(
                description="Whose run it is to be: an executor of this package, that begins it itself."
            ),
        },
        ID,
        "Schedule a run of a flow, now or at a time.",
        needs=OPERATORS,
    ),
    "cancel_flow_run": mutation(cancel_flow_run, _run, {"state": text()}, "Stop a run; says its state.", needs=OPERATORS),
    "restart_flow_run": mutation(
        restart_flow_run,
        {**_run, "tasks": listed(text)},
        SUCCESS,
        "Run what did not succeed again, or these tasks (by name or slug), and all that depends on it.",
        needs=OPERATORS,
    ),
    "set_flow_run_name": mutation(
        set_flow_run_name, {**_run, "name": text(required=True)}, SUCCESS, "Rename a run.", needs=RUNS
    ),
    "set_task_run_name": mutation(
        set_task_run_name,
        {"task_run_id": UUID(required=True), "name": text(required=True)},
        SUCCESS,
        "Rename a task run.",
        needs=RUNS,
    ),
    "set_flow_run_labels": mutation(
        set_flow_run_labels, {**_run, "labels": listed(text)}, SUCCESS, "Say which agents may take a run.", needs=OPERATORS
    ),
    "delete_flow_run": mutation(
        delete_flow_run, _run, SUCCESS, "Delete a run and all that is known of it.", needs=OPERATORS
    ),
}
