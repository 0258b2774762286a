"""How much one request may ask for, found out before anything expensive looks at it."""

from __future__ import annotations

from collections import Counter

import msgspec
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

from prefectlite.errors import BadRequest

MAX_CHARACTERS = 200_000
MAX_TOKENS = 6_000  # Prefect's clients write lists of thousands of ids into the text
MAX_COMMENTS = 2_000
MAX_DEPTH = 10
MAX_FIELDS = 4_000
MAX_ALIASES = 100
MAX_REPEATS = 10
_INTROSPECTION = frozenset({"__schema", "__type"})  # graphql-core has a limit of its own for these


class Cost(msgspec.Struct, frozen=True):
    """What a document asks for, every fragment counted wherever it is used."""

    fields: int = 0
    aliases: int = 0
    depth: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.fields + other.fields, self.aliases + other.aliases, max(self.depth, other.depth))


class Budget:
    """What is left for one HTTP request; the operations of a batch share it."""

    def __init__(self) -> None:
        self._spent = Cost()

    def spend(self, cost: Cost) -> None:
        """Take `cost` off. Raises BadRequest when that is too much."""
        self._spent += cost
        check(self._spent)


def check(cost: Cost) -> None:
    """Raises BadRequest, saying what there is too much of."""
    if cost.depth > MAX_DEPTH:
        raise BadRequest(f"The query is {cost.depth} levels deep, and {MAX_DEPTH} are allowed: ask in several requests")
    if cost.fields > MAX_FIELDS:
        raise BadRequest(f"The query has more than {MAX_FIELDS:,} fields: ask in several requests")
    if cost.aliases > MAX_ALIASES:
        raise BadRequest(f"The query has more than {MAX_ALIASES} aliases: ask in several requests")


def cost_of(document: DocumentNode) -> Cost:
    """The cost of all operations of a document that has been parsed and not validated. Raises BadRequest beyond the limits.

    It takes time in proportion to the document's length: fragments are counted once, their cost added at each use.
    """
    fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
    known: dict[str, Cost] = {}
    total = Cost()
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            total += _set(definition.selection_set, fragments, known, ())
            check(total)
    return total


def _set(
    selection_set: SelectionSetNode,
    fragments: dict[str, FragmentDefinitionNode],
    known: dict[str, Cost],
    open_fragments: tuple[str, ...],
) -> Cost:
    total = Cost()
    names: Counter[str] = Counter()
    for node in selection_set.selections:
        if isinstance(node, FieldNode):
            name = node.alias.value if node.alias else node.name.value
            names[name] += 1
            if names[name] > MAX_REPEATS:
                raise BadRequest(f"{name!r} is asked for more than {MAX_REPEATS} times in one place")
            inner = _set(node.selection_set, fragments, known, open_fragments) if node.selection_set else Cost()
            depth = 1 if node.name.value in _INTROSPECTION else inner.depth + 1
            total += Cost(inner.fields + 1, inner.aliases + (node.alias is not None), depth)
        elif isinstance(node, InlineFragmentNode):
            total += _set(node.selection_set, fragments, known, open_fragments)
        elif isinstance(node, FragmentSpreadNode):
            total += _fragment(node.name.value, fragments, known, open_fragments)
        if total.fields > MAX_FIELDS:
            check(total)
    return total


def _fragment(
    name: str, fragments: dict[str, FragmentDefinitionNode], known: dict[str, Cost], open_fragments: tuple[str, ...]
) -> Cost:
    if name in known:
        return known[name]
    if name not in fragments or name in open_fragments:
        return Cost()  # unknown or a cycle: the standard rules say so, and say it better
    known[name] = _set(fragments[name].selection_set, fragments, known, (*open_fragments, name))
    return known[name]
