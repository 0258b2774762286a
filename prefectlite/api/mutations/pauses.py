"""Mutations that pause runs, and let them go on."""

from __future__ import annotations

import graphene

from prefectlite.api.context import Context
from prefectlite.api.mutation import DONE, SUCCESS, Payload, mutation, text
from prefectlite.api.scalars import JSON, UUID, DateTime, interval
from prefectlite.errors import BadRequest
from prefectlite.roles import OPERATORS


async def pause_flow_run(context: Context, given: Payload) -> Payload:
    session, expires = context.session, given.get("expires")
    if (duration := given.get("expires_in")) is not None:
        if expires is not None:
            raise BadRequest("Give either expires or expires_in, to say until when nobody has to come")
        expires = session.clock.now() + duration
    await session.client.pauses.pause_flow_run(
        given["flow_run_id"], given.get("reason"), context.caller.actor, expires=expires, then=given.get("then")
    )
    return DONE


async def resume_flow_run(context: Context, given: Payload) -> Payload:
    pauses = context.session.client.pauses
    return {"state": await pauses.resume_flow_run(given["flow_run_id"], given.get("reason"), context.caller.actor)}


async def resume_task_run(context: Context, given: Payload) -> Payload:
    await context.session.client.pauses.resume_task_run(
        given["task_run_id"], given.get("reason"), context.caller.actor, given.get("input")
    )
    return DONE


_flow_run = {"flow_run_id": UUID(required=True)}
_reason = {"reason": graphene.String(description="For people: it is in the message of the state, with who said so.")}
FIELDS = {
    "pause_flow_run": mutation(
        pause_flow_run,
        {
            **_flow_run,
            **_reason,
            "expires": DateTime(description="When nobody is waited for any more."),
            "expires_in": interval(description="The same, from now on: 01:30:00."),
            "then": graphene.String(description="What happens then: fail (if not given), cancel, or resume."),
        },
        SUCCESS,
        "Begin no more task runs of a flow run until it is resumed; those that execute go on to their end. A run that waits"
        " does not begin. What is in the message of its state is the reason.",
        needs=OPERATORS,
    ),
    "resume_flow_run": mutation(
        resume_flow_run,
        {**_flow_run, **_reason},
        {"state": text()},
        "Let a paused flow run go on where it was; says its state: Resume until an agent has taken it up.",
        needs=OPERATORS,
    ),
    "resume_task_run": mutation(
        resume_task_run,
        {
            "task_run_id": UUID(required=True),
            **_reason,
            "input": JSON(
                description="What the task asked for: its state's `details.context.pause.input` is the JSON schema."
            ),
        },
        SUCCESS,
        "Let a paused task run go on. An input that is not as the task asked for is refused, naming the field at fault.",
        needs=OPERATORS,
    ),
}
