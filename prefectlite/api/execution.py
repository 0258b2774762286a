"""Running operations. Importing this module imports graphene and builds the schema; only `gateway` does so, and late."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec
from graphql import ExecutionResult, OperationDefinitionNode, OperationType
from graphql.execution import execute
from graphql.execution.values import get_variable_values

from prefectlite.api.caller import Caller
from prefectlite.api.context import Context, remit_of
from prefectlite.api.documents import Document, Documents
from prefectlite.api.failures import answer_errors, error_objects
from prefectlite.api.limits import Budget
from prefectlite.api.news import NAMES, Sources
from prefectlite.api.permissions import check_fields
from prefectlite.api.queries import read_json
from prefectlite.api.requests import Answer, Request, failure
from prefectlite.api.schema import SCHEMA
from prefectlite.api.selections import Asked, Nodes, is_compiled, raw_variables, root
from prefectlite.api.subscriptions import INNER_TYPES, NEWS_TYPES
from prefectlite.api.turns import Turns
from prefectlite.api.wording import Wordings, wanted
from prefectlite.errors import BadRequest, PrefectliteError
from prefectlite.roles import Role

if TYPE_CHECKING:
    from prefectlite.client.remits import Remit
    from prefectlite.session import Session


class Prepared(msgspec.Struct, frozen=True):
    """An operation that may run: valid, affordable, its variables checked."""

    document: Document
    operation: OperationDefinitionNode
    request: Request
    asked: Asked


class Execution:
    """Runs operations for one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._documents = Documents(SCHEMA)
        self._sources, self._wordings = Sources(session), Wordings()

    def budget(self) -> Budget:
        """A fresh budget, for one request from outside."""
        return Budget()

    async def run(self, request: Request, budget: Budget, caller: Caller, *, read_only: bool = False) -> Answer:
        """The answer to a query or a mutation; with `read_only` a mutation is refused with status 405. Never raises."""
        try:
            prepared = await self._prepare(request, budget)
            if isinstance(prepared, Answer):
                return prepared
            kind = prepared.operation.operation
            if kind is OperationType.SUBSCRIPTION:
                return failure("Subscriptions need a WebSocket (graphql-transport-ws)", BadRequest.code, 400)
            if read_only and kind is not OperationType.QUERY:
                return failure("Mutations need POST", BadRequest.code, 405)
            if kind is OperationType.QUERY:
                _check(prepared, caller, "Query")
            fields = self._compiled_fields(prepared)
            if fields is None:
                return await self._execute(prepared, caller)
            roots = {key: root(prepared.asked, nodes) for key, nodes in fields.items()}
            data = await read_json(self._session.database, roots, caller)
            return Answer(b'{"data":' + data + b"}")
        except Exception as error:
            return answer_errors([error], status=200)

    async def subscribe(
        self, request: Request, budget: Budget, caller: Caller, turns: Turns | None = None
    ) -> Answer | AsyncGenerator[list[bytes], None]:
        """The answers of a subscription, in batches, one for each piece of news; or what was wrong with it, as one answer.

        Queries and mutations give the one answer that they have. Batches come when it is the subscriber's turn.
        """
        try:
            prepared = await self._prepare(request, budget)
            if isinstance(prepared, Answer):
                return prepared
            if prepared.operation.operation is not OperationType.SUBSCRIPTION:
                return await self.run(request, Budget(), caller)
            _check(prepared, caller, "Subscription")
            return self._news(prepared, turns or Turns(), remit_of(self._session.database, caller))
        except Exception as error:
            return answer_errors([error], status=400)

    async def _prepare(self, request: Request, budget: Budget) -> Prepared | Answer:
        try:
            document = await self._documents.get(request.query)
            if isinstance(document, list):
                return _does_not_fit(request, document)
            budget.spend(document.cost)
            operation = document.operation(request.operation_name)
            budget.spend_variables(request.variables, is_mutation=operation.operation is OperationType.MUTATION)
        except PrefectliteError as error:
            return answer_errors([error], status=400)
        definitions = operation.variable_definitions
        variables = get_variable_values(SCHEMA, definitions, dict(request.variables), max_errors=20)
        if isinstance(variables, list):
            return _does_not_fit(request, variables)
        raw = raw_variables(operation, request.variables)
        return Prepared(document, operation, request, Asked(SCHEMA, document.fragments, variables, raw))

    def _compiled_fields(self, prepared: Prepared) -> dict[str, Nodes] | None:
        """The fields of a query that the database answers as a whole; None for all other operations."""
        if prepared.operation.operation is not OperationType.QUERY:
            return None
        fields = prepared.asked.root_fields(prepared.operation, "Query")
        return fields if all(is_compiled(nodes[0].name.value) for nodes in fields.values()) else None

    async def _execute(self, prepared: Prepared, caller: Caller) -> Answer:
        """Through graphql-core, for mutations and introspection."""
        name = prepared.operation.name
        result = execute(
            SCHEMA,
            prepared.document.ast,
            context_value=Context(self._session, prepared.asked.raw, caller),
            variable_values=dict(prepared.request.variables),
            operation_name=name.value if name else None,
        )
        if not isinstance(result, ExecutionResult):
            result = await result
        answer: dict[str, Any] = {"data": result.data}
        if result.errors:
            answer["errors"] = error_objects(result.errors)
        return Answer(msgspec.json.encode(answer))

    async def _news(self, prepared: Prepared, turns: Turns, remit: Remit | None) -> AsyncGenerator[list[bytes], None]:
        asked = prepared.asked
        for key, nodes in asked.root_fields(prepared.operation, "Subscription").items():  # validation lets one pass
            field = nodes[0].name.value
            arguments = asked.arguments("Subscription", nodes[0])
            about = (field, *sorted(arguments.items())) if field == "run_counts" else field
            wording = self._wordings.get(key, about, wanted(asked, NEWS_TYPES[field], nodes, INNER_TYPES), NAMES[field])
            try:
                async with aclosing(self._sources.open(field, turns, remit, **arguments)) as source:
                    async for batch in source:
                        begun = time.perf_counter()
                        texts = wording.texts(batch)
                        turns.took(time.perf_counter() - begun)
                        yield texts
            except Exception as error:
                yield [answer_errors([error], status=200).body]


def _check(prepared: Prepared, caller: Caller, type_name: str) -> None:
    """Raises Forbidden where `caller` may not ask for a field of the operation. Mutations look for themselves."""
    if caller.role is not Role.ADMIN:
        fields = prepared.asked.root_fields(prepared.operation, type_name).values()
        check_fields(caller, [nodes[0].name.value for nodes in fields])


def _does_not_fit(request: Request, errors: Sequence[Exception]) -> Answer:
    if "set_secret" in request.query:  # the messages would quote what was sent
        errors = [BadRequest("This does not fit the schema: set_secret takes name and value in a variable $input")]
    return answer_errors(errors, status=400)
