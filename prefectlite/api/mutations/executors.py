"""What executors of this package in other processes ask: agents on this and on other machines."""

from __future__ import annotations

import msgspec

from prefectlite.api.audit import audited, never, record
from prefectlite.api.context import Context
from prefectlite.api.mutation import Payload, mutation, text
from prefectlite.api.scalars import JSON
from prefectlite.client.remits import Remit
from prefectlite.errors import BadRequest, Forbidden
from prefectlite.orchestrator.answers import Answers
from prefectlite.orchestrator.calls import (
    DELETE_KEY,
    LEAVE,
    PROPOSE,
    RUN_TOKEN,
    SCHEDULED_RUNS,
    SECRET,
    SET_KEY,
    WRITE_LINES,
    Decided,
    Proposals,
)
from prefectlite.records import RunLease
from prefectlite.roles import OPERATORS, RUNS
from prefectlite.version import __version__

#: What changes the key-value store needs the same as its mutations do, and is as much in the audit log.
_WRITES = {SET_KEY.name: "set_key_value", DELETE_KEY.name: "delete_key_value"}


async def executor_call(context: Context, given: Payload) -> Payload:
    if given["call"] != SECRET.name:
        return await _answered(context, given)
    # What changes nothing is audited all the same where it is who reads secrets.
    asked = {"name": given.get("question")}
    return await audited(context, "read_secret", asked, lambda: _answered(context, given), ids=False)


async def _answered(context: Context, given: Payload) -> Payload:
    answers = context.session.answers
    call = RUN_TOKEN if given["call"] == RUN_TOKEN.name else answers.call_named(given["call"])
    if context.caller.own_version not in (None, __version__) and call.name != LEAVE.name:
        raise BadRequest(f"The executor is of version {context.caller.own_version}, and this server of {__version__}")
    if call.name in _WRITES and context.caller.role not in OPERATORS:
        raise Forbidden("The role agent may read the key-value store, not write it: give this agent a token of an operator")
    if call == SECRET and not context.caller.is_known:
        raise Forbidden("Secrets are given to agents only by a server that asks for tokens: start it with --auth")
    try:
        question = msgspec.convert(given.get("question"), call.question)
    except msgspec.ValidationError as error:
        raise BadRequest(f"question: it does not fit the call {call.name!r}: {error}") from None
    remit = context.remit
    if call == RUN_TOKEN:
        return {"answer": await _run_token(context, question)}
    if remit is None:
        answer = await answers.answer(call, question)
        if call.name in _WRITES:
            key = question if isinstance(question, str) else question.key
            await record(context, _WRITES[call.name], {"key": key}, {}, "done")
        return {"answer": msgspec.to_builtins(answer)}
    await remit.check_call(call, question)
    if call.name == WRITE_LINES.name:
        question = await remit.lines_of_own(question)
    if call.name == PROPOSE.name:
        return {"answer": msgspec.to_builtins(await _decided(answers, remit, question))}
    answer = await answers.answer(call, question)
    if call.name == SCHEDULED_RUNS.name:
        own = set(await remit.own([run_id for run_id, _ in answer]))
        answer = [(run_id, due) for run_id, due in answer if run_id in own]
    return {"answer": msgspec.to_builtins(answer)}


async def _run_token(context: Context, lease: RunLease) -> str | None:
    """What the code of a run may show, whose executor asks; None where nobody shows anything."""
    if not context.caller.is_known:
        return None
    if context.remit is not None:
        await context.remit.check_lease(lease)
    return await context.session.client.tokens.for_run(lease, context.caller.token_id)


async def _decided(answers: Answers, remit: Remit, sent: Proposals) -> Decided:
    refusals = await remit.refusals(sent)
    allowed = [one for one, refusal in zip(sent.proposals, refusals, strict=True) if refusal is None]
    decided: Decided = await answers.answer(PROPOSE, Proposals(allowed, sent.again))
    verdicts = iter(decided.verdicts)
    return msgspec.structs.replace(
        decided, verdicts=[next(verdicts) if refusal is None else refusal for refusal in refusals]
    )


FIELDS = {
    "executor_call": mutation(
        executor_call,
        {"call": text(required=True), "question": JSON()},
        {"answer": JSON()},
        "What an executor of this very version asks of the record. No interface for others.",
        needs=RUNS,
        audited=never,
    ),
}
