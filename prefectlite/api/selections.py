"""From the fields of a GraphQL document to the shapes that the query compiler takes."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import msgspec
from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    Undefined,
)
from graphql.execution.collect_fields import collect_fields, collect_sub_fields
from graphql.execution.values import get_argument_values
from graphql.utilities import value_from_ast_untyped

from prefectlite.api.known_answers import HELLO, OBJECTS
from prefectlite.repository.selection import (
    AGGREGATE,
    Aggregate,
    Column,
    Constant,
    Count,
    Counted,
    Field,
    Group,
    Order,
    Related,
    Root,
    Selection,
    Summary,
    TaskRunCounts,
)
from prefectlite.repository.selection import Nodes as RowNodes
from prefectlite.repository.table import Table
from prefectlite.repository.tables import TABLES, TRAVERSAL
from prefectlite.repository.traversal import Traversal

Nodes = list[FieldNode]
_BY_KEY = "_by_pk"
#: The fields that give the tasks that are reached from others, and whether they go downstream.
TRAVERSALS = {"utility_downstream_tasks": True, "utility_upstream_tasks": False}


class Asked(msgspec.Struct, frozen=True):
    """What surrounds the fields of one operation: fragments, and variables both checked and as they were sent.

    The checked ones have the schema's order of keys. The order of `order_by` is the sender's, and so are `raw`'s keys.
    """

    schema: GraphQLSchema
    fragments: Mapping[str, FragmentDefinitionNode]
    variables: Mapping[str, Any]
    raw: Mapping[str, Any]

    def fields(self, type_name: str, nodes: Nodes) -> dict[str, Nodes]:
        """The fields asked of the object that `nodes` give, by response key; skipped ones are left out."""
        return collect_sub_fields(
            self.schema, dict(self.fragments), dict(self.variables), self.object_type(type_name), nodes
        )

    def root_fields(self, operation: OperationDefinitionNode, type_name: str) -> dict[str, Nodes]:
        """The fields of the operation itself, by response key."""
        return collect_fields(
            self.schema,
            dict(self.fragments),
            dict(self.variables),
            self.object_type(type_name),
            operation.selection_set,
        )

    def arguments(self, type_name: str, node: FieldNode) -> dict[str, Any]:
        """The checked arguments of a field. Raises GraphQLError where one is missing."""
        return get_argument_values(self.object_type(type_name).fields[node.name.value], node, dict(self.variables))

    def object_type(self, name: str) -> GraphQLObjectType:
        found = self.schema.type_map[name]
        assert isinstance(found, GraphQLObjectType)
        return found


def raw_variables(operation: OperationDefinitionNode, given: Mapping[str, Any]) -> dict[str, Any]:
    """The variables as they were sent, with the operation's defaults for those that were not."""
    out: dict[str, Any] = {}
    for definition in operation.variable_definitions:
        name = definition.variable.name.value
        if name in given:
            out[name] = given[name]
        elif definition.default_value is not None:
            out[name] = value_from_ast_untyped(definition.default_value)
    return out


def is_compiled(field: str) -> bool:
    """Whether the database answers this field of Query, rather than graphql-core (which does introspection)."""
    known = field in OBJECTS or field in ("hello", "task_run_counts", "__typename")
    return known or _table_of(field) is not None


def root(asked: Asked, nodes: Nodes) -> Root:
    """What one field of Query asks for. Raises BadRequest or GraphQLError."""
    node = nodes[0]
    name = node.name.value
    if name == "__typename":
        return _constant("Query")
    if name == "hello":
        return _constant(HELLO)
    if name in OBJECTS:
        return _constant({key: OBJECTS[name].get(f[0].name.value, name) for key, f in asked.fields(name, nodes).items()})
    arguments = asked.arguments("Query", node)
    if name == "task_run_counts":
        fields = {
            key: _constant("task_run_count") if f[0].name.value == "__typename" else Column(f[0].name.value)
            for key, f in asked.fields("task_run_count", nodes).items()
        }
        return TaskRunCounts(arguments["flow_run_id"], fields)
    table = _table_of(name)
    assert table is not None
    if name.endswith(AGGREGATE):
        return _aggregate(asked, table, nodes, arguments)
    if name.endswith(_BY_KEY):
        return Selection(table.name, _columns(asked, table, nodes), key=arguments["id"])
    return _selection(asked, table, nodes, arguments)


