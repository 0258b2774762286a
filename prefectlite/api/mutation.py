"""How one field of Mutation is made: an input type and a payload type around a function."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import graphene
from graphql import GraphQLResolveInfo

from prefectlite.api.context import Context
from prefectlite.api.scalars import UUID
from prefectlite.api.types import input_type, object_type

Payload = dict[str, Any]
Operation = Callable[[Context, Payload], Awaitable[Payload]]
#: What mutations answer that only do something.
SUCCESS = {"success": graphene.Boolean(), "error": graphene.String()}
ID = {"id": UUID()}
DONE: Payload = {"success": True, "error": None}
text = graphene.String


def mutation(operation: Operation, inputs: Payload, outputs: Payload, doc: str, name: str | None = None) -> graphene.Field:
    """The field called as `operation` is, if it has no `name` of its own."""
    name = name or operation.__name__

    async def resolve(_root: Any, info: GraphQLResolveInfo, input: Payload) -> Payload:
        return await operation(info.context, input)

    return graphene.Field(
        object_type(f"{name}_payload", outputs, f"What {name} answers."),
        input=graphene.Argument(graphene.NonNull(input_type(f"{name}_input", inputs, f"What {name} is given."))),
        resolver=resolve,
        description=doc,
    )
