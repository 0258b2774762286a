"""Mutations of secrets. Nothing in the API gives their values back: it has their names only."""

from __future__ import annotations

from prefectlite.api.context import Context
from prefectlite.api.mutation import DONE, SUCCESS, Payload, mutation, text
from prefectlite.api.scalars import JSON, UUID
from prefectlite.roles import ADMINS


async def set_secret(context: Context, given: Payload) -> Payload:
    await context.session.client.secrets.set(given["name"], given["value"])
    return DONE


async def delete_secret(context: Context, given: Payload) -> Payload:
    await context.session.client.secrets.delete(given["name"])
    return DONE


_name = {"name": text(required=True)}
FIELDS = {
    "set_secret": mutation(
        set_secret,
        {**_name, "value": JSON(required=True), "tenant_id": UUID()},
        SUCCESS,
        "Keep a secret, encrypted. Hand the value over as a variable: the text of a query may be shown in messages.",
        needs=ADMINS,
    ),
    "delete_secret": mutation(delete_secret, _name, SUCCESS, "Forget a secret.", needs=ADMINS),
}
