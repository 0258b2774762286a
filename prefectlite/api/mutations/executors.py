"""What executors of this package in other processes ask: agents on this and on other machines."""

from __future__ import annotations

import msgspec

from prefectlite.api.audit import never
from prefectlite.api.context import Context
from prefectlite.api.mutation import Payload, mutation, text
from prefectlite.api.scalars import JSON
from prefectlite.errors import BadRequest, Forbidden
from prefectlite.orchestrator.calls import SECRET
from prefectlite.roles import AGENTS


async def executor_call(context: Context, given: Payload) -> Payload:
    answers = context.session.answers
    call = answers.call_named(given["call"])
    if call == SECRET and not context.caller.is_known:
        raise Forbidden("Secrets are given to agents only by a server that asks for tokens: start it with --auth")
    try:
        question = msgspec.convert(given.get("question"), call.question)
    except msgspec.ValidationError as error:
        raise BadRequest(f"question: it does not fit the call {call.name!r}: {error}") from None
    return {"answer": msgspec.to_builtins(await answers.answer(call, question))}


FIELDS = {
    "executor_call": mutation(
        executor_call,
        {"call": text(required=True), "question": JSON()},
        {"answer": JSON()},
        "What an executor of this very version asks of the record. No interface for others.",
        needs=AGENTS,
        audited=never,
    ),
}
