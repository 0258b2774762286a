"""Mutations of cloud hooks. Nothing in the API gives back all of what a hook is configured with."""

from __future__ import annotations

from typing import Any

import graphene

from prefectlite.api.context import Context
from prefectlite.api.mutation import DONE, ID, SUCCESS, Operation, Payload, mutation, text
from prefectlite.api.scalars import JSON, UUID
from prefectlite.api.state_json import json_object
from prefectlite.api.types import listed
from prefectlite.notifications.courier import KINDS, Courier
from prefectlite.roles import ADMINS, OPERATORS

_STATES = {
    "SCHEDULED": "Scheduled",
    "SUBMITTED": "Submitted",
    "RUNNING": "Running",
    "SUCCESS": "Success",
    "FAILED": "Failed",
}


async def create_cloud_hook(context: Context, given: Payload) -> Payload:
    hook_id = await context.session.client.hooks.create(
        Courier(context.session.settings),
        given["type"].value,
        given["states"],
        json_object(given.get("config") or {}, "config"),
        name=given.get("name"),
        version_group_id=given.get("version_group_id"),
    )
    return {"id": hook_id}


async def delete_cloud_hook(context: Context, given: Payload) -> Payload:
    await context.session.client.hooks.delete(given["cloud_hook_id"])
    return DONE


def _switch(*, is_active: bool) -> Operation:
    async def switch(context: Context, given: Payload) -> Payload:
        await context.session.client.hooks.set_active(given["cloud_hook_id"], is_active=is_active)
        return DONE

    return switch


async def test_cloud_hook(context: Context, given: Payload) -> Payload:
    state = given.get("state_type")
    error = await context.session.client.hooks.test(
        Courier(context.session.settings),
        given["cloud_hook_id"],
        flow_run_id=given.get("flow_run_id"),
        state=_STATES["SUCCESS" if state is None else state.value],
    )
    return {"success": error is None, "error": error}


_types = graphene.Enum("CloudHookType", [(name, name) for name in KINDS])
_state_types = graphene.Enum("CloudHookStateType", [(name, name) for name in _STATES])
_hook: dict[str, Any] = {"cloud_hook_id": UUID(required=True)}
FIELDS = {
    "create_cloud_hook": mutation(
        create_cloud_hook,
        {
            "tenant_id": UUID(),
            "type": graphene.InputField(graphene.NonNull(_types)),
            "name": text(),
            "version_group_id": text(),
            "states": graphene.InputField(graphene.NonNull(listed(text))),
            "config": JSON(),
        },
        ID,
        'Have somebody told of states: WEBHOOK and SLACK_WEBHOOK with {"url": …}, EMAIL with {"to": …}, PREFECT_MESSAGE.',
        needs=ADMINS,
    ),
    "delete_cloud_hook": mutation(
        delete_cloud_hook, _hook, SUCCESS, "Delete a hook and the record of its deliveries.", needs=ADMINS
    ),
    "set_cloud_hook_active": mutation(
        _switch(is_active=True),
        _hook,
        SUCCESS,
        "Have a hook told of states from now on.",
        "set_cloud_hook_active",
        needs=OPERATORS,
    ),
    "set_cloud_hook_inactive": mutation(
        _switch(is_active=False),
        _hook,
        SUCCESS,
        "Have a hook told of nothing any more.",
        "set_cloud_hook_inactive",
        needs=OPERATORS,
    ),
    "test_cloud_hook": mutation(
        test_cloud_hook,
        {**_hook, "flow_run_id": UUID(), "state_type": graphene.InputField(_state_types)},
        SUCCESS,
        "Send a message at once, of this run or a made-up one; says what came of it.",
        needs=ADMINS,
    ),
}
