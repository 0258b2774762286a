"""Mutations that propose states of runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import graphene

from prefectlite.api.audit import by_hand
from prefectlite.api.caller import Caller
from prefectlite.api.context import Context
from prefectlite.api.mutation import Payload, mutation, text
from prefectlite.api.scalars import JSON, UUID
from prefectlite.api.state_json import json_object, state_of
from prefectlite.api.types import input_type, listed, object_type
from prefectlite.errors import BadRequest, Forbidden, PrefectliteError
from prefectlite.roles import AGENTS, Role

MAX_STATES = 1_000
_DONE, _QUEUED = "SUCCESS", "QUEUED"  # who is told that a run is queued asks again after a while
#: What came of a state: its status, and what there is to say.
Outcome = tuple[str, str | None]
Put = Callable[[str, Any, int | None], Awaitable[Outcome]]


async def set_flow_run_states(context: Context, given: Payload) -> Payload:
    client, caller, remit = context.session.client, context.caller, context.remit

    async def put(run_id: str, sent: Any, version: int | None) -> Outcome:
        state = state_of(sent)
        if remit is not None:
            await remit.check_agent(caller.agent_id)
            await remit.check_runs([run_id])
        if caller.core_version is None:
            _check_by_hand(caller)
            return _DONE, await client.set_flow_run_state(run_id, state, version)
        waits = await client.foreign.set_flow_run_state(run_id, state, json_object(sent, "state"), caller.agent_id)
        if waits is not None:
            return (_QUEUED, waits) if waits else (_DONE, None)
        _check_by_hand(caller)
        return _DONE, await client.set_flow_run_state(run_id, state)

    return await _set_states(given["states"], "flow_run_id", put)


async def set_task_run_states(context: Context, given: Payload) -> Payload:
    client, caller, remit = context.session.client, context.caller, context.remit

    async def put(run_id: str, sent: Any, version: int | None) -> Outcome:
        state = state_of(sent)
        if remit is not None:
            await remit.check_task_runs([run_id])
        if caller.core_version is None:
            _check_by_hand(caller)
            return _DONE, await client.set_task_run_state(run_id, state, version)
        waits = await client.foreign.set_task_run_state(run_id, state, json_object(sent, "state"))
        if waits is not None:
            return (_QUEUED, waits) if waits else (_DONE, None)
        _check_by_hand(caller)
        return _DONE, await client.set_task_run_state(run_id, state)

    return await _set_states(given["states"], "task_run_id", put)


def _check_by_hand(caller: Caller) -> None:
    """Raises Forbidden for agents: of runs that this package's engine executes they tell through their executors."""
    if caller.role is Role.AGENT:
        raise Forbidden("Agents set states only of runs that another runtime executes")


async def _set_states(items: list[Payload], key: str, put: Put) -> Payload:
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
            status, message = await put(item[key], item["state"], item.get("version"))
        except PrefectliteError as error:
            refused.append(error)
        else:
            answers.append({"id": item[key], "status": status, "message": message or None})
    if refused:
        raise refused[0]
    return {"states": answers}


def _new_state(run: str, **more: Any) -> Any:
    fields = {f"{run}_id": UUID(required=True), "version": graphene.Int(), "state": JSON(required=True), **more}
    return input_type(f"{run}_state_input", fields, "A state for a run; with `version`, only if the run still has it.")


def _states(of: Any) -> Payload:
    return {"states": graphene.InputField(graphene.NonNull(listed(of)))}


_result = object_type("set_state_result", {"id": UUID(), "status": text(), "message": text()}, "What came of a state.")
_results = {"states": graphene.Field(graphene.NonNull(listed(_result)))}
FIELDS = {
    "set_flow_run_states": mutation(
        set_flow_run_states,
        _states(_new_state("flow_run")),
        _results,
        "Propose states of flow runs.",
        needs=AGENTS,
        audited=by_hand,
    ),
    "set_task_run_states": mutation(
        set_task_run_states,
        _states(_new_state("task_run", flow_run_version=graphene.Int())),
        _results,
        "Propose states of task runs.",
        needs=AGENTS,
        audited=by_hand,
    ),
}
