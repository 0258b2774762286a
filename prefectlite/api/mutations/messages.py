"""Mutations of messages, which `message` reads."""

from __future__ import annotations

from typing import Any

from prefectlite.api.context import Context
from prefectlite.api.mutation import DONE, SUCCESS, Operation, Payload, mutation
from prefectlite.api.scalars import UUID
from prefectlite.roles import OPERATORS


def _mark(*, is_read: bool) -> Operation:
    async def mark(context: Context, given: Payload) -> Payload:
        await context.session.client.messages.mark(given["message_id"], is_read=is_read)
        return DONE

    return mark


async def delete_message(context: Context, given: Payload) -> Payload:
    await context.session.client.messages.delete(given["message_id"])
    return DONE


_message: dict[str, Any] = {"message_id": UUID(required=True)}
FIELDS = {
    f"mark_message_as_{word}": mutation(
        _mark(is_read=word == "read"),
        _message,
        SUCCESS,
        f"Say that a message is {word}.",
        f"mark_message_as_{word}",
        needs=OPERATORS,
    )
    for word in ("read", "unread")
} | {"delete_message": mutation(delete_message, _message, SUCCESS, "Delete a message.", needs=OPERATORS)}
