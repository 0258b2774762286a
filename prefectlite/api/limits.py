"""How much one request may ask for, found out before anything expensive looks at it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

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
#: Objects (conditions, above all) and items of lists in the variables of queries; items of one list in those of mutations.
MAX_OBJECTS = 2_000
MAX_ITEMS = 20_000
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
        self._objects = 0

    def spend(self, cost: Cost) -> None:
        """Take `cost` off. Raises BadRequest when that is too much."""
        self._spent += cost
        check(self._spent)

    def spend_variables(self, variables: Mapping[str, Any], *, is_mutation: bool) -> None:
        """Take off what variables hold, which is cheaper to count than to check. Raises BadRequest when that is too much."""
        if is_mutation:  # what they hold may be a whole flow; what is checked one by one are lists of inputs
            inputs = [value for value in variables.values() if isinstance(value, Mapping)]
            items = max((len(one) for given in inputs for one in given.values() if isinstance(one, list)), default=0)
        else:
            objects, items = _sizes(variables)
            self._objects += objects
        if self._objects > MAX_OBJECTS:
            raise BadRequest(f"The variables hold more than {MAX_OBJECTS:,} objects: ask in several requests")
        if items > MAX_ITEMS:
            raise BadRequest(f"The variables hold more than {MAX_ITEMS:,} values in a list: ask in several requests")


def _sizes(value: Any) -> tuple[int, int]:
    """How many objects a value holds, and how many items its lists have, as far as it takes to see that it is too much."""
    objects = items = 0
    waiting = [value]
    while waiting and objects <= 2 * MAX_OBJECTS and items <= MAX_ITEMS:
        one = waiting.pop()
        if isinstance(one, Mapping):
            objects += 1
            waiting.extend(one.values())
        elif isinstance(one, list):
            items += len(one)
            waiting.extend(item for item in one if isinstance(item, Mapping | list))
    return objects, items


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
