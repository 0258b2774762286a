"""Mutations of the key-value store, which `key_value` reads."""

from __future__ import annotations

from prefectlite.api.context import Context
from prefectlite.api.mutation import DONE, ID, SUCCESS, Payload, mutation, text
from prefectlite.api.scalars import JSON, UUID
from prefectlite.roles import OPERATORS


async def set_key_value(context: Context, given: Payload) -> Payload:
    return {"id": await context.session.client.key_values.set(given["key"], given.get("value"))}


async def delete_key_value(context: Context, given: Payload) -> Payload:
    await context.session.client.key_values.delete_id(given["key_value_id"])
    return DONE


FIELDS = {
    "set_key_value": mutation(
        set_key_value,
        {"key": text(required=True), "value": JSON(), "tenant_id": UUID()},
        ID,
        "Give a key a value: JSON of at most 10,000 bytes.",
        needs=OPERATORS,
    ),
    "delete_key_value": mutation(
        delete_key_value, {"key_value_id": UUID(required=True)}, SUCCESS, "Forget a key and its value.", needs=OPERATORS
    ),
}