def _table_of(field: str) -> Table | None:
    if field.removesuffix(AGGREGATE) in TRAVERSALS:
        return TRAVERSAL
    return TABLES.get(field) or TABLES.get(field.removesuffix(AGGREGATE)) or TABLES.get(field.removesuffix(_BY_KEY))


def _selection(
    asked: Asked, table: Table, nodes: Nodes, arguments: dict[str, Any], fields: Mapping[str, Field] | None = None
) -> Selection:
    return Selection(
        table.name,
        _columns(asked, table, nodes) if fields is None else fields,
        arguments.get("where"),
        _order(asked, nodes[0]),
        arguments.get("limit"),
        arguments.get("offset"),
        distinct_on=_names(arguments.get("distinct_on")),
        source=_traversal(nodes[0].name.value, arguments["args"]) if table is TRAVERSAL else None,
    )


def _traversal(field: str, given: Mapping[str, Any]) -> Traversal:
    is_downstream = TRAVERSALS[field.removesuffix(AGGREGATE)]
    return Traversal(given.get("start_task_ids"), given.get("depth_limit"), is_downstream)


def _columns(asked: Asked, table: Table, nodes: Nodes) -> dict[str, Field]:
    return {key: _field(asked, table, found) for key, found in asked.fields(table.name, nodes).items()}


def _field(asked: Asked, table: Table, nodes: Nodes) -> Field:
    name = nodes[0].name.value
    if name == "__typename":
        return _constant(table.name)
    if table.kind(name):
        return Column(name)
    arguments = asked.arguments(table.name, nodes[0])
    if name in table.relations:
        relation = table.relations[name]
        return Related(name, _selection(asked, TABLES[relation.table], nodes, arguments))
    name = name.removesuffix(AGGREGATE)
    return Related(name, _aggregate(asked, TABLES[table.relations[name].table], nodes, arguments))


def _aggregate(asked: Asked, table: Table, nodes: Nodes, arguments: dict[str, Any]) -> Aggregate:
    outer = f"{table.name}_aggregate"
    fields: dict[str, Counted] = {}
    for key, found in asked.fields(outer, nodes).items():
        name = found[0].name.value
        if name == "__typename":
            fields[key] = _constant(outer)
        elif name == "nodes":
            fields[key] = RowNodes(_columns(asked, table, found))
        else:
            fields[key] = Group({k: _counted(asked, table, f) for k, f in asked.fields(f"{outer}_fields", found).items()})
    return Aggregate(_selection(asked, table, nodes, arguments, fields={}), fields)


def _counted(asked: Asked, table: Table, nodes: Nodes) -> Counted:
    name = nodes[0].name.value
    if name == "__typename":
        return _constant(f"{table.name}_aggregate_fields")
    if name == "count":
        arguments = asked.arguments(f"{table.name}_aggregate_fields", nodes[0])
        return Count(_names(arguments.get("columns")), bool(arguments.get("distinct")))
    type_name = f"{table.name}_{name}_fields"
    fields = asked.fields(type_name, nodes)
    return Group(
        {
            key: _constant(type_name) if f[0].name.value == "__typename" else Summary(name, f[0].name.value)
            for key, f in fields.items()
        }
    )


def _names(columns: Any) -> list[str]:
    return [column.value if isinstance(column, Enum) else column for column in columns or ()]


def _order(asked: Asked, node: FieldNode) -> list[Order]:
    for argument in node.arguments:
        if argument.name.value == "order_by":
            value = value_from_ast_untyped(argument.value, dict(asked.raw))  # unlike the checked value, in its own order
            return [term for item in (value if isinstance(value, list) else [value]) for term in _terms(item, ())]
    return []


def _terms(order: Any, path: tuple[str, ...]) -> list[Order]:
    if order is None or order is Undefined:
        return []
    if isinstance(order, str):
        return [Order(path, order)]
    return [term for name, inner in order.items() for term in _terms(inner, (*path, name))]


def _constant(value: Any) -> Constant:
    return Constant(msgspec.json.encode(value).decode())
