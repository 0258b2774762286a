"""Mutations of all the flow runs that a condition is true of."""

from __future__ import annotations

from typing import Any

import graphene
import msgspec

from prefectlite.api.context import Context
from prefectlite.api.mutation import Payload, mutation
from prefectlite.api.permissions import check_tables
from prefectlite.api.scalars import UUID
from prefectlite.api.types import CONDITIONS, listed, object_type
from prefectlite.client.many_runs import MOST_REASONS, MOST_RUNS, Changes
from prefectlite.repository.selection import Selection
from prefectlite.roles import OPERATORS


async def cancel_flow_runs(context: Context, given: Payload) -> Payload:
    return _told(await context.session.client.many.cancel(_where(context, given), **_how(given)))


async def restart_flow_runs(context: Context, given: Payload) -> Payload:
    session = context.session
    return _told(await session.client.many.restart(_where(context, given), session.owner.id, **_how(given)))


async def delete_flow_runs(context: Context, given: Payload) -> Payload:
    return _told(await context.session.client.many.delete(_where(context, given), **_how(given)))


def _where(context: Context, given: Payload) -> dict[str, Any]:
    """The condition. Raises Forbidden where it compares with what the caller may not read."""
    where: dict[str, Any] = given["where"]
    check_tables(context.caller, [Selection("flow_run", {}, where)])
    return where


def _how(given: Payload) -> dict[str, Any]:
    return {"limit": given.get("limit"), "dry_run": bool(given.get("dry_run"))}


def _told(changes: Changes) -> Payload:
    told: Payload = msgspec.to_builtins(changes)
    return told


def _which() -> Payload:
    return {
        "where": graphene.InputField(
            graphene.NonNull(lambda: CONDITIONS["flow_run"]),
            description="As in `flow_run(where: …)`; it must say something.",
        ),
        "limit": graphene.Int(description=f"At most so many runs; {MOST_RUNS:,} if not given, and never more."),
        "dry_run": graphene.Boolean(description="Only count: nothing is changed."),
    }


_refusal = object_type(
    "flow_run_refusal",
    {"flow_run_id": UUID(), "name": graphene.String(), "reason": graphene.String()},
    "A flow run that was not changed, and why.",
)
_CHANGES = {
    "matched": graphene.Int(required=True, description="How many runs the condition is true of that this can be done to."),
    "changed": graphene.Int(required=True, description="How many were changed."),
    "refused": graphene.Int(required=True, description="How many were not, because something was against it."),
    "refusals": graphene.Field(
        graphene.NonNull(listed(_refusal)), description=f"The first {MOST_REASONS} of those, with the reasons."
    ),
    "more": graphene.Boolean(required=True, description="Whether more match than one call looks at: then ask again."),
}
FIELDS = {
    "cancel_flow_runs": mutation(
        cancel_flow_runs,
        _which(),
        _CHANGES,
        "Stop all runs that match and have not ended. Asked again, it stops what is left.",
        needs=OPERATORS,
    ),
    "restart_flow_runs": mutation(
        restart_flow_runs,
        _which(),
        _CHANGES,
        "Run again what did not succeed in those runs that match, have ended, and did not succeed.",
        needs=OPERATORS,
    ),
    "delete_flow_runs": mutation(
        delete_flow_runs,
        _which(),
        _CHANGES,
        "Delete all runs that match, and all that is known of them. What is executed is refused: cancel it first.",
        needs=OPERATORS,
    ),
}
