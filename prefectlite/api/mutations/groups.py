"""Mutations of flow groups: what all versions of a flow have in common."""

from __future__ import annotations

from prefectlite.api.context import Context
from prefectlite.api.mutation import DONE, SUCCESS, Operation, Payload, mutation, text
from prefectlite.api.scalars import JSON, UUID
from prefectlite.api.state_json import json_object
from prefectlite.api.types import listed
from prefectlite.roles import OPERATORS


async def delete_flow_group(context: Context, given: Payload) -> Payload:
    await context.session.client.flows.delete("flow_group", given["flow_group_id"])
    return DONE


async def set_flow_group_description(context: Context, given: Payload) -> Payload:
    await context.session.client.flows.set_group(given["flow_group_id"], description=given.get("description"))
    return DONE


async def set_flow_group_labels(context: Context, given: Payload) -> Payload:
    labels = given.get("labels")
    kept = None if labels is None else sorted(set(labels))
    await context.session.client.flows.set_group(given["flow_group_id"], labels=kept)
    return DONE


def _document(column: str, key: str) -> Operation:
    async def set_it(context: Context, given: Payload) -> Payload:
        value = None if given.get(key) is None else json_object(given[key], key)
        await context.session.client.flows.set_group(given["flow_group_id"], **{column: value})
        return DONE

    return set_it


_group = {"flow_group_id": UUID(required=True)}
FIELDS = {
    "delete_flow_group": mutation(
        delete_flow_group, _group, SUCCESS, "Delete all versions of a flow and their runs.", needs=OPERATORS
    ),
    "set_flow_group_description": mutation(
        set_flow_group_description, {**_group, "description": text()}, SUCCESS, "Say what a flow is for.", needs=OPERATORS
    ),
    "set_flow_group_labels": mutation(
        set_flow_group_labels,
        {**_group, "labels": listed(text)},
        SUCCESS,
        "Labels of runs, in place of the flow's own.",
        needs=OPERATORS,
    ),
    "set_flow_group_run_config": mutation(
        _document("run_config", "run_config"),
        {**_group, "run_config": JSON()},
        SUCCESS,
        "How runs are executed, in place of what the flow says.",
        "set_flow_group_run_config",
        needs=OPERATORS,
    ),
    "set_flow_group_default_parameters": mutation(
        _document("default_parameters", "parameters"),
        {**_group, "parameters": JSON(required=True)},
        SUCCESS,
        "Parameters of runs that are given none, in place of the flow's defaults.",
        "set_flow_group_default_parameters",
        needs=OPERATORS,
    ),
}
