"""Query texts, parsed and checked once and then kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import anyio.to_thread
import msgspec
from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    parse,
    validate,
)

from prefectlite.api.limits import MAX_CHARACTERS, MAX_COMMENTS, MAX_TOKENS, Cost, cost_of
from prefectlite.errors import BadRequest

KEPT = 256
KEPT_CHARACTERS = 20_000
BIG = 2_000  # from this many characters on the work would hold up the event loop


class Document(msgspec.Struct, frozen=True):
    """A document that is valid for the schema."""

    ast: DocumentNode
    operations: Mapping[str | None, OperationDefinitionNode]
    fragments: Mapping[str, FragmentDefinitionNode]
    cost: Cost

    def operation(self, name: str | None) -> OperationDefinitionNode:
        """The operation of that name, or the only one for None. Raises BadRequest where there is no such one."""
        if name is None and len(self.operations) == 1:
            return next(iter(self.operations.values()))
        if name in self.operations:
            return self.operations[name]
        if name is None:
            raise BadRequest("The document holds several operations: say which by `operationName`")
        raise BadRequest(f"The document holds no operation {name!r}")


class Documents:
    """The documents of one schema, those used last kept."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._kept: OrderedDict[str, Document] = OrderedDict()

    async def get(self, text: str) -> Document | list[GraphQLError]:
        """The document of `text`, or what is wrong with it. Raises BadRequest where it asks for too much."""
        if text in self._kept:
            self._kept.move_to_end(text)
            return self._kept[text]
        if len(text) > MAX_CHARACTERS:
            raise BadRequest(f"The query is longer than {MAX_CHARACTERS:,} characters: send the values as variables")
        document = self._read(text) if len(text) < BIG else await anyio.to_thread.run_sync(self._read, text)
        if isinstance(document, Document) and len(text) <= KEPT_CHARACTERS:
            self._kept[text] = document
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return document

    def _read(self, text: str) -> Document | list[GraphQLError]:
        try:
            ast = parse(text, max_lexical_tokens=MAX_TOKENS, max_comments=MAX_COMMENTS)
        except GraphQLError as error:
            return [error]
        cost = cost_of(ast)
        if errors := validate(self._schema, ast, max_errors=20):
            return errors
        operations = {d.name.value if d.name else None: d for d in ast.definitions if isinstance(d, OperationDefinitionNode)}
        fragments = {d.name.value: d for d in ast.definitions if isinstance(d, FragmentDefinitionNode)}
        return Document(ast, operations, fragments, cost)
