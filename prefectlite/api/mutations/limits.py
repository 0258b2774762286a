"""Mutations of concurrency limits, which `task_tag_limit` and `flow_concurrency_limit` read."""

from __future__ import annotations

import graphene

from prefectlite.api.context import Context
from prefectlite.api.mutation import DONE, ID, SUCCESS, Payload, mutation, text
from prefectlite.api.scalars import UUID
from prefectlite.errors import BadRequest
from prefectlite.roles import OPERATORS


async def update_task_tag_limit(context: Context, given: Payload) -> Payload:
    limits = context.session.client.limits
    return {"id": await limits.set("tag", given["tag"], given["limit"], given.get("seconds") or 0)}


async def delete_task_tag_limit(context: Context, given: Payload) -> Payload:
    await context.session.client.limits.delete_id("tag", given["limit_id"])
    return DONE


async def update_flow_concurrency_limit(context: Context, given: Payload) -> Payload:
    name = given.get("label") or given.get("name")
    if not name:
        raise BadRequest("label: say which flow runs are limited")
    limits = context.session.client.limits
    return {"id": await limits.set("label", name, given["limit"], given.get("seconds") or 0)}


async def delete_flow_concurrency_limit(context: Context, given: Payload) -> Payload:
    await context.session.client.limits.delete_id("label", given["limit_id"])
    return DONE


_how_many = {"limit": graphene.Int(required=True), "seconds": graphene.Int(), "tenant_id": UUID()}
_which = {"limit_id": UUID(required=True)}
FIELDS = {
    "update_task_tag_limit": mutation(
        update_task_tag_limit,
        {"tag": text(required=True), **_how_many},
        ID,
        "Let so many task runs with a tag run at once; with `seconds`, let so many begin within them.",
        needs=OPERATORS,
    ),
    "delete_task_tag_limit": mutation(
        delete_task_tag_limit, _which, SUCCESS, "Limit task runs with a tag no more.", needs=OPERATORS
    ),
    "update_flow_concurrency_limit": mutation(
        update_flow_concurrency_limit,
        {"label": text(), "name": text(), **_how_many},
        ID,
        "Let so many flow runs with a label run at once; with `seconds`, let so many begin within them.",
        needs=OPERATORS,
    ),
    "delete_flow_concurrency_limit": mutation(
        delete_flow_concurrency_limit, _which, SUCCESS, "Limit flow runs with a label no more.", needs=OPERATORS
    ),
}
