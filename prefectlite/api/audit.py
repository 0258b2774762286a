"""What of a mutation is in the audit log: who, from where, what it was about, how it went, and what was there before.

Never a secret's value. Who reads one through the API is in it, too.

Mutations by which agents and runs tell what they do (states, artifacts, lines of logs, heartbeats) are not in it: the
histories of the runs are that record. Where people set states and artifacts, they are.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime
from enum import Enum
from typing import Any

import msgspec

from prefectlite.api.caller import Caller
from prefectlite.api.context import Context
from prefectlite.api.earlier_values import earlier_values
from prefectlite.errors import PrefectliteError
from prefectlite.masks import HIDDEN
from prefectlite.repository.audit import AuditRow
from prefectlite.roles import Role

_HIDDEN = re.compile(
    r".*(password|passwd|secret|credential|authorization|api_?key|private).*|value|token|config|cookie", re.IGNORECASE
)
_ID = re.compile(r"id|key|name|.*_ids?")
_LONGEST, _MOST, _DEEPEST = 200, 20, 5
#: JSON that clients send as text is looked into up to this length.
_LONGEST_JSON = 20_000


def always(_caller: Caller) -> bool:
    """Whoever uses the mutation."""
    return True


def never(_caller: Caller) -> bool:
    """Of a mutation by which runs tell what they do."""
    return False


def by_people(caller: Caller) -> bool:
    """Of a mutation by which runs tell what they do, where it is known that a person uses it."""
    return caller.is_known and caller.role not in (Role.AGENT, Role.RUN)


def by_hand(caller: Caller) -> bool:
    """Of a mutation by which runs tell what they do, and people say how it went."""
    # Anybody may say of a program that it is Prefect's: that counts only where nobody shows who he is.
    return by_people(caller) if caller.is_known else caller.core_version is None


async def audited(
    context: Context,
    action: str,
    given: Mapping[str, Any],
    work: Callable[[], Awaitable[Mapping[str, Any]]],
    *,
    ids: bool = True,
) -> dict[str, Any]:
    """The answer of `work`, with what it was about, how it went and what was there before in the audit log.

    Without `ids` nothing of the answer is looked at.
    """
    before = None
    with suppress(Exception):  # what is given may be impossible, and says so itself
        before = await earlier_values(context.session.database, action, given)
    try:
        answer = await work()
    except Exception as error:
        code = error.code if isinstance(error, PrefectliteError) else PrefectliteError.code
        await record(context, action, given, {}, f"failed: {code}", before)
        raise
    await record(context, action, given, answer if ids else {}, "done", before)
    return dict(answer)


async def record(
    context: Context,
    action: str,
    given: Mapping[str, Any],
    answer: Mapping[str, Any],
    outcome: str,
    before: Mapping[str, Any] | None = None,
) -> None:
    """Add a mutation to the audit log; where callers show tokens, it is there when this returns."""
    caller, session = context.caller, context.session
    ids = {name: value for source in (given, answer) for name, value in source.items() if _ID.fullmatch(name)}
    details = {name: value for name, value in shown(given).items() if name not in ids}
    if before is not None:
        details["before"] = shown(before)
    row = AuditRow(
        session.clock.micros(),
        caller.actor,
        str(caller.role),
        caller.address,
        action,
        _json({name: shown(value) for name, value in ids.items() if value is not None}),
        _json(details),
        outcome,
    )
    written = session.audit.record(row)
    if caller.is_known:
        await written


def shown(value: Any, depth: int = 0) -> Any:
    """`value` as plain data that is short and tells no secrets."""
    if isinstance(value, str):
        value = value.encode(errors="replace").decode()
        if value[:1] in ("{", "[") and len(value) <= _LONGEST_JSON:
            try:
                return shown(msgspec.json.decode(value), depth)
            except (msgspec.DecodeError, RecursionError):
                pass
        return value if len(value) <= _LONGEST else f"{value[:_LONGEST]}… ({len(value):,} characters)"
    if isinstance(value, Mapping | list | tuple) and depth >= _DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        items = list(value.items())[:_MOST]
        return {
            str(key)[:_LONGEST]: HIDDEN if _HIDDEN.fullmatch(str(key)) and item is not None else shown(item, depth + 1)
            for key, item in items
        }
    if isinstance(value, list | tuple):
        return [shown(item, depth + 1) for item in value[:_MOST]]
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, datetime):
        return value.isoformat()
    return value if value is None or isinstance(value, bool | int | float) else str(value)[:_LONGEST]


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode(errors="replace").replace("\\u0000", "\\ufffd")
