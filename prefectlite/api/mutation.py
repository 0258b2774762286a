"""How one field of Mutation is made: an input type and a payload type around a function, and who may use it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import graphene
from graphql import GraphQLResolveInfo

from prefectlite.api import audit
from prefectlite.api.caller import Caller
from prefectlite.api.context import Context
from prefectlite.api.scalars import UUID
from prefectlite.api.types import input_type, object_type
from prefectlite.errors import Forbidden
from prefectlite.roles import Role

Payload = dict[str, Any]
Operation = Callable[[Context, Payload], Awaitable[Payload]]
#: What mutations answer that only do something.
SUCCESS = {"success": graphene.Boolean(), "error": graphene.String()}
ID = {"id": UUID()}
DONE: Payload = {"success": True, "error": None}
text = graphene.String
#: Mutation -> the roles that may use it.
USERS: dict[str, frozenset[Role]] = {}


def mutation(
    operation: Operation,
    inputs: Payload,
    outputs: Payload,
    doc: str,
    name: str | None = None,
    *,
    needs: frozenset[Role],
    audited: Callable[[Caller], bool] = audit.always,
) -> graphene.Field:
    """The field called as `operation` is, if it has no `name` of its own, for callers whose role is one that it `needs`.

    A use is in the audit log if it is `audited` of its caller, or refused.
    """
    name = name or operation.__name__
    USERS[name] = needs

    async def resolve(_root: Any, info: GraphQLResolveInfo, input: Payload) -> Payload:
        context: Context = info.context
        if context.caller.role not in needs:
            await audit.record(context, name, input, {}, "refused")
            raise Forbidden(f"The role {context.caller.role} may not use {name}")
        if not audited(context.caller):
            return await operation(context, input)
        return await audit.audited(context, name, input, lambda: operation(context, input))

    return graphene.Field(
        object_type(f"{name}_payload", outputs, f"What {name} answers."),
        input=graphene.Argument(graphene.NonNull(input_type(f"{name}_input", inputs, f"What {name} is given."))),
        resolver=resolve,
        description=doc,
    )
