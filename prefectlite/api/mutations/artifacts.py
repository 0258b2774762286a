"""Mutations of artifacts."""

from __future__ import annotations

from prefectlite.api.audit import by_people
from prefectlite.api.context import Context
from prefectlite.api.mutation import DONE, ID, SUCCESS, Payload, mutation, text
from prefectlite.api.scalars import JSON, UUID
from prefectlite.roles import RUNS


async def create_task_run_artifact(context: Context, given: Payload) -> Payload:
    if context.remit is not None:
        await context.remit.check_task_runs([given["task_run_id"]])
    artifacts = context.session.client.artifacts
    return {"id": await artifacts.create(given["task_run_id"], given["kind"], given["data"])}


async def update_task_run_artifact(context: Context, given: Payload) -> Payload:
    if context.remit is not None:
        await context.remit.check_artifact(given["task_run_artifact_id"])
    await context.session.client.artifacts.update(given["task_run_artifact_id"], given["data"])
    return DONE


async def delete_task_run_artifact(context: Context, given: Payload) -> Payload:
    if context.remit is not None:
        await context.remit.check_artifact(given["task_run_artifact_id"])
    await context.session.client.artifacts.delete(given["task_run_artifact_id"])
    return DONE


_artifact = {"task_run_artifact_id": UUID(required=True)}
_data = {"data": JSON(required=True)}
FIELDS = {
    "create_task_run_artifact": mutation(
        create_task_run_artifact,
        {"task_run_id": UUID(required=True), "kind": text(required=True), **_data, "tenant_id": UUID()},
        ID,
        "Show something of what a task run did.",
        needs=RUNS,
        audited=by_people,
    ),
    "update_task_run_artifact": mutation(
        update_task_run_artifact, {**_artifact, **_data}, SUCCESS, "Show another thing.", needs=RUNS, audited=by_people
    ),
    "delete_task_run_artifact": mutation(
        delete_task_run_artifact, _artifact, SUCCESS, "Delete what a task run showed.", needs=RUNS, audited=by_people
    ),
}
