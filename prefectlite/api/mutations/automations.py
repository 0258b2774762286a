"""Mutations of automations."""

from __future__ import annotations

from typing import Any

import graphene

from prefectlite.api.context import Context
from prefectlite.api.mutation import DONE, ID, SUCCESS, Payload, mutation, text
from prefectlite.api.scalars import JSON, UUID
from prefectlite.api.state_json import json_object
from prefectlite.api.types import listed
from prefectlite.client.automations import ACTIONS, EVENTS
from prefectlite.roles import OPERATORS


async def create_automation(context: Context, given: Payload) -> Payload:
    return {"id": await context.session.client.automations.create(_plain(given))}


async def update_automation(context: Context, given: Payload) -> Payload:
    changes = _plain(given)
    await context.session.client.automations.update(changes.pop("automation_id"), changes)
    return DONE


async def delete_automation(context: Context, given: Payload) -> Payload:
    await context.session.client.automations.delete(given["automation_id"])
    return DONE


def _plain(given: Payload) -> dict[str, Any]:
    plain = dict(given)
    for name in ("event", "action"):
        if plain.get(name) is not None:
            plain[name] = plain[name].value
    if plain.get("parameters") is not None:
        plain["parameters"] = json_object(plain["parameters"], "parameters")
    return plain


_event = graphene.Enum("AutomationEvent", [(name, name) for name in EVENTS])
_action = graphene.Enum("AutomationAction", [(name, name) for name in ACTIONS])


def _fields(*, required: bool) -> dict[str, Any]:
    return {
        "name": text(required=required),
        "flow_group_id": UUID(),
        "event": graphene.InputField(_event, required=required),
        "states": listed(text),
        "seconds": graphene.Int(),
        "action": graphene.InputField(_action, required=required),
        "cloud_hook_id": UUID(),
        "target_flow_group_id": UUID(),
        "parameters": JSON(),
        "is_active": graphene.Boolean(),
    }


_automation = {"automation_id": UUID(required=True)}
FIELDS = {
    "create_automation": mutation(
        create_automation,
        _fields(required=True),
        ID,
        "Have something done about runs of a flow group, or of all: when they enter a state, are late, or run for too long.",
        needs=OPERATORS,
    ),
    "update_automation": mutation(
        update_automation,
        {**_automation, **_fields(required=False)},
        SUCCESS,
        "Change the fields that are given.",
        needs=OPERATORS,
    ),
    "delete_automation": mutation(
        delete_automation, _automation, SUCCESS, "Delete an automation and the record of what it did.", needs=OPERATORS
    ),
}
