"""The Mutation type: each field hands its input to the session's client, which knows the door."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import graphene
from graphql import GraphQLResolveInfo

from prefectlite.api.context import Context
from prefectlite.api.scalars import JSON, UUID, DateTime
from prefectlite.api.state_json import json_object, state_of
from prefectlite.api.types import input_type, listed, object_type
from prefectlite.errors import BadRequest, PrefectliteError

Payload = dict[str, Any]
MAX_STATES = 1_000


async def create_project(context: Context, given: Payload) -> Payload:
    return {"id": await context.session.client.create_project(given["name"], given.get("description"))}


async def set_project_retention(context: Context, given: Payload) -> Payload:
    await context.session.client.set_project_retention(given["project_id"], given.get("days"), given.get("log_days"))
    return {"success": True}


async def create_flow(context: Context, given: Payload) -> Payload:
    flow_id = await context.session.client.register_flow(
        json_object(given["serialized_flow"], "serialized_flow"),
        given["project_id"],
        version_group_id=given.get("version_group_id"),
        description=given.get("description"),
        idempotency_key=given.get("idempotency_key"),
    )
    return {"id": flow_id}


async def create_flow_run(context: Context, given: Payload) -> Payload:
    objects: dict[str, Any] = {
        name: json_object(given[name], name)
        for name in ("parameters", "context", "run_config")
        if given.get(name) is not None
    }
    plain = ("flow_id", "version_group_id", "labels", "scheduled_start_time", "idempotency_key", "flow_run_name")
    arguments = {name: given[name] for name in plain if given.get(name) is not None}
    return {"id": await context.session.client.create_flow_run(**arguments, **objects)}


async def cancel_flow_run(context: Context, given: Payload) -> Payload:
    return {"state": await context.session.client.cancel_flow_run(given["flow_run_id"])}


async def set_flow_run_states(context: Context, given: Payload) -> Payload:
    return await _set_states(given["states"], "flow_run_id", context.session.client.set_flow_run_state)


async def set_task_run_states(context: Context, given: Payload) -> Payload:
    return await _set_states(given["states"], "task_run_id", context.session.client.set_task_run_state)


async def _set_states(items: list[Payload], key: str, put: Callable[..., Awaitable[str]]) -> Payload:
    """Propose the states one after the other, in the order given.

    A refusal does not keep the others from being proposed; afterwards the first refusal is the field's error, which is how
    Prefect's clients learn of it.
    """
    if len(items) > MAX_STATES:
        raise BadRequest(f"states: at most {MAX_STATES:,} at a time")
    refused: list[PrefectliteError] = []
    answers: list[Payload] = []
    for item in items:
        try:
            message = await put(item[key], state_of(item["state"]), item.get("version"))
        except PrefectliteError as error:
            refused.append(error)
        else:
            answers.append({"id": item[key], "status": "SUCCESS", "message": message or None})
    if refused:
        raise refused[0]
    return {"states": answers}


def _field(operation: Callable[[Context, Payload], Awaitable[Payload]], inputs: Payload, outputs: Payload, doc: str) -> Any:
    name = operation.__name__

    async def resolve(_root: Any, info: GraphQLResolveInfo, input: Payload) -> Payload:
        return await operation(info.context, input)

    return graphene.Field(
        object_type(f"{name}_payload", outputs, f"What {name} answers."),
        input=graphene.Argument(graphene.NonNull(input_type(f"{name}_input", inputs, f"What {name} is given."))),
        resolver=resolve,
        description=doc,
    )


def _new_state(run: str, **more: Any) -> Any:
    fields = {f"{run}_id": UUID(required=True), "version": graphene.Int(), "state": JSON(required=True), **more}
    return input_type(f"{run}_state_input", fields, "A state for a run; with `version`, only if the run still has it.")


def _states(of: Any) -> Payload:
    return {"states": graphene.InputField(graphene.NonNull(listed(of)))}


_result = object_type(
    "set_state_result", {"id": UUID(), "status": graphene.String(), "message": graphene.String()}, "What came of a state."
)
_results = {"states": graphene.Field(graphene.NonNull(listed(_result)))}
_text = graphene.String

_FIELDS = {
    "create_project": _field(
        create_project, {"name": _text(required=True), "description": _text()}, {"id": UUID()}, "Make a project."
    ),
    "set_project_retention": _field(
        set_project_retention,
        {"project_id": UUID(required=True), "days": graphene.Int(), "log_days": graphene.Int()},
        {"success": graphene.Boolean()},
        "For how many days a project keeps finished runs, and their logs; 0 is for ever, null what the settings say.",
    ),
    "create_flow": _field(
        create_flow,
        {
            "serialized_flow": JSON(required=True),
            "project_id": UUID(required=True),
            "version_group_id": _text(),
            "description": _text(),
            "set_schedule_active": graphene.Boolean(),
            "idempotency_key": _text(),
        },
        {"id": UUID()},
        "Register a flow, or find the version that was registered with the same key.",
    ),
    "create_flow_run": _field(
        create_flow_run,
        {
            "flow_id": UUID(),
            "version_group_id": _text(),
            "parameters": JSON(),
            "labels": listed(_text),
            "context": JSON(),
            "run_config": JSON(),
            "scheduled_start_time": DateTime(),
            "idempotency_key": _text(),
            "flow_run_name": _text(),
        },
        {"id": UUID()},
        "Schedule a run of a flow, now or at a time.",
    ),
    "cancel_flow_run": _field(
        cancel_flow_run, {"flow_run_id": UUID(required=True)}, {"state": _text()}, "Stop a run; says its state."
    ),
    "set_flow_run_states": _field(
        set_flow_run_states, _states(_new_state("flow_run")), _results, "Propose states of flow runs."
    ),
    "set_task_run_states": _field(
        set_task_run_states,
        _states(_new_state("task_run", flow_run_version=graphene.Int())),
        _results,
        "Propose states of task runs.",
    ),
}
Mutation = object_type("Mutation", _FIELDS, "What can be done.")
