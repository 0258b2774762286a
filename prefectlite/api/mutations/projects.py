"""Mutations of projects, and of the one tenant that they all belong to."""

from __future__ import annotations

import graphene

from prefectlite.api.context import Context
from prefectlite.api.mutation import DONE, ID, SUCCESS, Payload, mutation, text
from prefectlite.api.scalars import UUID
from prefectlite.errors import BadRequest
from prefectlite.repository.computed import TENANT_ID
from prefectlite.roles import ADMINS, OPERATORS


async def create_tenant(context: Context, given: Payload) -> Payload:
    if given["slug"] != "default":
        raise BadRequest(f"There is one tenant, called default, and {given['slug']!r} cannot be another: use projects")
    return {"id": TENANT_ID}


async def create_project(context: Context, given: Payload) -> Payload:
    return {"id": await context.session.client.create_project(given["name"], given.get("description"))}


async def set_project_name(context: Context, given: Payload) -> Payload:
    await context.session.client.flows.set_project(given["project_id"], name=given["name"])
    return {"id": given["project_id"]}


async def set_project_description(context: Context, given: Payload) -> Payload:
    await context.session.client.flows.set_project(given["project_id"], description=given.get("description"))
    return {"id": given["project_id"]}


async def delete_project(context: Context, given: Payload) -> Payload:
    await context.session.client.flows.delete("project", given["project_id"])
    return DONE


async def set_project_retention(context: Context, given: Payload) -> Payload:
    await context.session.client.set_project_retention(given["project_id"], given.get("days"), given.get("log_days"))
    return DONE


_project = {"project_id": UUID(required=True)}
FIELDS = {
    "create_tenant": mutation(
        create_tenant,
        {"name": text(required=True), "slug": text(required=True)},
        ID,
        "Find the one tenant.",
        needs=OPERATORS,
    ),
    "create_project": mutation(
        create_project,
        {"name": text(required=True), "description": text(), "tenant_id": UUID()},
        ID,
        "Make a project.",
        needs=OPERATORS,
    ),
    "set_project_name": mutation(
        set_project_name, {**_project, "name": text(required=True)}, ID, "Rename a project.", needs=OPERATORS
    ),
    "set_project_description": mutation(
        set_project_description, {**_project, "description": text()}, ID, "Say what a project is for.", needs=OPERATORS
    ),
    "delete_project": mutation(
        delete_project, _project, SUCCESS, "Delete a project, its flows and all of their runs.", needs=ADMINS
    ),
    "set_project_retention": mutation(
        set_project_retention,
        {**_project, "days": graphene.Int(), "log_days": graphene.Int()},
        SUCCESS,
        "For how many days a project keeps finished runs, and their logs; 0 is for ever, null what the settings say.",
        needs=ADMINS,
    ),
}
