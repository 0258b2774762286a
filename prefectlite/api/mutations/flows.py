"""Mutations of flows: registering them, in one piece or in parts, and what becomes of them."""

from __future__ import annotations

import base64
import logging
import zlib
from typing import Any

import anyio.to_thread
import graphene

from prefectlite.api.context import Context
from prefectlite.api.mutation import DONE, ID, SUCCESS, Operation, Payload, mutation, text
from prefectlite.api.scalars import JSON, UUID
from prefectlite.api.state_json import json_object
from prefectlite.errors import BadRequest, PrefectliteError
from prefectlite.roles import OPERATORS

_logger = logging.getLogger("prefectlite.api")
#: A flow has at most so many bytes when it is unpacked.
MOST_BYTES = 50_000_000


async def create_flow(context: Context, given: Payload) -> Payload:
    return await _register(context, given, json_object(given["serialized_flow"], "serialized_flow"))


async def create_flow_from_compressed_string(context: Context, given: Payload) -> Payload:
    unpacked = await anyio.to_thread.run_sync(_unpacked, given["serialized_flow"])
    return await _register(context, given, json_object(unpacked, "serialized_flow"))


async def _register(context: Context, given: Payload, document: dict[str, Any]) -> Payload:
    client, caller = context.session.client, context.caller
    place = {name: given.get(name) for name in ("version_group_id", "description", "idempotency_key")}
    if caller.core_version is None:
        is_active = given.get("set_schedule_active")
        flow_id = await client.register_flow(document, given["project_id"], schedule_active=is_active, **place)
    else:
        flow_id = await client.flows.register_foreign(document, given["project_id"], caller.core_version, **place)
    if document.get("schedule") and caller.core_version is not None and given.get("set_schedule_active") is not False:
        try:
            await client.flows.set_schedule_active(flow_id, is_active=True)
        except PrefectliteError as error:  # the flow is registered all the same, as its clients expect
            _logger.warning("flow %s does not run by its schedule: %s", flow_id, error)
    return {"id": flow_id}


def _unpacked(packed: str) -> str:
    """The text that clients send as base64 of gzip."""
    try:
        unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        found = unpacker.decompress(base64.b64decode(packed, validate=True), MOST_BYTES)
        if unpacker.unconsumed_tail:
            raise BadRequest(f"serialized_flow: more than {MOST_BYTES:,} bytes")
        return found.decode()
    except (ValueError, zlib.error) as error:
        raise BadRequest(f"serialized_flow is not base64 of gzip of JSON: {error}") from None


async def register_tasks(context: Context, given: Payload) -> Payload:
    await context.session.client.flows.add_tasks(given["flow_id"], _list(given["serialized_tasks"], "serialized_tasks"))
    return DONE


async def register_edges(context: Context, given: Payload) -> Payload:
    await context.session.client.flows.add_edges(given["flow_id"], _list(given["serialized_edges"], "serialized_edges"))
    return DONE


def _list(value: Any, path: str) -> list[Any]:
    if isinstance(value, list):
        return value
    raise BadRequest(f"{path}: a list is expected")


async def archive_flow(context: Context, given: Payload) -> Payload:
    await context.session.client.flows.archive(given["flow_id"])
    return DONE


async def delete_flow(context: Context, given: Payload) -> Payload:
    await context.session.client.flows.delete("flow", given["flow_id"])
    return DONE


async def update_flow_project(context: Context, given: Payload) -> Payload:
    await context.session.client.flows.move(given["flow_id"], given["project_id"])
    return {"id": given["flow_id"]}


async def set_schedule_active(context: Context, given: Payload) -> Payload:
    if await context.session.client.flows.set_schedule_active(given["flow_id"], is_active=True):
        return DONE
    return {"success": False, "error": f"Flow {given['flow_id']} has no schedule"}


async def set_schedule_inactive(context: Context, given: Payload) -> Payload:
    await context.session.client.flows.set_schedule_active(given["flow_id"], is_active=False)
    return DONE


def _setting(name: str, value: bool) -> Operation:
    async def set_it(context: Context, given: Payload) -> Payload:
        await context.session.client.flows.set_setting(given["flow_id"], **{name: value})
        return DONE

    return set_it


_flow = {"flow_id": UUID(required=True)}
_place = {
    "project_id": UUID(required=True),
    "version_group_id": text(),
    "description": text(),
    "set_schedule_active": graphene.Boolean(),
    "idempotency_key": text(),
}
FIELDS = {
    "create_flow": mutation(
        create_flow,
        {"serialized_flow": JSON(required=True), **_place},
        ID,
        "Register a flow, or find the version that was registered with the same key.",
        needs=OPERATORS,
    ),
    "create_flow_from_compressed_string": mutation(
        create_flow_from_compressed_string,
        {"serialized_flow": text(required=True), **_place},
        ID,
        "As create_flow; the flow is base64 of gzip of JSON.",
        needs=OPERATORS,
    ),
    "register_tasks": mutation(
        register_tasks,
        {**_flow, "serialized_tasks": JSON(required=True)},
        SUCCESS,
        "Give a flow more tasks.",
        needs=OPERATORS,
    ),
    "register_edges": mutation(
        register_edges,
        {**_flow, "serialized_edges": JSON(required=True)},
        SUCCESS,
        "Give a flow more edges.",
        needs=OPERATORS,
    ),
    "archive_flow": mutation(
        archive_flow, _flow, SUCCESS, "Let nothing begin of this version of a flow any more.", needs=OPERATORS
    ),
    "delete_flow": mutation(delete_flow, _flow, SUCCESS, "Delete a version of a flow and its runs.", needs=OPERATORS),
    "update_flow_project": mutation(
        update_flow_project,
        {**_flow, "project_id": UUID(required=True)},
        ID,
        "Put a flow into another project.",
        needs=OPERATORS,
    ),
    "set_schedule_active": mutation(
        set_schedule_active, _flow, SUCCESS, "Have a flow run as its schedule says.", needs=OPERATORS
    ),
    "set_schedule_inactive": mutation(
        set_schedule_inactive, _flow, SUCCESS, "Have a flow run only when it is asked for.", needs=OPERATORS
    ),
}
for _name, _key, _value in (
    ("enable_flow_heartbeat", "heartbeat_enabled", True),
    ("disable_flow_heartbeat", "heartbeat_enabled", False),
    ("enable_flow_lazarus_process", "lazarus_enabled", True),
    ("disable_flow_lazarus_process", "lazarus_enabled", False),
):
    FIELDS[_name] = mutation(
        _setting(_key, _value), _flow, SUCCESS, f"Set {_key} of the flow's group.", _name, needs=OPERATORS
    )
