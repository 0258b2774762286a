"""Mutations of tokens. A token itself is in one answer only: that which made it."""

from __future__ import annotations

from prefectlite.api.context import Context
from prefectlite.api.mutation import DONE, SUCCESS, Payload, mutation, text
from prefectlite.api.scalars import UUID, DateTime
from prefectlite.api.types import listed
from prefectlite.roles import ADMINS


async def create_api_token(context: Context, given: Payload) -> Payload:
    made = await context.session.client.tokens.create(
        given["name"],
        given["role"],
        given.get("expires_at"),
        labels=given.get("labels") or (),
        projects=given.get("projects") or (),
        secrets=given.get("secrets"),
    )
    return {"id": made.id, "token": made.text}


async def revoke_api_token(context: Context, given: Payload) -> Payload:
    await context.session.client.tokens.revoke(given["token_id"])
    return DONE


FIELDS = {
    "create_api_token": mutation(
        create_api_token,
        {
            "name": text(required=True),
            "role": text(required=True),
            "expires_at": DateTime(),
            "labels": listed(text),
            "projects": listed(UUID),
            "secrets": listed(text),
        },
        {"id": UUID(), "token": text()},
        "Make a token of the role viewer, agent, operator or admin. It is shown this once. An agent's may be for agents with"
        " some of these labels only, and for runs of these projects; which read these secrets only, where `word*` is how a"
        " name begins.",
        needs=ADMINS,
    ),
    "revoke_api_token": mutation(
        revoke_api_token,
        {"token_id": UUID(required=True)},
        SUCCESS,
        "Let a token, and logins made with it, be of no use.",
        needs=ADMINS,
    ),
}
